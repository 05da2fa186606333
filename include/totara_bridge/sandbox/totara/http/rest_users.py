"""Users: what is told of one depends on what the caller may see of users."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import and_, select

from totara_bridge.sandbox.totara.http.refusal import bad_parameter, not_possible
from totara_bridge.sandbox.totara.http.rest_call import Call, Row, full_name
from totara_bridge.sandbox.totara.http.rest_parameters import Scalar, Several, Structure, anything, integer, word

USERS_BY_FIELD = Structure({"field": Scalar(word), "values": Several(Scalar(anything))})
GET_USERS = Structure({"criteria": Several(Structure({"key": Scalar(word), "value": Scalar(anything)}))})

#: Every answer has its fields in this order.
_ORDER = [
    "id",
    "username",
    "firstname",
    "lastname",
    "fullname",
    "email",
    "department",
    "institution",
    "idnumber",
    "firstaccess",
    "lastaccess",
    "auth",
    "suspended",
    "confirmed",
    "lang",
    "theme",
    "timezone",
    "mailformat",
    "city",
    "url",
    "country",
    "profileimageurlsmall",
    "profileimageurl",
    "groups",
    "roles",
    "preferences",
    "enrolledcourses",
]
_OF_COURSE = ("groups", "roles", "enrolledcourses")
_OF_ACCOUNT = ("auth", "suspended", "confirmed", "lang", "theme", "timezone", "mailformat")
#: What the two ways to ask for users can tell.
COURSE_FIELDS = tuple(name for name in _ORDER if name not in _OF_ACCOUNT)
_SEARCH_FIELDS = tuple(name for name in _ORDER if name not in _OF_COURSE)

#: Which capability each field needs, as read and not recorded; any other is for everybody who may see the user.
_NEEDS = {
    "firstname": "moodle/site:viewfullnames",
    "lastname": "moodle/site:viewfullnames",
    **dict.fromkeys(("email", "department", "institution", "idnumber"), "moodle/site:viewuseridentity"),
    **dict.fromkeys(("username", *_OF_ACCOUNT), "moodle/user:viewalldetails"),
}
#: Fields that are left out where they are empty.
_NOT_EMPTY = {"institution", "city", "country"}
#: The caller's own preferences are told of every user; when the recorded caller's password was set.
_PASSWORD_SET = "1795289723"  # noqa: S105  a time

_BY_FIELD = {"id", "idnumber", "username", "email"}
_EXACT = {"id", "auth"}
_SEARCHED = _EXACT | {"idnumber", "username", "email", "firstname", "lastname"}


def users_by_field(call: Call) -> list[Row]:
    """The users with one of these values; nobody where the caller may not see the field."""
    field, values = call.parameters["field"], call.parameters["values"]
    if field not in _BY_FIELD:
        raise bad_parameter(f"field: {field} is no field to search users by")
    user = call.tables.user
    wanted = [_number(one) for one in values] if field == "id" else values
    among = and_(user.c[field].in_(wanted), user.c.deleted == 0)
    found = [details(call, one, _SEARCH_FIELDS) for one in call.rows(select(user).where(among).order_by(user.c.id))]
    return [one for one in found if field in one]


def get_users(call: Call) -> Row:
    """The users that meet all criteria, ``%`` standing for anything; nobody where one is on a hidden field."""
    user, found = call.tables.user, select(call.tables.user)
    warnings, searched = [], set()
    for one in call.parameters["criteria"]:
        key, value = one["key"], one["value"]
        if key not in _SEARCHED:
            warnings.append(_warning(key))
            continue
        if key in searched:
            raise bad_parameter(f"criteria: {key} is given twice")
        searched.add(key)
        column = user.c[key]
        if key in _EXACT:
            found = found.where(column == (_number(value) if key == "id" else value))
        else:
            found = found.where(column.ilike(value))
    rows = call.rows(found.where(user.c.deleted == 0).order_by(user.c.id)) if searched else []
    seen = [details(call, one, _SEARCH_FIELDS) for one in rows]
    return {"users": [one for one in seen if searched <= set(one)], "warnings": warnings}


def check_fields(names: list[str]) -> list[str]:
    """The fields asked for.

    :raises Refusal: there is no such field of a user.
    """
    for name in names:
        if name not in _ORDER:
            raise not_possible("invaliduserfield", f"Invalid user field: {name}")
    return names


def details(
    call: Call, user: Row, wanted: Iterable[str], of_course: Callable[[Row], Row] | None = None
) -> dict[str, Any]:
    """What the caller may see of the fields that are wanted; id and full name always."""
    told = {"id", "fullname", *wanted}
    told -= {name for name, capability in _NEEDS.items() if not call.may(capability)}
    told -= {name for name in _NOT_EMPTY if not user[name]}
    all_fields = _all_fields(call, user)
    if of_course is not None and told.intersection(_OF_COURSE):
        all_fields |= of_course(user)
    return {name: all_fields[name] for name in _ORDER if name in told and name in all_fields}


def _all_fields(call: Call, user: Row) -> Row:
    stored = {name: user[name] for name in _ORDER if name in user}
    return {
        **stored,
        "fullname": full_name(user),
        "suspended": bool(user["suspended"]),
        "confirmed": bool(user["confirmed"]),
        "profileimageurlsmall": call.site.switches.picture(2),
        "profileimageurl": call.site.switches.picture(1),
        "preferences": [
            {"name": "auth_manual_passwordupdatetime", "value": _PASSWORD_SET},
            {"name": "_lastloaded", "value": call.site.now()},
        ],
    }


def _warning(key: str) -> Row:
    message = f"The search key '{key}' is not supported, look at the web service documentation"
    return {"item": key, "warningcode": "invalidfieldparameter", "message": message}


def _number(text: str) -> int:
    try:
        return integer(text)
    except ValueError as error:
        raise bad_parameter(f"a user's id: {error}") from error
