"""Deleting what is finished and past its retention, a slice at a time; a dry run counts by the same conditions.

There is no index on when an item was sent or a request was made: every sending would pay for it. Rows are numbered
as they come in, so what is old is found from the lowest number upwards, as far as a whole stretch of numbers is young.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import TextClause, text

from totara_bridge.staging.engine import Transaction

#: The lock of the one purge that is at work.
LOCK = "purge"

#: No row has a higher number.
_HIGHEST = 2**63 - 1


@dataclass(frozen=True)
class Cutoff:
    """What was before that is past its retention."""

    everywhere: datetime
    own: Mapping[str, datetime] = field(default_factory=dict)  #: of destinations that have another

    @property
    def latest(self) -> datetime:
        """Nothing at or after it goes."""
        return max([self.everywhere, *self.own.values()])

    def values(self) -> dict[str, object]:
        """For the statements."""
        return {"before": self.everywhere, "destinations": list(self.own), "own": list(self.own.values())}


@dataclass(frozen=True)
class Stretch:
    """Rows that follow one another by number."""

    after: int
    up_to: int
    oldest: datetime  #: when the first of them came in


@dataclass(frozen=True)
class Numbered:
    """A table whose rows are numbered as they come in."""

    stretch: TextClause
    deletion: TextClause
    count: TextClause

    def next(self, transaction: Transaction, *, after: int, size: int) -> Stretch | None:
        """The next stretch of that many rows, in whatever state; none when there are no more."""
        row = transaction.execute(self.stretch, {"after": after, "size": size}).one()
        return None if row.up_to is None else Stretch(after, row.up_to, row.oldest)

    def purge(self, transaction: Transaction, stretch: Stretch, cutoff: Cutoff, *, dry_run: bool) -> dict[str, int]:
        """Delete the stretch's finished rows, but for those that somebody writes at this moment; how many, by table."""
        given = {"after": stretch.after, "up_to": stretch.up_to} | cutoff.values()
        return dict(transaction.execute(self.count if dry_run else self.deletion, given).mappings().one())

    def found(self, transaction: Transaction, cutoff: Cutoff) -> dict[str, int]:
        """How many finished rows there are in all, by table: read at once, however many there are."""
        given = {"after": 0, "up_to": _HIGHEST} | cutoff.values()
        return dict(transaction.execute(self.count, given).mappings().one())


@dataclass(frozen=True)
class Dated:
    """A table with an index on the time that counts."""

    deletion: TextClause
    count: TextClause

    def purge(self, transaction: Transaction, cutoff: Cutoff, *, limit: int) -> dict[str, int]:
        """Delete up to so many rows that are past it; how many, by table. No destination has a cutoff of its own."""
        given = {"before": cutoff.everywhere, "limit": limit}
        return dict(transaction.execute(self.deletion, given).mappings().one())

    def found(self, transaction: Transaction, cutoff: Cutoff) -> dict[str, int]:
        """How many rows are past it, by table."""
        return dict(transaction.execute(self.count, {"before": cutoff.everywhere}).mappings().one())


def _stretch(table: str, number: str, at: str) -> TextClause:
    return text(
        f"""
        SELECT max({number}) AS up_to, min({at}) AS oldest
        FROM (SELECT {number}, {at} FROM bridge.{table} WHERE {number} > :after ORDER BY {number} LIMIT :size) stretch
        """
    )


_OWN = "own AS (SELECT * FROM unnest(cast(:destinations AS text[]), cast(:own AS timestamptz[])) own (destination, at))"


def _finished_items(*, lock: bool) -> str:
    """SQL: the items ``finished``. What the ledger does not know as delivered is not.

    Nor is one while an item of the same instance, for the same destination, is in the queue for longer: whether a
    person may have that one sent is seen from what was sent after it.
    """
    # an earlier one that is not locked here is written by somebody now, and stays
    stays = " OR other.id < old.id AND other.id NOT IN (SELECT id FROM old)" if lock else ""
    return f"""
        WITH {_OWN},
        old AS MATERIALIZED (
            SELECT q.id, q.destination, q.instance_id, coalesce(own.at, :before) AS before
            FROM bridge.export_queue q LEFT JOIN own ON own.destination = q.destination
            WHERE q.id > :after AND q.id <= :up_to AND q.state = 'sent' AND q.sent_at < coalesce(own.at, :before)
              AND EXISTS (SELECT FROM bridge.delivery d
                          WHERE d.destination = q.destination AND d.instance_id = q.instance_id
                            AND d.kind = q.kind AND d.revision = q.revision)
            {"FOR UPDATE OF q SKIP LOCKED" if lock else ""}
        ),
        finished AS MATERIALIZED (
            SELECT old.id FROM old
            WHERE NOT EXISTS (SELECT FROM bridge.export_queue other
                              WHERE other.destination = old.destination AND other.instance_id = old.instance_id
                                AND other.id <> old.id
                                AND (other.state <> 'sent' OR other.sent_at >= old.before{stays}))
        )
    """


# as it was before the statement, so the events that go with their items are there to be counted
_COUNT_ITEMS = """
    SELECT (SELECT count(*) FROM finished) AS items,
           (SELECT count(*) FROM bridge.item_event WHERE item_id IN (SELECT id FROM finished)) AS item_events
"""
_DELETE_ITEMS = ", gone AS (DELETE FROM bridge.export_queue WHERE id IN (SELECT id FROM finished))"

_OLD_BODIES = """
    FROM bridge.kept_body b
    WHERE b.export_log_id > :after AND b.export_log_id <= :up_to
      AND b.at < coalesce((SELECT own.at FROM own WHERE own.destination = b.destination), :before)
"""
_OLD_ROWS = "FROM bridge.export_log WHERE id > :after AND id <= :up_to AND at < :before"

ITEMS = Numbered(
    stretch=_stretch("export_queue", "id", "queued_at"),
    deletion=text(_finished_items(lock=True) + _DELETE_ITEMS + _COUNT_ITEMS),
    count=text(_finished_items(lock=False) + _COUNT_ITEMS),
)
KEPT_BODIES = Numbered(
    stretch=_stretch("kept_body", "export_log_id", "at"),
    deletion=text(f"WITH {_OWN}, gone AS (DELETE {_OLD_BODIES} RETURNING 1) SELECT count(*) AS kept_bodies FROM gone"),
    count=text(f"WITH {_OWN} SELECT count(*) AS kept_bodies {_OLD_BODIES}"),
)
LOG_ROWS = Numbered(
    stretch=_stretch("export_log", "id", "at"),
    deletion=text(f"WITH gone AS (DELETE {_OLD_ROWS} RETURNING 1) SELECT count(*) AS log_rows FROM gone"),
    count=text(f"SELECT count(*) AS log_rows {_OLD_ROWS}"),
)


def _dated(table: str, at: str, *counts: str, lock: str = "FOR UPDATE SKIP LOCKED") -> Dated:
    """:param counts: what is counted of ``gone``, the rows that go."""
    counted = ", ".join(counts)
    return Dated(
        # by their places, or a large table could be read from end to end for each slice
        deletion=text(
            f"""
            WITH old AS MATERIALIZED (
                SELECT ctid FROM bridge.{table} WHERE {at} < :before ORDER BY {at} LIMIT :limit {lock}
            ),
            gone AS (DELETE FROM bridge.{table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)) RETURNING *)
            SELECT {counted}
            """
        ),
        count=text(f"WITH gone AS (SELECT * FROM bridge.{table} WHERE {at} < :before) SELECT {counted}"),
    )


_ROWS = "(SELECT count(*) FROM gone) AS"

ACKNOWLEDGEMENTS = _dated("acknowledgement", "acknowledged_at", f"{_ROWS} acknowledgements")
# nobody changes a row of the audit log, and the role of the tasks may not: to lock one it would have to
AUDIT_ROWS = _dated("audit_log", "at", f"{_ROWS} audit_rows", lock="")
#: An open alert has no time of its resolution: it stays, however old it is.
ALERTS = _dated(
    "alert",
    "resolved_at",
    f"{_ROWS} alerts",
    "(SELECT count(*) FROM bridge.alert_notice WHERE alert_id IN (SELECT id FROM gone)) AS alert_notices",
)
