"""Instances that a destination lacks, with all that a payload is made of."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, TextClause, text

from totara_bridge.route import Route
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.erased import NOT_ERASED
from totara_bridge.staging.route import condition, values

FIELDS = """
    i.id AS instance_id, i.record_key, i.revision, i.site, i.user_id, i.course_id, i.status, i.time_completed,
    i.first_seen_at, coalesce(l.username, '') AS username, coalesce(l.id_number, '') AS id_number,
    coalesce(l.email, '') AS email, coalesce(l.first_name, '') AS first_name,
    coalesce(l.last_name, '') AS last_name, coalesce(k.short_name, '') AS course_short_name,
    coalesce(k.id_number, '') AS course_id_number, coalesce(k.full_name, '') AS course_full_name,
    ln.number AS learner_number, cn.number AS course_number
"""
#: What the criteria of a route are about.
ROUTED = """
    bridge.completion_instance i
    LEFT JOIN bridge.learner l ON l.site = i.site AND l.user_id = i.user_id
    LEFT JOIN bridge.course k ON k.site = i.site AND k.course_id = i.course_id
"""
#: What `FIELDS` are taken from; expects ``:destination``, whose names for learner and course are looked up.
JOINS = f"""
    {ROUTED}
    LEFT JOIN bridge.mapping ln ON ln.destination = :destination AND ln.kind = 'learner'
                               AND ln.site = i.site AND ln.totara_id = i.user_id
    LEFT JOIN bridge.mapping cn ON cn.destination = :destination AND cn.kind = 'course'
                               AND cn.site = i.site AND cn.totara_id = i.course_id
"""
#: SQL: the destination has the completion.
DELIVERED = """
    EXISTS (SELECT FROM bridge.delivery d
            WHERE d.destination = :destination AND d.instance_id = i.id AND d.kind = 'completion')
"""
#: SQL: the completion is in its queue already.
QUEUED = """
    EXISTS (SELECT FROM bridge.export_queue q
            WHERE q.destination = :destination AND q.instance_id = i.id AND q.kind = 'completion'
              -- what Totara lost before it was posted may come back as another revision; what a person
              -- cancelled, or what was posted, does not
              AND (q.state <> 'cancelled' OR q.revision = i.revision
                   OR q.cancelled_by <> 'extract' OR q.first_posted_at IS NOT NULL))
"""
#: SQL: where it is `QUEUED`, its item was cancelled.
CANCELLED = """
    NOT EXISTS (SELECT FROM bridge.export_queue q
                WHERE q.destination = :destination AND q.instance_id = i.id AND q.kind = 'completion'
                  AND q.state <> 'cancelled')
"""
_POSTED = """
    EXISTS (SELECT FROM bridge.export_queue q
            WHERE q.destination = :destination AND q.instance_id = i.id AND q.first_posted_at IS NOT NULL)
"""
#: SQL: the learner was deleted before the completion was first seen, or is erased: it is never sent.
WITHHELD = f"(i.after_deletion OR NOT {NOT_ERASED})"

#: SQL: it is to be sent, and the destination neither has it nor is about to get it.
LACKING = f"i.ended_at IS NULL AND NOT {WITHHELD} AND NOT {DELIVERED} AND NOT {QUEUED}"


def set_baseline(transaction: Transaction, *, destination: str, site: str, now: datetime) -> bool:
    """Store the site's newest instance as the destination's baseline, unless it has one; whether it was stored."""
    stored = transaction.execute(
        text(
            """
            INSERT INTO bridge.baseline (destination, site, instance_id, created_at)
            SELECT :destination, :site,
                   (SELECT coalesce(max(id), 0) FROM bridge.completion_instance WHERE site = :site), :now
            WHERE NOT EXISTS (SELECT FROM bridge.baseline WHERE destination = :destination AND site = :site)
            ON CONFLICT DO NOTHING
            """
        ),
        {"destination": destination, "site": site, "now": now},
    )
    return stored.rowcount == 1


def having_baseline(transaction: Transaction, *, site: str) -> frozenset[str]:
    """The destinations that know of the site; one whose route does not take it any more may have completions of it."""
    found = transaction.execute(text("SELECT destination FROM bridge.baseline WHERE site = :site"), {"site": site})
    return frozenset(found.scalars())


def raise_baselines(transaction: Transaction, *, site: str, before: int) -> None:
    """Count what the merge of this transaction found new as past where it was completed before that time.

    For a read that shows more of Totara than the last one did, merged with its instances numbered by their dates.
    One without a date counts as past: nearly all that such a read shows is, and a backfill finds it.

    :param before: Unix seconds.
    """
    transaction.execute(
        text(
            """
            UPDATE bridge.baseline b SET instance_id = greatest(b.instance_id, past.newest)
            FROM (SELECT max(i.id) AS newest FROM bridge.completion_instance i
                  JOIN touched_instance t ON t.id = i.id
                  WHERE t.change = 'new'
                    -- of a day only its end tells: what was completed today may have been after that time
                    AND (i.time_completed IS NULL
                         OR coalesce(i.time_completed_until - interval '1 second', i.time_completed)
                            < to_timestamp(:before))) past
            WHERE b.site = :site AND past.newest IS NOT NULL
            """
        ),
        {"site": site, "before": before},
    )


def touched(
    transaction: Transaction, *, destination: str, route: Route, site: str, slice_size: int
) -> Iterator[Sequence[Row[Any]]]:
    """Instances on the route that the merge of this transaction touched and the destination lacks, in slices."""
    statement = text(
        f"""
        SELECT {FIELDS} FROM {JOINS}
        WHERE i.id > :after AND {LACKING}{condition(route)}
          AND i.id IN (SELECT t.id FROM touched_instance t
                       WHERE t.change IN ('new', 'revised')
                         AND (t.id > (SELECT b.instance_id FROM bridge.baseline b
                                      WHERE b.destination = :destination AND b.site = :site)
                              -- a new one is in no queue yet: those of a first extract are not looked up one by one
                              OR t.change = 'revised'
                                 AND EXISTS (SELECT FROM bridge.export_queue q
                                             WHERE q.destination = :destination AND q.instance_id = t.id)))
        ORDER BY i.id LIMIT :slice_size
        """
    )
    given = {"destination": destination, "site": site, "slice_size": slice_size} | values(route)
    yield from _slices(transaction, statement, given)


def revised(transaction: Transaction, *, destination: str, slice_size: int) -> Iterator[Sequence[Row[Any]]]:
    """Instances that the merge of this transaction touched, and whose item says less and was never posted, in slices.

    That can be an earlier revision than the last: of what was revised while the item was claimed, or its destination
    was not in the plan.
    """
    statement = text(
        f"""
        SELECT {FIELDS} FROM {JOINS}
        JOIN bridge.export_queue q ON q.destination = :destination AND q.instance_id = i.id
        WHERE i.id IN (SELECT id FROM touched_instance WHERE change IN ('revised', 'archived', 'found'))
          AND i.id > :after AND i.ended_at IS NULL AND q.kind = 'completion' AND q.first_posted_at IS NULL
          AND q.state IN ('queued', 'failed', 'dead', 'held') AND q.revision <> i.revision
        ORDER BY i.id LIMIT :slice_size
        """
    )
    yield from _slices(transaction, statement, {"destination": destination, "slice_size": slice_size})


def amended(
    transaction: Transaction, *, destination: str, change: Literal["revised", "lost"], slice_size: int
) -> Iterator[Sequence[Row[Any]]]:
    """Instances that the merge of this transaction revised or lost and that the destination has, or may have."""
    statement = text(
        f"""
        SELECT {FIELDS} FROM {JOINS}
        WHERE i.id IN (SELECT id FROM touched_instance WHERE change = '{change}') AND i.id > :after
          AND ({DELIVERED} OR {_POSTED})
        ORDER BY i.id LIMIT :slice_size
        """
    )
    yield from _slices(transaction, statement, {"destination": destination, "slice_size": slice_size})


def _slices(transaction: Transaction, statement: TextClause, values: dict[str, object]) -> Iterator[Sequence[Row[Any]]]:
    after = 0
    while rows := transaction.execute(statement, values | {"after": after}).all():
        yield rows
        after = rows[-1].instance_id
