"""``core_user_users``: everybody but the deleted, the guest and the suspended included."""

from typing import Any

from sqlalchemy import select

from totara_bridge.sandbox.totara.http.graphql_dates import DATE_ARGUMENTS, date_field, shown
from totara_bridge.sandbox.totara.http.graphql_execution import Execution, FieldType
from totara_bridge.sandbox.totara.http.graphql_input import PAGES, Inputs
from totara_bridge.sandbox.totara.http.graphql_jobs import jobs_of
from totara_bridge.sandbox.totara.http.graphql_pages import Paged, page

Row = dict[str, Any]
_SORTABLE = ("id", "firstname", "lastname", "username", "timemodified")
_ZONE_OF_SITE = "99"
_ON_PAGE = "ids of the users on the page"
INPUTS: Inputs = {
    "core_user_users_query": {"pagination": "core_pagination_input", "sort": "[core_sort_input!]"},
    **PAGES,
}


def _page(source: Row, arguments: Row, execution: Execution) -> Row:
    user = execution.site.tables.user
    found = page(Paged(user, user.c.deleted == 0, _SORTABLE), arguments.get("query", {}), execution)
    on_page = tuple(row["id"] for row in found["items"])
    return {**found, "items": [{**row, _ON_PAGE: on_page} for row in found["items"]]}


def _email(row: Row, arguments: Row, execution: Execution) -> str | None:
    return None if row["username"] in execution.switches.hidden_emails else row["email"]


def _timezone(row: Row, arguments: Row, execution: Execution) -> str:
    return execution.switches.zone if row["timezone"] == _ZONE_OF_SITE else row["timezone"]


def _last_access(row: Row, arguments: Row, execution: Execution) -> str | None:
    """A call by the service account is an access of its own."""
    is_now = row["username"] == execution.switches.service_account
    return shown(execution.site.now() if is_now else row["lastaccess"], arguments, execution)


def _custom_fields(row: Row, arguments: Row, execution: Execution) -> list[Row]:
    users = row.get(_ON_PAGE, (row["id"],))
    loaded: dict[int, list[Row]] = execution.once(("custom fields", users), lambda: _fields_of(users, execution))
    return loaded.get(row["id"], [])


def _fields_of(users: tuple[int, ...], execution: Execution) -> dict[int, list[Row]]:
    value, kind = execution.site.tables.user_info_data, execution.site.tables.user_info_field
    statement = (
        select(value.c.userid, kind.c.shortname, value.c.data, value.c.dataformat, kind.c.datatype)
        .join(kind, kind.c.id == value.c.fieldid)
        .where(value.c.userid.in_(users))
        .order_by(value.c.userid, kind.c.sortorder, kind.c.id)
    )
    of_users: dict[int, list[Row]] = {}
    for row in execution.site.rows(statement):
        custom = {"shortname": row["shortname"], "data": row["data"]}
        custom |= {"data_format": row["dataformat"], "data_type": row["datatype"]}
        of_users.setdefault(row["userid"], []).append(custom)
    return of_users


def _jobs(row: Row, arguments: Row, execution: Execution) -> list[Row]:
    users = row.get(_ON_PAGE, (row["id"],))
    loaded: dict[int, list[Row]] = execution.once(("jobs", users), lambda: jobs_of(users, execution))
    return loaded.get(row["id"], [])


_USER = {
    "id": FieldType(required=True, resolve=lambda row, arguments, execution: str(row["id"])),
    "fullname": FieldType(
        required=True, resolve=lambda row, arguments, execution: f"{row['firstname']} {row['lastname']}".strip()
    ),
    "email": FieldType(resolve=_email),
    "suspended": FieldType(resolve=lambda row, arguments, execution: bool(row["suspended"])),
    "country": FieldType(resolve=lambda row, arguments, execution: row["country"] or None),
    "timezone": FieldType(resolve=_timezone),
    "firstaccess": date_field("firstaccess"),
    "lastaccess": FieldType(arguments=DATE_ARGUMENTS, resolve=_last_access),
    "custom_fields": FieldType("core_user_custom_field", many=True, resolve=_custom_fields),
    "job_assignments": FieldType("totara_job_job_assignment", many=True, required=True, resolve=_jobs),
}
_AS_STORED = (
    "idnumber username firstname lastname middlename alternatename firstnamephonetic lastnamephonetic address phone1 "
    "phone2 department institution city description lang theme url skype"
)
TYPES = {
    "core_user_users_result": {
        "items": FieldType("core_user", many=True, required=True),
        "total": FieldType(required=True),
        "next_cursor": FieldType(required=True),
    },
    "core_user": {**{name: FieldType() for name in _AS_STORED.split()}, **_USER},
    "core_user_custom_field": {
        "shortname": FieldType(required=True),
        "data": FieldType(required=True),
        "data_format": FieldType(),
        "data_type": FieldType(required=True),
    },
}
QUERIES = {
    "core_user_users": FieldType(
        "core_user_users_result", required=True, arguments={"query": "core_user_users_query"}, resolve=_page
    )
}
