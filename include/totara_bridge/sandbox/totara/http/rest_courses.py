"""Courses and their categories: what is told of a course depends on ``moodle/course:update``."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, true

from totara_bridge.sandbox.totara.http.refusal import bad_parameter
from totara_bridge.sandbox.totara.http.rest_call import Call, Row, formatted
from totara_bridge.sandbox.totara.http.rest_parameters import (
    Scalar,
    Several,
    Structure,
    anything,
    boolean,
    integer,
    word,
)

GET_COURSES = Structure({"options": Structure({"ids": Several(Scalar(integer), default=())}, default={"ids": ()})})
GET_COURSES_BY_FIELD = Structure({"field": Scalar(word, default=""), "value": Scalar(anything, default="")})
GET_CATEGORIES = Structure(
    {
        "criteria": Several(Structure({"key": Scalar(word), "value": Scalar(anything)}), default=()),
        "addsubcategories": Scalar(boolean, default=True),
    }
)

#: What the recorded site tells of the format of each course; its options were all at their defaults.
_FORMAT_OPTIONS = {
    "numsections": 1,
    "hiddensections": 0,
    "coursedisplay": 0,
    "collapsiblesections": 0,
    "collapsiblesectionscollapseall": 0,
    "headercolor": 0,
    "headerbgcolor": "",
    "headerfgcolor": "",
}
_FILTERS = ("activitynames", "mediaplugin")
_HTML = 1  #: the format of every text that an answer has


def newest_first(call: Call) -> list[ColumnElement[Any]]:
    """The order of courses: the site's own, then the newest of each category."""
    course = call.tables.course
    return [case((course.c.category == 0, 0), else_=1), course.c.category, course.c.id.desc()]


def get_courses(call: Call) -> list[Row]:
    """All courses or those asked for, the site itself among them; Totara leaves the order to its database."""
    ids = call.parameters["options"]["ids"]
    course = call.tables.course
    found = _courses(call, course.c.id.in_(ids) if ids else true())
    call.require("moodle/course:view")
    may_update = call.may("moodle/course:update")
    return [_in_full(call, one) if may_update else _in_brief(one) for one in found]


def get_courses_by_field(call: Call) -> Row:
    """Courses found by one of their fields; by ``idnumber`` only for whoever may see it."""
    field, value = call.parameters["field"], call.parameters["value"]
    found = _courses(call, _search(call, field, value))
    may_update = call.may("moodle/course:update")
    if field == "idnumber" and not may_update:
        found = []
    return {
        "courses": [_public(call, one) | (_private(call, one) if may_update else {}) for one in found],
        "warnings": [],
    }


def get_categories(call: Call) -> list[Row]:
    """The categories that meet all criteria, and what is below them."""
    category, course = call.tables.course_categories, call.tables.course
    counted = select(func.count()).where(course.c.category == category.c.id).scalar_subquery()
    found = call.rows(select(category, counted.label("courses")).order_by(category.c.sortorder, category.c.id))
    wanted = [one["path"] for one in found if _meets(one, call.parameters["criteria"])]
    below = tuple(f"{path}/" for path in wanted) if call.parameters["addsubcategories"] else ()
    return [_category(one) for one in found if one["path"] in wanted or one["path"].startswith(below)]


def _courses(call: Call, which: ColumnElement[bool]) -> list[Row]:
    course = call.tables.course
    seen = true() if call.may("moodle/course:viewhiddencourses") else course.c.visible == 1
    return call.rows(select(course).where(which, seen).order_by(*newest_first(call)))


def _search(call: Call, field: str, value: str) -> ColumnElement[bool]:
    course = call.tables.course
    searches: dict[str, Callable[[], ColumnElement[bool]]] = {
        "": true,
        "id": lambda: course.c.id == _number(value),
        "ids": lambda: course.c.id.in_([_number(one) for one in value.split(",")]),
        "category": lambda: course.c.category == _number(value),
        "shortname": lambda: course.c.shortname == value,
        "idnumber": lambda: course.c.idnumber == value,
    }
    if field not in searches:
        raise bad_parameter(f"field: {field} is no field to search courses by")
    return searches[field]()


def _number(text: str) -> int:
    try:
        return integer(text)
    except ValueError as error:
        raise bad_parameter(f"value: {error}") from error


def _in_brief(course: Row) -> Row:
    """Everybody's view: neither ``idnumber`` nor ``visible`` nor a time of change."""
    return {
        "id": course["id"],
        "shortname": formatted(course["shortname"]),
        "categoryid": course["category"],
        "fullname": formatted(course["fullname"]),
        "displayname": formatted(course["fullname"]),
        "summary": course["summary"] or "",
        "summaryformat": _HTML,
        "format": course["format"],
        "startdate": course["startdate"],
        "enddate": course["enddate"],
        "numsections": 1,
    }


def _in_full(call: Call, course: Row) -> Row:
    """The view of who may change the course."""
    brief = _in_brief(course)
    later = ("groupmode", "groupmodeforce", "defaultgroupingid", "timecreated", "timemodified")
    completion = ("enablecompletion", "completionstartonenrol", "completionnotify", "lang")
    return {
        **{name: brief[name] for name in ("id", "shortname", "categoryid")},
        "categorysortorder": _sort_order(call, course),
        **{name: brief[name] for name in ("fullname", "displayname")},
        "idnumber": course["idnumber"],
        **{name: brief[name] for name in ("summary", "summaryformat", "format")},
        **{name: course[name] for name in ("showgrades", "newsitems")},
        **{name: brief[name] for name in ("startdate", "enddate", "numsections")},
        **{name: course[name] for name in ("maxbytes", "showreports", "visible")},
        "hiddensections": 0,
        **{name: course[name] for name in later},
        **{name: course[name] for name in completion},
        "forcetheme": course["theme"],
        "courseformatoptions": [{"name": name, "value": value} for name, value in _FORMAT_OPTIONS.items()],
        **{name: course[name] for name in ("audiencevisible", "coursetype", "completionprogressonview")},
    }


def _public(call: Call, course: Row) -> Row:
    """What a search tells everybody."""
    brief, category = _in_brief(course), call.tables.course_categories
    names = call.rows(select(category.c.name).where(category.c.id == course["category"]))
    return {
        **{name: brief[name] for name in ("id", "fullname", "displayname", "shortname", "categoryid")},
        "categoryname": formatted(names[0]["name"]) if names else "",
        **{name: brief[name] for name in ("summary", "summaryformat")},
        "summaryfiles": [],
        "overviewfiles": [],
        "contacts": [],
        "enrollmentmethods": _enrolment_methods(call, course),
    }


def _private(call: Call, course: Row) -> Row:
    """What a search tells who may change the course."""
    names = (
        "idnumber format showgrades newsitems startdate enddate maxbytes showreports visible groupmode groupmodeforce "
        "defaultgroupingid enablecompletion completionnotify lang theme sortorder marker legacyfiles calendartype "
        "timecreated timemodified requested cacherev"
    )
    filters = [{"filter": name, "localstate": 0, "inheritedstate": 1} for name in _FILTERS]
    stored = {name: course[name] for name in names.split()}
    return {**stored, "sortorder": _sort_order(call, course), "filters": filters}


def _enrolment_methods(call: Call, course: Row) -> list[str]:
    enrol = call.tables.enrol
    on = select(enrol.c.enrol).where(enrol.c.courseid == course["id"], enrol.c.status == 0)
    return [row["enrol"] for row in call.rows(on.order_by(enrol.c.sortorder, enrol.c.id))]


def _sort_order(call: Call, course: Row) -> int:
    """Totara numbers the courses of a category from the newest on; an id stands for the age."""
    if course["sortorder"]:
        return int(course["sortorder"])
    table, category = call.tables.course, call.tables.course_categories
    start = call.connection.scalar(select(category.c.sortorder).where(category.c.id == course["category"]))
    newer = and_(table.c.category == course["category"], table.c.id >= course["id"])
    return int(start or 0) + int(call.connection.scalar(select(func.count()).where(newer)) or 0)


def _meets(category: Row, criteria: list[Row]) -> bool:
    for one in criteria:
        key, value = one["key"], one["value"]
        if key == "ids":
            if str(category["id"]) not in value.split(","):
                return False
        elif key not in {"id", "name", "parent"}:
            raise bad_parameter(f"criteria: {key} is no field to search categories by")
        elif str(category[key]) != value:
            return False
    return True


def _category(category: Row) -> Row:
    return {
        "id": category["id"],
        "name": formatted(category["name"]),
        "description": "",
        "descriptionformat": _HTML,
        "parent": category["parent"],
        "sortorder": category["sortorder"],
        "coursecount": category["courses"],
        "depth": category["depth"],
        "path": category["path"],
    }
