"""Proof of delivery: how many completions are staged, what became of them at a destination, and which these are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Row, bindparam, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.proof_part import CONDITIONS, UNACCOUNTED, Asked, Part, found, found_between, values

#: Ids of instances that are looked at in one statement, or each page could be planned as a join of whole tables.
STRETCH = 50_000

#: As many such statements are made for one page.
STRETCHES = 20


class By(StrEnum):
    """What a line of the proof is of."""

    COURSE = "course"
    MONTH = "month"


#: What a line is of: the site and the course's id in Totara; or the first day of the month.
Key = tuple[str, int] | date


@dataclass(frozen=True)
class Line:
    """The completions of a course, of a month, or of all there are."""

    key: Key | None  #: none: of all
    course: str | None  #: its short name, as last known
    staged: int
    parts: Mapping[Part, int]
    unaccounted: int
    expected: int | None = None  #: how many Totara says that it has; none: it was not asked

    @property
    def gap(self) -> int:
        """How many the parts do not add up to; below zero: some are in two parts."""
        return self.staged - sum(self.parts.values())

    @property
    def missing(self) -> int:
        """How many Totara has that are not staged, where it was asked; below zero: more are staged."""
        return 0 if self.expected is None else self.expected - self.staged

    @property
    def closes(self) -> bool:
        """Each completion is somewhere."""
        return not (self.gap or self.unaccounted or self.missing)


@dataclass(frozen=True)
class Page:
    """Completions of one part."""

    rows: Sequence[Row[Any]]
    after: int | None  #: where the next page begins; none: there are no more


def prove(transaction: Transaction, asked: Asked, by: By, *, expected: Mapping[Key, int] | None = None) -> list[Line]:
    """The lines: by site and the course's short name, or by month.

    :param expected: how many completions Totara has, by what a line is of; what is not named, it has none of.
    """
    lines = [_line(row, expected) for row in transaction.execute(text(_count(asked, by)), _values(asked, by))]
    known = {line.key for line in lines}
    lines += [
        Line(key, None, 0, dict.fromkeys(Part, 0), 0, expected=count)
        for key, count in (expected or {}).items()
        if key not in known
    ]
    return lines


def total(lines: Sequence[Line]) -> Line:
    """All of them as one."""
    told = [line.expected for line in lines if line.expected is not None]
    return Line(
        key=None,
        course=None,
        staged=sum(line.staged for line in lines),
        parts={part: sum(line.parts[part] for line in lines) for part in Part},
        unaccounted=sum(line.unaccounted for line in lines),
        expected=sum(told) if told else None,
    )


def page(
    transaction: Transaction,
    asked: Asked,
    part: Part | None,
    *,
    course: tuple[str, int] | None = None,
    after: int,
    limit: int,
    stretch: int = STRETCH,
) -> Page:
    """The next completions of a part, in the order in which they were staged.

    The rows have record_key, site, user_id, username, course_id, course (its short name), time_completed, and of the
    item that says so item_id and state, if there is one. So many instances are looked at for a page that it comes soon;
    it may have fewer rows than asked for, even none, where others follow.

    :param part: none: what no part explains.
    :param course: only of this one, by its site and Totara's id; none: of all.
    """
    # each stretch is planned for itself: the planner knows how many rows are between two numbers, not between any two
    numbers = (bindparam(name, type_=BigInteger, literal_execute=True) for name in ("after", "up_to"))
    listed = _list(asked, CONDITIONS[part or UNACCOUNTED], of_course=course is not None)
    statement = text(listed).bindparams(*numbers)
    given = values(asked)
    if course is not None:
        given |= {"course_site": course[0], "course_id": course[1]}
    highest = transaction.execute(_HIGHEST).scalar_one()
    reached = after + stretch * STRETCHES
    rows: list[Row[Any]] = []
    for start in range(after, min(highest, reached), stretch):
        rows += transaction.execute(
            statement, given | {"after": start, "up_to": start + stretch, "limit": limit - len(rows)}
        )
        if len(rows) == limit:
            reached = rows[-1].id
            break
    return Page(rows, reached if reached < highest else None)


_HIGHEST = text("SELECT coalesce(max(id), 0) FROM bridge.completion_instance")

_COUNTS = ", ".join(f"count(*) FILTER (WHERE {condition}) AS {name}" for name, condition in CONDITIONS.items())


def _count(asked: Asked, by: By) -> str:
    if by is By.MONTH:
        return f"""
            SELECT cast(date_trunc('month', f.at AT TIME ZONE :zone) AS date) AS month, count(*) AS staged, {_COUNTS}
            FROM ({found(asked)}) f GROUP BY 1 ORDER BY 1
        """
    return f"""
        SELECT counted.*, k.short_name AS course
        FROM (SELECT site, course_id, count(*) AS staged, {_COUNTS} FROM ({found(asked)}) f GROUP BY 1, 2) counted
        LEFT JOIN bridge.course k ON k.site = counted.site AND k.course_id = counted.course_id
        ORDER BY site, course, course_id
    """


def _values(asked: Asked, by: By) -> dict[str, object]:
    return values(asked) | ({"zone": asked.zone} if by is By.MONTH else {})


def _line(row: Row[Any], expected: Mapping[Key, int] | None) -> Line:
    said = row._mapping
    key: Key = said.get("month") or (row.site, row.course_id)
    return Line(
        key=key,
        course=said.get("course"),
        staged=row.staged,
        parts={part: said[part] for part in Part},
        unaccounted=row.unaccounted,
        expected=None if expected is None else expected.get(key, 0),
    )


def _list(asked: Asked, condition: str, *, of_course: bool) -> str:
    # the item that waits, or else the last that there was; to be looked up for the rows of the page alone
    return f"""
        SELECT f.id, f.record_key, f.site, f.user_id, l.username, f.course_id, k.short_name AS course,
               f.time_completed, q.id AS item_id, q.state
        FROM (SELECT * FROM ({found_between(asked)}) f
              WHERE {condition} {"AND site = :course_site AND course_id = :course_id" if of_course else ""}
              ORDER BY id LIMIT :limit) f
        LEFT JOIN bridge.learner l ON l.site = f.site AND l.user_id = f.user_id
        LEFT JOIN bridge.course k ON k.site = f.site AND k.course_id = f.course_id
        LEFT JOIN LATERAL (SELECT q.id, q.state FROM bridge.export_queue q
                           WHERE q.destination = :destination AND q.instance_id = f.id AND q.kind = 'completion'
                           ORDER BY q.state = 'cancelled', q.id DESC LIMIT 1) q ON true
        ORDER BY f.id
    """
