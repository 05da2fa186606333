"""Totara's tables, and its codes as the bridge's words."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, and_, case, func, or_
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


def totara_table(name: str, columns: str) -> sa.TableClause:
    """A table of Totara's, with those of its columns that are read."""
    return sa.table(name, *(sa.column(column, _type(column)) for column in columns.split()))


def _type(column: str) -> sa.types.TypeEngine[Any]:
    text = {"rpl", "username", "idnumber", "email", "firstname", "lastname", "shortname", "fullname", "path"}
    if column in text:
        return sa.Text()
    return sa.Numeric(10, 5) if column in {"rplgrade", "grade"} else sa.BigInteger()
