"""Totara's tables as statements read them: with every column, also those that are absent."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, FromClause, cast, false, literal, null, select

from totara_bridge.totara.database.catalogue import READ, Catalogue

_TEXTS = {
    "rpl",
    "username",
    "idnumber",
    "email",
    "firstname",
    "lastname",
    "shortname",
    "fullname",
    "path",
    "containertype",
}
_DECIMALS = {"rplgrade", "grade"}


class Tables:
    """The tables of one Totara; one that is absent has no rows.

    What is complete is the plain table, so the database sees no more than it has to.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        def table(name: str) -> FromClause:
            return _table(catalogue, name)

        self.user = table("user")
        self.course = table("course")
        self.category = table("course_categories")
        self.completion = table("course_completions")
        self.history = table("course_completion_history")
        self.log = table("course_completion_log")
        self.criterion = table("course_completion_criteria")
        self.met = table("course_completion_crit_compl")
        self.cohort = table("cohort")
        self.member = table("cohort_members")


def _table(catalogue: Catalogue, table: str) -> FromClause:
    there = [column for column in READ[table] if catalogue.has(table, column)]
    absent = [_stand_in(column).label(column) for column in READ[table] if column not in there]
    if not catalogue.has(table):
        return select(*absent).where(false()).subquery(table)
    named = sa.table(catalogue.names[table], *(sa.column(column, _type(column)) for column in there))
    return select(*named.c, *absent).subquery(table) if absent else named


def _stand_in(column: str) -> ColumnElement[Any]:
    """What is read instead of an absent column: no course is taken for hidden."""
    return literal(1) if column == "visible" else cast(null(), _type(column))


def _type(column: str) -> sa.types.TypeEngine[Any]:
    if column in _TEXTS:
        return sa.Text()
    return sa.Numeric(10, 5) if column in _DECIMALS else sa.BigInteger()
