"""What the tables of other releases have less or more than those of the recorded 17.3."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Engine

from totara_bridge.sandbox.totara.schema import tables


class Shape(StrEnum):
    """The releases that can be had."""

    TOTARA_12 = "12"  #: without what came between the installation files of 12.9 and the recorded 17.3
    TOTARA_17 = "17.3"  #: as recorded
    TOTARA_19 = "19"  #: made up: what 17.3 calls deprecated is gone, and tables have columns that it does not know
    LEAST = "least"  #: made up: only what no completion can be read without


class _Difference(NamedTuple):
    """To 17.3."""

    tables: str = ""  #: that are not there
    columns: str = ""  #: that are not there, as ``table.column``
    more: str = ""  #: columns that there are besides: nullable numbers


_DIFFERENCES: Mapping[Shape, _Difference] = {
    Shape.TOTARA_12: _Difference(
        columns="course.containertype course.duedate course.duedateoffsetamount course.duedateoffsetunit "
        "course_completions.duedate user.tenantid",
    ),
    Shape.TOTARA_17: _Difference(),
    Shape.TOTARA_19: _Difference(
        columns="course_completions.invalidatecache course_completions.renewalstatus",
        more="course.tenantid course_categories.tenantid course_completions.tenantid cohort.tenantid "
        "course_completions.timemodified course_completion_history.timearchived",
    ),
    Shape.LEAST: _Difference(
        tables="course_completion_log course_completion_history course_completion_criteria "
        "course_completion_crit_compl course_categories cohort cohort_members",
        columns="course.containertype course.visible course_completions.rpl course_completions.rplgrade "
        "course_completions.timeenrolled course_completions.timestarted user.suspended",
    ),
}


def reshape(engine: Engine, shape: Shape, prefix: str = "ttr_") -> None:
    """Give a site with 17.3's tables those of another release: the rows stay, but for what it has no place for.

    After `seed`, so that every shape holds the same rows. What happens later is up to SQL: `TotaraActs` knows 17.3's.
    """
    site, quote = tables(prefix), engine.dialect.identifier_preparer.quote
    difference = _DIFFERENCES[shape]
    statements = [f"DROP TABLE {quote(getattr(site, name).name)}" for name in difference.tables.split()]
    for what, columns in (("DROP COLUMN {}", difference.columns), ("ADD COLUMN {} bigint", difference.more)):
        for each in columns.split():
            table, _, column = each.partition(".")
            statements.append(f"ALTER TABLE {quote(getattr(site, table).name)} {what.format(column)}")
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
