"""How many completions Totara has, by the last comparison of each site, and how many of them are not staged and why.

A comparison has counted them by course and day: which these were, nobody knows any more, so that is what is listed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.past import FOREVER
from totara_bridge.staging.proof_part import COMPARED, EVER, KNOWN, Asked, By, about, about_values, in_years


class Count(StrEnum):
    """What is known of Totara's completions by their number only."""

    IN_TOTARA = "in_totara"  #: all of them, current and archived
    ERASED = "erased_in_totara"  #: of these, of learners who had been erased here: not staged
    SET_ASIDE = "set_aside"  #: of these, those that cannot be true: not staged
    NOT_STAGED = "not_staged"  #: what else was not staged; below zero: more was


#: All of them, by name.
COUNTS = frozenset(map(str, Count))


@dataclass(frozen=True)
class Comparison:
    """The last comparison of a site, and what of the completions that are asked about is not as it was then."""

    site: str
    made_at: datetime
    made_by: str
    query: str  #: the connection's, as JSON
    missing: int  #: as it found: Totara had it, staging or a destination lacked it
    extra: int  #: staging or a destination had it, Totara lacked it
    pending: int  #: pairs of learner and course that Totara had changed since the last extract
    found_since: int  #: first seen since: not in the proof
    lost_before: int  #: Totara had lost them: not in the proof
    revised_since: int  #: edited since: they count by the date that they have now
    erased_since: int  #: of learners who were erased since: they count by the day of that


@dataclass(frozen=True)
class Days:
    """Days on which a course has some of a count."""

    rows: Sequence[Row[Any]]
    after: int | None  #: where the next page begins; none: there are no more


def sites_compared(transaction: Transaction) -> frozenset[str]:
    """The sites that were compared with Totara."""
    return frozenset(transaction.execute(text("SELECT DISTINCT site FROM bridge.reconciliation")).scalars())


def sites_staged(transaction: Transaction) -> frozenset[str]:
    """The sites of which something may be staged."""
    return frozenset(transaction.execute(text("SELECT code FROM bridge.site")).scalars())


def comparisons(transaction: Transaction, asked: Asked) -> list[Comparison]:
    """The last comparison of each site that is asked about and was compared, by the site's code."""
    statement = text(
        f"""
        SELECT r.site, r.made_at, r.made_by, r.query, r.missing, r.extra, r.pending,
               coalesce(c.found_since, 0) AS found_since, coalesce(c.lost_before, 0) AS lost_before,
               coalesce(c.revised_since, 0) AS revised_since,
               coalesce(c.erased_since, 0) AS erased_since
        FROM {COMPARED} r LEFT JOIN ({_SINCE} WHERE {about(asked)} GROUP BY i.site) c ON c.site = r.site
        {"WHERE r.site = ANY(:sites)" if asked.sites else ""} ORDER BY r.site
        """
    )
    return [Comparison(**row._mapping) for row in transaction.execute(statement, about_values(asked))]


def count_by(asked: Asked, by: By) -> str:
    """SQL: in_totara, erased_in_totara and set_aside of each site and course, or of each month; see `count_values`."""
    key = "cast(date_trunc('month', c.day) AS date) AS month" if by is By.MONTH else "r.site, c.course_id"
    sums = ", ".join(f"cast(sum({column}) AS bigint) AS {count}" for count, column in _COLUMNS.items())
    return f"SELECT {key}, {sums} FROM {_counted(asked)} GROUP BY {'1' if by is By.MONTH else '1, 2'}"


def count_values(asked: Asked) -> dict[str, object]:
    """What `count_by` expects as parameters."""
    given: dict[str, object] = {"sites": [*asked.sites]} if asked.sites else {}
    return given | {name: day for name, day in _days_of(asked).items() if day is not None}


def days(
    transaction: Transaction,
    asked: Asked,
    count: Count,
    *,
    course: tuple[str, int] | None = None,
    after: int,
    limit: int,
) -> Days:
    """The next days on which a course has some of the count: rows of site, course_id, course (short name), day, count.

    Their sum is the number in the proof. The days of undated completions are those on which they were first seen.

    :param course: only of this one, by its site and Totara's id; none: of all.
    :param after: how many were shown.
    """
    listed = _differing(asked) if count is Count.NOT_STAGED else _of_days(asked, _COLUMNS[count])
    statement = text(
        f"""
        SELECT d.site, d.course_id, k.short_name AS course, d.day, d.count
        FROM (SELECT * FROM ({listed}) listed
              WHERE count <> 0 {"AND site = :course_site AND course_id = :course_id" if course else ""}
              ORDER BY site, course_id, day LIMIT :limit OFFSET :after) d
        LEFT JOIN bridge.course k ON k.site = d.site AND k.course_id = d.course_id
        ORDER BY d.site, d.course_id, d.day
        """
    )
    given = count_values(asked) | {"after": after, "limit": limit + 1}
    if course is not None:
        given |= {"course_site": course[0], "course_id": course[1]}
    if count is Count.NOT_STAGED:
        given |= about_values(asked) | {"zone": asked.zone}
    rows = transaction.execute(statement, given).all()
    return Days(rows[:limit], after + limit if len(rows) > limit else None)


_COLUMNS: Mapping[Count, str] = {
    Count.IN_TOTARA: "c.completed",
    Count.ERASED: "c.erased",
    Count.SET_ASIDE: "c.set_aside",
}


def _counted(asked: Asked) -> str:
    conditions = [f"c.day {_SIDE[name]} :{name}" for name, day in _days_of(asked).items() if day is not None]
    if asked.sites:
        conditions.append("r.site = ANY(:sites)")
    return f"""
        {COMPARED} r JOIN bridge.reconciled_count c ON c.reconciliation_id = r.id
        WHERE {" AND ".join(["true", *conditions])}
    """


_SIDE = {"first_day": ">=", "last_day": "<="}


def _days_of(asked: Asked) -> dict[str, date | None]:
    """The period as days; it begins and ends at midnight of the zone."""
    zone = ZoneInfo(asked.zone)
    last = None
    if asked.before < FOREVER:
        # in UTC: no wall shows a midnight that clocks skip
        last = (asked.before.astimezone(UTC) - timedelta(microseconds=1)).astimezone(zone).date()
    return {"first_day": asked.since.astimezone(zone).date() if asked.since > EVER else None, "last_day": last}


def _of_days(asked: Asked, column: str) -> str:
    return f"SELECT r.site, c.course_id, c.day, {column} AS count FROM {_counted(asked)}"


def _differing(asked: Asked) -> str:
    return f"""
        SELECT site, course_id, day, coalesce(t.count, 0) - coalesce(s.count, 0) AS count
        FROM ({_of_days(asked, "c.completed - c.erased - c.set_aside")}) t
        FULL JOIN (SELECT i.site, i.course_id,
                          cast({in_years("coalesce(i.time_completed, i.first_seen_at)")} AS date) AS day,
                          count(*) AS count
                   FROM {_COMPARED_INSTANCES} WHERE {about(asked)} AND {KNOWN}
                   GROUP BY 1, 2, 3) s USING (site, course_id, day)
    """


_COMPARED_INSTANCES = f"""
    bridge.completion_instance i JOIN {COMPARED} r ON r.site = i.site
    LEFT JOIN bridge.erased_learner e ON e.site = i.site AND e.user_id = i.user_id
"""

_SINCE = f"""
    SELECT i.site,
           count(*) FILTER (WHERE e.user_id IS NULL AND i.first_seen_at > r.made_at) AS found_since,
           count(*) FILTER (WHERE e.user_id IS NULL AND i.first_seen_at <= r.made_at
                              AND i.ended_at <= r.made_at) AS lost_before,
           count(*) FILTER (WHERE e.user_id IS NULL AND i.revised_at > r.made_at AND {KNOWN}) AS revised_since,
           count(*) FILTER (WHERE e.erased_at > r.made_at) AS erased_since
    FROM {_COMPARED_INSTANCES}
"""
