"""Proof of delivery: how many completions there are, what became of them at a destination, and which these are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Row, bindparam, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.proof_expected import Count, count_by, count_values
from totara_bridge.staging.proof_part import (
    CONDITIONS,
    UNACCOUNTED,
    Asked,
    By,
    Key,
    Part,
    found,
    found_between,
    in_years,
    values,
)

#: Ids of instances that are looked at in one statement, or each page could be planned as a join of whole tables.
STRETCH = 50_000

#: As many such statements are made for one page.
STRETCHES = 20


@dataclass(frozen=True)
class InTotara:
    """How many completions Totara has, at the last comparison of each site."""

    completed: int = 0
    erased: int = 0  #: of these, of learners who had been erased here: not staged
    set_aside: int = 0  #: of these, those that cannot be true: not staged

    def __add__(self, other: "InTotara") -> "InTotara":
        """Both together."""
        return InTotara(self.completed + other.completed, self.erased + other.erased, self.set_aside + other.set_aside)


@dataclass(frozen=True)
class Line:
    """The completions of a course, of a month, or of all there are."""

    key: Key | None  #: none: of all
    course: str | None  #: its short name, as last known
    staged: int
    parts: Mapping[Part, int]
    unaccounted: int
    totara: InTotara | None = None  #: none: only what is staged is looked at

    @property
    def not_staged(self) -> int:
        """How many Totara has that no count explains and that are not staged; below zero: more are staged."""
        if self.totara is None:
            return 0
        return self.totara.completed - self.totara.erased - self.totara.set_aside - self.staged

    @property
    def gap(self) -> int:
        """By how much the parts do not add up to Totara's number, or to what is staged; below zero: to more."""
        return self.staged - sum(self.parts.values()) + self.not_staged

    @property
    def closes(self) -> bool:
        """Each completion is somewhere; two faults that make up for each other are two faults."""
        return not (self.unaccounted or self.not_staged or self.gap)


@dataclass(frozen=True)
class Page:
    """Completions of one part."""

    rows: Sequence[Row[Any]]
    after: int | None  #: where the next page begins; none: there are no more


def prove(transaction: Transaction, asked: Asked, by: By) -> list[Line]:
    """The lines: by site and the course's short name, or by month."""
    given = values(asked)
    if by is By.MONTH:
        given |= {"zone": asked.zone}
    if asked.against_totara:
        given |= count_values(asked)
    return [_line(row, asked) for row in transaction.execute(text(_count(asked, by)), given)]


def total(lines: Sequence[Line]) -> Line:
    """All of them as one."""
    told = [line.totara for line in lines if line.totara is not None]
    return Line(
        key=None,
        course=None,
        staged=sum(line.staged for line in lines),
        parts={part: sum(line.parts[part] for line in lines) for part in Part},
        unaccounted=sum(line.unaccounted for line in lines),
        totara=sum(told, InTotara()) if told else None,
    )


def read_as_of_now(transaction: Transaction) -> None:
    """Let all that the transaction reads be of one moment; before it reads anything."""
    transaction.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


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
    key = f"cast(date_trunc('month', {in_years('f.at')}) AS date) AS month" if by is By.MONTH else "f.site, f.course_id"
    names = "month" if by is By.MONTH else "site, course_id"
    counted = f"(SELECT {key}, count(*) AS staged, {_COUNTS} FROM ({found(asked)}) f GROUP BY {names}) s"
    if asked.against_totara:
        counted += f" FULL JOIN ({count_by(asked, by)}) t USING ({names})"
    if by is By.MONTH:
        return f"SELECT * FROM {counted} ORDER BY month"
    return f"""
        SELECT counted.*, k.short_name AS course
        FROM (SELECT * FROM {counted}) counted
        LEFT JOIN bridge.course k ON k.site = counted.site AND k.course_id = counted.course_id
        ORDER BY site, course, course_id
    """


def _line(row: Row[Any], asked: Asked) -> Line:
    said = row._mapping
    return Line(
        key=said.get("month") or (row.site, row.course_id),
        course=said.get("course"),
        staged=row.staged or 0,
        parts={part: said[part] or 0 for part in Part},
        unaccounted=row.unaccounted or 0,
        totara=_in_totara(said) if asked.against_totara else None,
    )


def _in_totara(said: Mapping[Any, Any]) -> InTotara:
    return InTotara(*(said[each] or 0 for each in (Count.IN_TOTARA, Count.ERASED, Count.SET_ASIDE)))


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
