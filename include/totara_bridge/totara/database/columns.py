"""Totara's codes as the bridge's words."""

from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, case, cast, func, literal, null, or_, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from totara_bridge.completion import Status


def status(row: ReadOnlyColumnCollection[str, Any]) -> ColumnElement[str]:
    """Totara's own reading: a row with a date is complete; the code 0 can occur on raw rows."""
    by_rpl = or_(row.status == 75, func.coalesce(row.rpl, "") != "")
    return case(
        (and_(func.coalesce(row.timecompleted, 0) != 0, by_rpl), Status.COMPLETE_RPL.value),
        (func.coalesce(row.timecompleted, 0) != 0, Status.COMPLETE.value),
        (row.status == 75, Status.COMPLETE_RPL.value),
        (row.status == 50, Status.COMPLETE.value),
        (or_(row.status == 25, row.timestarted > 0), Status.IN_PROGRESS.value),
        else_=Status.NOT_STARTED.value,
    )


def flag(column: ColumnElement[int]) -> ColumnElement[str]:
    """A smallint as ``t`` or ``f``."""
    return case((column != 0, "t"), else_="f")


def progress(
    row: ReadOnlyColumnCollection[str, Any],
    met: ReadOnlyColumnCollection[str, Any] | None,
    criteria: ColumnElement[int],
) -> ColumnElement[int | None]:
    """The share of the course's completion criteria that are met, in percent; none where that cannot be known.

    :param met: the criteria that learners have met, if they can be seen.
    :param criteria: how many the course has; NULL where it has none.
    """
    complete = or_(func.nullif(row.timecompleted, 0).is_not(None), row.status.in_([50, 75]))
    if met is None:
        return case((complete, literal(100)), else_=null())
    number = (
        select(func.count())
        .where(met.userid == row.userid, met.course == row.course, met.timecompleted.is_not(None))
        .scalar_subquery()
    )
    share = cast(func.round(number * 100.0 / criteria), Integer)
    return case((complete, literal(100)), (criteria > 0, func.least(share, 100)), else_=null())
