"""What became of each staged completion at a destination: one part for each, and for each part a condition of its own.

A part that is counted and its list are read by the same words, and what no part explains has a condition too: nothing
is what was left over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from totara_bridge.route import EVERYTHING, Route
from totara_bridge.staging import route
from totara_bridge.staging.deliverable import ROUTED
from totara_bridge.staging.past import FOREVER

#: No time lies before it.
EVER = datetime.min.replace(tzinfo=UTC)


class Part(StrEnum):
    """What became of a completion: the first of these that is so."""

    DELIVERED = "delivered"  #: the ledger has it, whatever is to be sent of it since
    QUEUED = "queued"
    SENDING = "sending"
    FAILED = "failed"
    HELD = "held"
    DEAD = "dead"
    ERASED = "erased"  #: its learner was, before it was delivered
    CANCELLED = "cancelled"  #: by a person, or because Totara lost it before it was posted
    LOST = "lost"  #: Totara lost it before it was in the queue
    LEARNER_DELETED = "learner_deleted"  #: in Totara, before it was first seen: it is never sent
    NOT_ROUTED = "not_routed"  #: it is not on the destination's route
    BASELINE = "baseline"  #: it is past, and no backfill has asked for it


#: In the place of a part: what no part explains.
UNACCOUNTED = "unaccounted"

#: Those in which an item of the queue waits.
WAITING = (Part.QUEUED, Part.SENDING, Part.FAILED, Part.HELD, Part.DEAD)


@dataclass(frozen=True)
class Asked:
    """Whose delivery is to be proved."""

    destination: str
    route: Route = EVERYTHING  #: the destination's
    sites: Sequence[str] = ()  #: none: all
    since: datetime = EVER  #: completed at or after; without a date: first seen at or after
    before: datetime = FOREVER
    zone: str = "UTC"  #: whose months


# over the columns of `found`, none of which is ever null
_REASONS = {
    Part.ERASED: "erased",
    Part.CANCELLED: "cancelled",
    Part.LOST: "lost",
    Part.LEARNER_DELETED: "learner_deleted",
    Part.NOT_ROUTED: "NOT routed",
    Part.BASELINE: "past",
}


def _conditions() -> dict[str, str]:
    conditions: dict[str, str] = {Part.DELIVERED: "delivered"}
    conditions |= {part: f"NOT delivered AND waiting = '{part}'" for part in WAITING}
    nowhere = "NOT delivered AND waiting = ''"
    for part, reason in _REASONS.items():
        conditions[part] = f"{nowhere} AND {reason}"
        nowhere += f" AND NOT ({reason})"
    unexplained = " AND ".join(f"NOT ({each})" for each in conditions.values())
    return {**conditions, UNACCOUNTED: unexplained}


#: SQL: a row of `found` is in the part; the last is `UNACCOUNTED`.
CONDITIONS = _conditions()


def found(asked: Asked) -> str:
    """SQL: the completions that are asked about, one row for each, with all that `CONDITIONS` look at.

    Each table is read once, the queue by the indexes of what is not sent.
    """
    # an instance waits in one item at most, by the queue's own key
    waiting = " UNION ALL ".join(
        f"""
        SELECT q.instance_id, q.state FROM bridge.export_queue q
        WHERE q.destination = :destination AND q.state = '{part}' AND q.kind = 'completion'
        """
        for part in WAITING
    )
    return _found(asked, waiting, "")


def found_between(asked: Asked) -> str:
    """SQL: the same of the instances above ``:after`` and up to ``:up_to``; the queue is read by instance."""
    some = "AND q.instance_id > :after AND q.instance_id <= :up_to"
    waiting = f"""
        SELECT q.instance_id, nullif(q.state, 'sent') AS state FROM bridge.export_queue q
        WHERE q.destination = :destination AND q.state <> 'cancelled' AND q.kind = 'completion' {some}
    """
    return f"{_found(asked, waiting, some)} AND i.id > :after AND i.id <= :up_to"


def _found(asked: Asked, waiting: str, some: str) -> str:
    return f"""
        SELECT i.id, i.site, i.user_id, i.course_id, i.record_key, i.time_completed,
               coalesce(i.time_completed, i.first_seen_at) AS at,
               d.instance_id IS NOT NULL AS delivered, coalesce(w.state, '') AS waiting,
               e.user_id IS NOT NULL AS erased, i.ended_at IS NOT NULL AS lost, i.after_deletion AS learner_deleted,
               c.instance_id IS NOT NULL
                   AND (c.for_good OR c.revision = i.revision OR i.ended_at IS NOT NULL) AS cancelled,
               (true{route.condition(asked.route)}) AS routed, coalesce(i.id <= b.instance_id, true) AS past
        FROM {ROUTED}
        LEFT JOIN bridge.baseline b ON b.destination = :destination AND b.site = i.site
        LEFT JOIN bridge.erased_learner e ON e.site = i.site AND e.user_id = i.user_id
        LEFT JOIN (SELECT DISTINCT q.instance_id FROM bridge.delivery q
                   WHERE q.destination = :destination AND q.kind = 'completion' {some}) d ON d.instance_id = i.id
        LEFT JOIN ({waiting}) w ON w.instance_id = i.id
        LEFT JOIN ({_CANCELLED} {some} GROUP BY q.instance_id) c ON c.instance_id = i.id
        WHERE {" AND ".join(_asked_about(asked))}
    """


def _asked_about(asked: Asked) -> Iterator[str]:
    # each time by itself: the planner knows how many there are of a column, and nothing of a coalesce
    yield "true"
    if asked.since > EVER:
        yield "(i.time_completed >= :since OR i.time_completed IS NULL AND i.first_seen_at >= :since)"
    if asked.before < FOREVER:
        yield "(i.time_completed < :before OR i.time_completed IS NULL AND i.first_seen_at < :before)"
    if asked.sites:
        yield "i.site = ANY(:sites)"


def values(asked: Asked) -> dict[str, object]:
    """What both expect as parameters; a stretch of instances besides."""
    given: dict[str, object] = {"destination": asked.destination}
    if asked.since > EVER:
        given["since"] = asked.since
    if asked.before < FOREVER:
        given["before"] = asked.before
    if asked.sites:
        given["sites"] = [*asked.sites]
    return given | route.values(asked.route)


# what Totara lost before it was posted, and has again as another revision, is a matter of the route once more
_CANCELLED = """
    SELECT q.instance_id, max(q.revision) AS revision,
           bool_or(q.cancelled_by <> 'extract' OR q.first_posted_at IS NOT NULL) AS for_good
    FROM bridge.export_queue q
    WHERE q.destination = :destination AND q.state = 'cancelled' AND q.kind = 'completion'
"""
