"""What became of each staged completion at a destination: one part for each, and for each part a condition of its own.

A part that is counted and its list are read by the same words, and what no part explains has a condition too: nothing
is what was left over. Against Totara's own number, these are the completions that were known when the site was compared
last, each site at its own moment; their parts are always those of now.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
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


class By(StrEnum):
    """What a line of the proof is of."""

    COURSE = "course"
    MONTH = "month"


#: What a line is of: the site and the course's id in Totara; or the first day of the month.
Key = tuple[str, int] | date


@dataclass(frozen=True)
class Asked:
    """Whose delivery is to be proved."""

    destination: str
    route: Route = EVERYTHING  #: the destination's
    sites: Sequence[str] = ()  #: none: all
    since: datetime = EVER  #: completed at or after; without a date: first seen at or after
    before: datetime = FOREVER
    zone: str = "UTC"  #: whose days and months
    against_totara: bool = False  #: only what was known when its site was compared with Totara last


# over the columns of `found`, none of which is ever null
_REASONS = {
    Part.ERASED: "erased",
    Part.CANCELLED: "cancelled",
    Part.LOST: "lost",
    Part.LEARNER_DELETED: "learner_deleted",
    Part.NOT_ROUTED: "NOT routed",
    Part.BASELINE: "past",
}


#: SQL: the last comparison of each site; only of this one are there counts.
COMPARED = "(SELECT DISTINCT ON (site) * FROM bridge.reconciliation ORDER BY site, id DESC)"

#: SQL: the instance ``i`` was known and alive at the comparison ``r``, or is of a learner ``e`` who was erased since:
#: an erasure takes the times away by which that could be told.
KNOWN = """
    CASE WHEN e.user_id IS NULL
         THEN i.first_seen_at <= r.made_at AND (i.ended_at IS NULL OR i.ended_at > r.made_at)
         ELSE e.erased_at > r.made_at END
"""


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


def found(asked: Asked, *, ledger_too: bool = False) -> str:
    """SQL: the completions that are asked about, one row for each, with all that `CONDITIONS` look at.

    Each table is read once, the queue by the indexes of what is not sent.

    :param ledger_too: look for what the queue says was sent and the ledger does not have: nothing accounts for it. That
        reads all of the queue.
    """
    # an instance waits in one item at most, by the queue's own key
    waiting = " UNION ALL ".join(
        f"""
        SELECT q.instance_id, q.state FROM bridge.export_queue q
        WHERE q.destination = :destination AND q.state = '{part}' AND q.kind = 'completion'
        """
        for part in WAITING
    )
    if ledger_too:
        waiting += _SENT_AND_NOT_IN_THE_LEDGER
    return _found(asked, waiting, "")


_SENT_AND_NOT_IN_THE_LEDGER = """
    UNION ALL
    SELECT DISTINCT q.instance_id, q.state FROM bridge.export_queue q
    WHERE q.destination = :destination AND q.state = 'sent' AND q.kind = 'completion'
      AND NOT EXISTS (SELECT FROM bridge.delivery l WHERE l.destination = q.destination
                      AND l.instance_id = q.instance_id AND l.kind = 'completion')
"""


def found_between(asked: Asked) -> str:
    """SQL: the same of the instances above ``:after`` and up to ``:up_to``; the queue is read by instance."""
    some = "AND q.instance_id > :after AND q.instance_id <= :up_to"
    waiting = f"""
        SELECT q.instance_id, nullif(q.state, 'sent') AS state FROM bridge.export_queue q
        WHERE q.destination = :destination AND q.state <> 'cancelled' AND q.kind = 'completion' {some}
    """
    return f"{_found(asked, waiting, some)} AND i.id > :after AND i.id <= :up_to"


def _found(asked: Asked, waiting: str, some: str) -> str:
    compared = f"JOIN {COMPARED} r ON r.site = i.site" if asked.against_totara else ""
    known = f"AND {KNOWN}" if asked.against_totara else ""
    return f"""
        SELECT i.id, i.site, i.user_id, i.course_id, i.record_key, i.time_completed,
               coalesce(i.time_completed, i.first_seen_at) AS at,
               d.instance_id IS NOT NULL AS delivered, coalesce(w.state, '') AS waiting,
               e.user_id IS NOT NULL AS erased, i.ended_at IS NOT NULL AS lost, i.after_deletion AS learner_deleted,
               c.instance_id IS NOT NULL
                   AND (c.for_good OR c.revision = i.revision OR i.ended_at IS NOT NULL) AS cancelled,
               (true{route.condition(asked.route)}) AS routed, coalesce(i.id <= b.instance_id, true) AS past
        FROM {ROUTED} {compared}
        LEFT JOIN bridge.baseline b ON b.destination = :destination AND b.site = i.site
        LEFT JOIN bridge.erased_learner e ON e.site = i.site AND e.user_id = i.user_id
        LEFT JOIN (SELECT DISTINCT q.instance_id FROM bridge.delivery q
                   WHERE q.destination = :destination AND q.kind = 'completion' {some}) d ON d.instance_id = i.id
        LEFT JOIN ({waiting}) w ON w.instance_id = i.id
        LEFT JOIN ({_CANCELLED} {some} GROUP BY q.instance_id) c ON c.instance_id = i.id
        WHERE {about(asked)} {known}
    """


def in_years(time: str) -> str:
    """SQL: a time in the zone ``:zone``; some zones have the last hours of the year 9999 in one that Python has not."""
    return f"least({time} AT TIME ZONE :zone, timestamp '9999-12-31')"


def about(asked: Asked) -> str:
    """SQL: the instance ``i`` is asked about."""
    return " AND ".join(_about(asked))


def _about(asked: Asked) -> Iterator[str]:
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
    return {"destination": asked.destination} | about_values(asked) | route.values(asked.route)


def about_values(asked: Asked) -> dict[str, object]:
    """What `about` expects as parameters."""
    given: dict[str, object] = {}
    if asked.since > EVER:
        given["since"] = asked.since
    if asked.before < FOREVER:
        given["before"] = asked.before
    if asked.sites:
        given["sites"] = [*asked.sites]
    return given


# what Totara lost before it was posted, and has again as another revision, is a matter of the route once more
_CANCELLED = """
    SELECT q.instance_id, max(q.revision) AS revision,
           bool_or(q.cancelled_by <> 'extract' OR q.first_posted_at IS NOT NULL) AS for_good
    FROM bridge.export_queue q
    WHERE q.destination = :destination AND q.state = 'cancelled' AND q.kind = 'completion'
"""
