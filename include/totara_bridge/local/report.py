"""The table that `make up` ends with: what was extracted, queued and sent, and what was not sent and why."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

_NOT_SENT = text(
    """
    SELECT CASE
             WHEN i.after_deletion THEN 'the learner was already deleted in Totara when the bridge first saw it'
             WHEN q.state = 'cancelled' OR q.state IS NULL AND i.ended_at IS NOT NULL
                 THEN 'Totara has this completion no more'
             WHEN q.state IS NULL THEN 'past: a backfill from its date would queue it'
             ELSE 'in the queue: ' || q.state || coalesce(' (' || q.error_words || ')', '')
           END AS why, count(*) AS n
    FROM bridge.completion_instance i
    LEFT JOIN LATERAL (SELECT state, error_words FROM bridge.export_queue q WHERE q.instance_id = i.id
                       ORDER BY q.id DESC LIMIT 1) q ON true
    WHERE NOT EXISTS (SELECT FROM bridge.delivery d WHERE d.instance_id = i.id)
    GROUP BY why ORDER BY n DESC, why LIMIT 10
    """
)


@dataclass(frozen=True)
class Overview:
    """Counts of the staging database at one moment."""

    completions: dict[str, int]  #: by status
    instances: int
    archived: int
    baseline: int  #: instances that were there at the first extract
    items: dict[str, int]  #: by state
    delivered: int
    not_sent: dict[str, int]  #: instances by reason


def read_overview(staging: Engine) -> Overview:
    """Count everything."""
    with staging.connect() as connection:
        instances = connection.execute(
            text("SELECT count(*) AS n, count(archived_at) AS archived FROM bridge.completion_instance")
        ).one()
        return Overview(
            completions=_counts(connection, "SELECT status, count(*) FROM bridge.completion GROUP BY 1 ORDER BY 1"),
            instances=instances.n,
            archived=instances.archived,
            baseline=int(
                connection.execute(
                    text(
                        "SELECT count(*) FROM bridge.completion_instance i WHERE EXISTS (SELECT FROM bridge.baseline b "
                        "WHERE b.site = i.site AND i.id <= b.instance_id)"
                    )
                ).scalar_one()
            ),
            items=_counts(connection, "SELECT state, count(*) FROM bridge.export_queue GROUP BY 1 ORDER BY 1"),
            delivered=int(connection.execute(text("SELECT count(*) FROM bridge.delivery")).scalar_one()),
            not_sent={row.why: row.n for row in connection.execute(_NOT_SENT)},
        )


def table(overview: Overview, keys_at_oracle: int | None) -> list[str]:
    """The lines to print.

    :param keys_at_oracle: distinct keys that the sandbox Oracle stored; none: it does not answer.
    """
    at_oracle = (
        "the sandbox Oracle does not answer" if keys_at_oracle is None else "distinct keys at the sandbox Oracle"
    )
    rows = [
        ("extracted", sum(overview.completions.values()), "completions: " + _listed(overview.completions)),
        ("instances", overview.instances, f"times that a learner completed a course, {overview.archived} archived"),
        ("baseline", overview.baseline, "instances that were there at the first extract"),
        ("queued", sum(overview.items.values()), "items: " + _listed(overview.items)),
        ("sent", overview.delivered, "deliveries"),
        ("received", keys_at_oracle or 0, at_oracle),
        *(("not sent", n, why) for why, n in overview.not_sent.items()),
    ]
    return [f"  {name:<10}{_number(n):>10}  {words}" for name, n, words in rows]


def _counts(connection: Connection, statement: str) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(text(statement))}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{_number(n)} {name.replace('_', ' ')}" for name, n in counts.items()) or "none"


def _number(n: int) -> str:
    return f"{n:,}".replace(",", " ")
