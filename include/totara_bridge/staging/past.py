"""Past instances that a backfill asks for: those that a destination lacks, and those that it has and would get again.

Each is read a slice at a time, by instance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.route import EVERYTHING, Route
from totara_bridge.staging.deliverable import CANCELLED, DELIVERED, FIELDS, JOINS, LACKING, QUEUED, ROUTED, WITHHELD
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.route import condition, values
from totara_bridge.staging.stretch import next_slice

#: No time lies after it.
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Past:
    """Which past instances a backfill asks for."""

    destination: str
    sites: Sequence[str]
    since: datetime  #: completed at or after; without a date: first seen at or after
    until: datetime = FOREVER  #: and not after
    route: Route = EVERYTHING  #: the destination's
    narrowed: Route = EVERYTHING  #: what a person wants of it


@dataclass(frozen=True)
class PastCount:
    """What a backfill would find on the destination's route; each instance counts once."""

    lacking: int  #: would be queued
    delivered: int
    queued: int  #: in the queue already, in whatever state but cancelled
    cancelled: int  #: a person has to requeue them, no backfill does
    withheld: int  #: of a learner who was deleted in Totara before it was first seen, or who is erased


@dataclass(frozen=True)
class ToldCount:
    """What a resend would find."""

    resendable: int
    changed: int  #: their items were purged, and they were edited since, or other items of theirs are in the queue


def count(transaction: Transaction, asked: Past) -> PastCount:
    """How many past instances there are, by what a backfill would do with them."""
    row = transaction.execute(
        text(
            f"""
            SELECT count(*) FILTER (WHERE delivered) AS delivered,
                   count(*) FILTER (WHERE queued AND NOT cancelled AND NOT delivered) AS queued,
                   count(*) FILTER (WHERE cancelled AND NOT delivered) AS cancelled,
                   count(*) FILTER (WHERE withheld AND NOT queued AND NOT delivered) AS withheld,
                   count(*) FILTER (WHERE NOT withheld AND NOT queued AND NOT delivered) AS lacking
            FROM (SELECT {WITHHELD} AS withheld, {DELIVERED} AS delivered, {QUEUED} AS queued,
                         {QUEUED} AND {CANCELLED} AS cancelled
                  FROM {ROUTED} WHERE i.ended_at IS NULL AND {_in_range(asked)}) found
            """
        ),
        _values(asked),
    ).one()
    return PastCount(**row._mapping)


def lacking(transaction: Transaction, asked: Past, *, after: int, slice_size: int) -> Sequence[Row[Any]]:
    """The next slice of instances that the destination lacks, with `FIELDS`; none when there are no more."""
    statement = f"SELECT {FIELDS} FROM {JOINS} WHERE {LACKING} AND {_in_range(asked)}"
    return next_slice(transaction, statement, _values(asked), after=after, slice_size=slice_size)


def count_told(transaction: Transaction, asked: Past, *, before: datetime) -> ToldCount:
    """What a resend would find of what was delivered, for the last time, before that."""
    statement = text(
        f"""
        SELECT count(*) FILTER (WHERE {_AS_TOLD}) AS resendable,
               count(*) FILTER (WHERE q.id IS NULL AND NOT ({_AS_TOLD})) AS changed
        FROM {ROUTED} {_LAST_TOLD} WHERE {_SENT_BEFORE} AND {_in_range(asked)}
        """
    )
    row = transaction.execute(statement, _values(asked) | {"before": before}).one()
    return ToldCount(**row._mapping)


def resendable(
    transaction: Transaction, asked: Past, *, before: datetime, after: int, slice_size: int
) -> Sequence[Row[Any]]:
    """The next slice of instances that can be sent again as the destination was told last, with `FIELDS`.

    With them come the ``kind`` of what it was told, and the ``item_id``, none where the item was purged. What is no
    more true, and what another item of its instance follows, is not among them; nor, of what was purged, what was
    edited since: nobody knows any more how it was told.

    :param before: only what was delivered, for the last time, before that.
    """
    statement = f"""
        SELECT {FIELDS}, told.kind, q.id AS item_id
        FROM {JOINS} {_LAST_TOLD} WHERE {_SENT_BEFORE} AND {_AS_TOLD} AND {_in_range(asked)}
    """
    return next_slice(transaction, statement, _values(asked) | {"before": before}, after=after, slice_size=slice_size)


# a withdrawal has the revision that it withdraws
_LAST_TOLD = """
    CROSS JOIN LATERAL (
        SELECT d.kind, d.revision, d.sent_at FROM bridge.delivery d
        WHERE d.destination = :destination AND d.instance_id = i.id
        ORDER BY d.revision DESC, d.kind = 'withdrawal' DESC LIMIT 1
    ) told
    LEFT JOIN bridge.export_queue q ON q.destination = :destination AND q.instance_id = i.id
                                   AND q.kind = told.kind AND q.revision = told.revision
"""

_SENT_BEFORE = f"""
    told.kind <> 'withdrawal' AND i.ended_at IS NULL AND NOT {WITHHELD}
    AND (q.id IS NULL OR q.state = 'sent') AND coalesce(q.sent_at, told.sent_at) < :before
"""

# what is put into the queue anew follows all that is there: a cancelled item could not be sent after it any more
_AS_TOLD = """
    (q.id IS NOT NULL OR i.revision = told.revision)
    AND NOT EXISTS (SELECT FROM bridge.export_queue other
                    WHERE other.destination = :destination AND other.instance_id = i.id
                      AND (q.id IS NULL OR other.id > q.id
                           AND (other.state <> 'cancelled' OR other.first_posted_at IS NOT NULL)))
"""


def _in_range(asked: Past) -> str:
    return f"""
        i.site = ANY(:sites) AND coalesce(i.time_completed, i.first_seen_at) BETWEEN :since AND :until
        {condition(asked.route)}{condition(asked.narrowed, "narrowed")}
    """


def _values(asked: Past) -> dict[str, object]:
    given = {
        "destination": asked.destination,
        "sites": list(asked.sites),
        "since": asked.since,
        "until": asked.until,
    }
    return given | values(asked.route) | values(asked.narrowed, "narrowed")
