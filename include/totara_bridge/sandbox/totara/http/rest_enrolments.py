"""Who is enrolled where."""

from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from totara_bridge.sandbox.totara.http.refusal import bad_parameter
from totara_bridge.sandbox.totara.http.rest_call import Call, Row, formatted
from totara_bridge.sandbox.totara.http.rest_courses import newest_first
from totara_bridge.sandbox.totara.http.rest_parameters import Scalar, Several, Structure, anything, integer, word
from totara_bridge.sandbox.totara.http.rest_users import COURSE_FIELDS, check_fields, details

ENROLLED_USERS = Structure(
    {
        "courseid": Scalar(integer),
        "options": Several(Structure({"name": Scalar(word), "value": Scalar(anything)}), default=()),
    }
)
USERS_COURSES = Structure({"userid": Scalar(integer)})

_STUDENT = {"roleid": 5, "name": "", "shortname": "student", "sortorder": 0}
_SORTS: dict[str, tuple[str, ...]] = {"id": ("id",), "firstname": ("firstname",), "lastname": ("lastname",)}
_SORTS["siteorder"] = ("lastname", "firstname", "id")


def active(call: Call, course_id: int) -> Select[Any]:
    """The users whose enrolment in the course is on at this moment, whoever they are."""
    return _enrolled(call, course_id).where(*_on(call))


def enrolled_users(call: Call) -> list[Row]:
    """The users of a course: never deleted ones; those whose enrolment is suspended unless ``onlyactive``."""
    course_id = call.parameters["courseid"]
    options = {one["name"]: one["value"] for one in call.parameters["options"]}
    course, user = call.tables.course, call.tables.user
    call.the(select(course.c.id).where(course.c.id == course_id))
    call.require("moodle/course:viewparticipants")
    only_active = options.get("onlyactive", "0") not in {"", "0"}
    if only_active:
        call.require("moodle/course:enrolreview")
    wanted = _fields(options.get("userfields", ""))
    among = active(call, course_id) if only_active else _enrolled(call, course_id)
    found = select(user).where(user.c.id.in_(among), user.c.deleted == 0, user.c.username != "guest")
    found = found.order_by(*_order(call, options)).offset(_number(options.get("limitfrom", "0")))
    if limit := _number(options.get("limitnumber", "0")):
        found = found.limit(limit)
    return [details(call, one, wanted, of_course=lambda one: _of_course(call, one)) for one in call.rows(found)]


def users_courses(call: Call) -> list[Row]:
    """The courses in which a user's enrolment is on; nothing for a user that does not exist."""
    return [
        {
            "id": one["id"],
            "shortname": formatted(one["shortname"]),
            "fullname": formatted(one["fullname"]),
            "enrolledusercount": _count(call, one["id"]),
            "idnumber": one["idnumber"],
            "visible": one["visible"],
            "summary": one["summary"] or "",
            "summaryformat": 1,
            "format": one["format"],
            "showgrades": bool(one["showgrades"]),
            "lang": one["lang"],
            "enablecompletion": bool(one["enablecompletion"]),
            "category": one["category"],
            "startdate": one["startdate"],
            "enddate": one["enddate"],
        }
        for one in _courses_of(call, call.parameters["userid"])
        if call.may("moodle/course:viewparticipants")
    ]


def _of_course(call: Call, user: Row) -> Row:
    names = ("id", "fullname", "shortname")
    courses = [{name: one[name] for name in names} for one in _courses_of(call, user["id"])]
    for one in courses:
        one |= {name: formatted(one[name]) for name in names[1:]}
    return {"groups": [], "roles": [_STUDENT], "enrolledcourses": courses}


def _courses_of(call: Call, user_id: int) -> list[Row]:
    """Without hidden ones: what counts is what the user may see, not the caller."""
    course, enrol, enrolment = call.tables.course, call.tables.enrol, call.tables.user_enrolments
    among = select(enrol.c.courseid).join(enrolment, enrolment.c.enrolid == enrol.c.id)
    among = among.where(enrolment.c.userid == user_id, *_on(call))
    seen = select(course).where(course.c.id.in_(among), course.c.category > 0, course.c.visible == 1)
    return call.rows(seen.order_by(*newest_first(call)))


def _on(call: Call) -> list[ColumnElement[bool]]:
    enrolment, enrol, now = call.tables.user_enrolments, call.tables.enrol, call.site.now()
    return [
        enrol.c.status == 0,
        enrolment.c.status == 0,
        enrolment.c.timestart <= now,
        or_(enrolment.c.timeend == 0, enrolment.c.timeend > now),
    ]


def _enrolled(call: Call, course_id: int) -> Select[Any]:
    enrolment, enrol = call.tables.user_enrolments, call.tables.enrol
    return (
        select(enrolment.c.userid).join(enrol, enrol.c.id == enrolment.c.enrolid).where(enrol.c.courseid == course_id)
    )


def _count(call: Call, course_id: int) -> int:
    user = call.tables.user
    among = select(func.count()).where(user.c.id.in_(_enrolled(call, course_id)), user.c.deleted == 0)
    return int(call.connection.execute(among).scalar_one())


def _fields(given: str) -> list[str]:
    return check_fields([word_only(name) for name in given.split(",")] if given else list(COURSE_FIELDS))


def word_only(text: str) -> str:
    """Totara takes away what does not belong into the name of a field."""
    return "".join(letter for letter in text if letter.isascii() and (letter.isalnum() or letter in "-_"))


def _order(call: Call, options: dict[str, str]) -> list[Any]:
    by, direction = options.get("sortby", "id"), options.get("sortdirection", "ASC").upper()
    if by not in _SORTS:
        raise bad_parameter(f"sortby: {by} is none of {', '.join(_SORTS)}")
    if direction not in {"ASC", "DESC"}:
        raise bad_parameter(f"sortdirection: {direction} is neither ASC nor DESC")
    columns = [call.tables.user.c[name] for name in _SORTS[by]]
    return [column.desc() if direction == "DESC" else column for column in columns]


def _number(text: str) -> int:
    """A number as PHP's cast takes it: what is none is 0."""
    try:
        return max(0, int(text))
    except ValueError:
        return 0
