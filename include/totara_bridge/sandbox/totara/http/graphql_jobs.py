"""``totara_job_job_assignments``: the jobs of users who are not deleted, and the places that they are in."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table, select

from totara_bridge.sandbox.totara.http.graphql_dates import date_field
from totara_bridge.sandbox.totara.http.graphql_execution import Execution, FieldType
from totara_bridge.sandbox.totara.http.graphql_input import PAGES, Inputs
from totara_bridge.sandbox.totara.http.graphql_pages import Paged, page

Row = dict[str, Any]
#: Recorded for users only; of jobs no more is known than that the id is one.
_SORTABLE = ("id",)
INPUTS: Inputs = {
    "totara_job_job_assignments_query": {"pagination": "core_pagination_input", "sort": "[core_sort_input!]"},
    **PAGES,
}


def _page(source: Row, arguments: Row, execution: Execution) -> Row:
    jobs, user = execution.site.tables.job_assignment, execution.site.tables.user
    shown = jobs.c.userid.in_(select(user.c.id).where(user.c.deleted == 0))
    return page(Paged(jobs, shown, _SORTABLE), arguments.get("query", {}), execution)


def _user(row: Row, arguments: Row, execution: Execution) -> Row:
    user = execution.site.tables.user
    rows: list[Row] = execution.once(
        ("user", row["userid"]), lambda: execution.site.rows(select(user).where(user.c.id == row["userid"]))
    )
    return rows[0]


def _place(kind: str) -> FieldType:
    """The position or organisation of a job."""

    def resolve(row: Row, arguments: Row, execution: Execution) -> Row | None:
        table: Table = getattr(execution.site.tables, "org" if kind == "organisation" else "pos")
        by_id: dict[int, Row] = execution.once(
            table.name, lambda: {each["id"]: each for each in execution.site.rows(select(table))}
        )
        return by_id.get(row[f"{kind}id"])

    return FieldType(f"totara_hierarchy_{kind}", resolve=resolve)


def _id(column: str, *, required: bool = False) -> FieldType:
    def resolve(row: Row, arguments: Row, execution: Execution) -> str | None:
        return str(row[column]) if row[column] else None

    return FieldType(required=required, resolve=resolve)


def _nothing(value: Any = None) -> FieldType:
    return FieldType(resolve=lambda row, arguments, execution: value)


def jobs_of(users: Iterable[int], execution: Execution) -> dict[int, list[Row]]:
    """The jobs of each of these users who has any, in their order."""
    jobs = execution.site.tables.job_assignment
    of_users: dict[int, list[Row]] = {}
    statement = select(jobs).where(jobs.c.userid.in_(users)).order_by(jobs.c.userid, jobs.c.sortorder, jobs.c.id)
    for row in execution.site.rows(statement):
        of_users.setdefault(row["userid"], []).append(row)
    return of_users


_PLACE = {
    "id": _id("id", required=True),
    "fullname": FieldType(required=True),
    "shortname": FieldType(),
    "idnumber": FieldType(),
    "frameworkid": _id("frameworkid"),
    "parentid": _id("parentid"),
    "visible": FieldType(required=True, resolve=lambda row, arguments, execution: bool(row["visible"])),
}
TYPES = {
    "totara_job_job_assignments_result": {
        "items": FieldType("totara_job_job_assignment", many=True),
        "total": FieldType(required=True),
        "next_cursor": FieldType(required=True),
    },
    "totara_job_job_assignment": {
        "id": _id("id", required=True),
        "userid": _id("userid", required=True),
        "user": FieldType("core_user", required=True, resolve=_user),
        "fullname": FieldType(),
        "shortname": _nothing(),
        "idnumber": FieldType(required=True),
        "description": _nothing(),
        "startdate": date_field("startdate"),
        "enddate": date_field("enddate"),
        "positionid": _id("positionid"),
        "position": _place("position"),
        "organisationid": _id("organisationid"),
        "organisation": _place("organisation"),
        "managerjaid": _nothing(),
        "managerja": FieldType("totara_job_job_assignment", resolve=lambda row, arguments, execution: None),
    },
    "totara_hierarchy_position": _PLACE,
    "totara_hierarchy_organisation": _PLACE,
}
QUERIES = {
    "totara_job_job_assignments": FieldType(
        "totara_job_job_assignments_result",
        required=True,
        arguments={"query": "totara_job_job_assignments_query"},
        resolve=_page,
    )
}
