"""The rows behind a report of course completions, read from the live tables in the order and page asked for."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from totara_bridge.sandbox.totara.schema import Tables

#: The columns of the report that was recorded, by ``type_value``, in its order.
RECORDED_COLUMNS = (
    "user_id",
    "user_username",
    "user_idnumber",
    "user_emailunobscured",
    "course_id",
    "course_shortname",
    "course_idnumber",
    "course_completion_status",
    "course_completion_enrolleddate",
    "course_completion_starteddate",
    "course_completion_completeddate",
    "course_completion_rplnote",
    "course_completion_grade",
)
DATE_COLUMNS = frozenset(key for key in RECORDED_COLUMNS if key.endswith("date"))


@dataclass(frozen=True)
class Order:
    """By a column and nothing else; none of it: by the completion's own id, which is what a report falls back on."""

    column: str
    descending: bool = True
    ties_descending: bool = False  #: of rows with an equal value, by id


@dataclass(frozen=True)
class Narrowed:
    """Which completions a report shows."""

    statuses: frozenset[Any] | None = None
    completed_since: int | None = None


def columns(site: Tables) -> dict[str, ColumnElement[Any]]:
    """What stands in each column, before it is made readable."""
    user, course, current = site.user.c, site.course.c, site.course_completions.c
    values = (
        current.userid,
        user.username,
        user.idnumber,
        user.email,
        current.course,
        course.shortname,
        course.idnumber,
        current.status,
        current.timeenrolled,
        current.timestarted,
        current.timecompleted,
        current.rpl,
        current.rplgrade,
    )
    return dict(zip(RECORDED_COLUMNS, values, strict=True))


def rows(
    site: Tables, narrowed: Narrowed, *, order: Order | None = None, limit: int | None = None, offset: int = 0
) -> Select[Any]:
    """The statement for a page, or for all of it."""
    key = site.course_completions.c.id
    known = columns(site)
    statement = _from(site, select(*(value.label(name) for name, value in known.items())), narrowed)
    if order is not None:
        column = known[order.column]
        ties = key.desc() if order.ties_descending else key.asc()
        statement = statement.order_by(column.desc() if order.descending else column.asc(), ties)
    else:
        statement = statement.order_by(key)
    return statement.limit(limit).offset(offset)


def count(site: Tables, narrowed: Narrowed) -> Select[Any]:
    """The statement for how many rows there are, as ``rows``."""
    return _from(site, select(func.count().label("rows")), narrowed)


def _from(site: Tables, statement: Select[Any], narrowed: Narrowed) -> Select[Any]:
    current = site.course_completions
    joined = current.outerjoin(site.user, site.user.c.id == current.c.userid)
    joined = joined.outerjoin(site.course, site.course.c.id == current.c.course)
    statement = statement.select_from(joined)
    if narrowed.statuses is not None:
        statement = statement.where(current.c.status.in_(sorted(narrowed.statuses)))
    if narrowed.completed_since is not None:
        statement = statement.where(current.c.timecompleted >= narrowed.completed_since)
    return statement
