"""Every parameter of the Pull API: what it takes, and what it takes for granted."""

from typing import Any

from totara_bridge.completion import Status
from totara_bridge.web.pull.openapi.items import COMPLETION_ID, CURSOR
from totara_bridge.web.pull.openapi.shapes import LARGEST, SITE, STORABLE, Schema

Parameter = dict[str, Any]

_MOMENT: Schema = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}],
    "description": "With Z or an offset (whose + is written %2B); a date is its midnight of UTC.",
}
_TOTARA_ID: Schema = {"type": "integer", "format": "int64", "minimum": 1, "maximum": LARGEST}
_WORD: Schema = STORABLE | {"minLength": 1, "maxLength": 255}


def _asked(name: str, schema: Schema, description: str, example: object = None, **more: Any) -> Parameter:
    shown = {} if example is None else {"example": example}
    return {"name": name, "in": "query", "description": description, "schema": schema} | shown | more


_SITE = _asked("site", SITE, "Only of this Totara.", "sbx")
_USER_ID = _asked("userid", _TOTARA_ID, "Only of the learner with this id in Totara.", 3)
_COURSE_ID = _asked("courseid", _TOTARA_ID, "Only of the course with this id in Totara.", 20)
_USERNAME = _asked("username", _WORD, "Only of learners with this username.", "ann")
_EMAIL = _asked(
    "email",
    _WORD | {"pattern": "^[^\\u0000 ]*$"},
    "Only of learners with this e-mail address; a and A are the same.",
    "ann@example.com",
)
_IDNUMBER = "Only of {} with this ID number in Totara."

_PLACE = [
    _asked(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": 5000, "default": 500},
        "The most items of the answer. NDJSON and CSV: where it is not given, all that there are.",
        100,
    ),
    _asked("cursor", CURSOR, "Where to go on. It holds what was asked for: give nothing else with it but limit."),
]

COMPLETIONS: list[Parameter] = [
    _asked(
        "since",
        _MOMENT,
        "Changed in the bridge at this time or later. Without it, and without cursor: for as long as the bridge's "
        "setting pull_since says, and without what was deleted.",
        "2026-01-31T12:00:00Z",
    ),
    _asked("until", _MOMENT, "Changed in the bridge before this time.", "2036-01-31"),
    _asked("completed_since", _MOMENT, "Completed at this time or later.", "2026-01-31T12:00:00+13:00"),
    _asked("completed_until", _MOMENT, "Completed before this time.", "2036-01-31"),
    _USER_ID,
    _COURSE_ID,
    _asked(
        "status",
        {"type": "array", "items": {"type": "string", "enum": [*Status]}, "minItems": 1},
        "Only with one of these.",
        ["complete", "complete_rpl"],
        style="form",
        explode=False,
    ),
    _USERNAME,
    _EMAIL,
    _asked("idnumber", _WORD, _IDNUMBER.format("learners"), "A-17"),
    _asked("course_idnumber", _WORD, _IDNUMBER.format("courses"), "SAFETY-1"),
    _SITE,
    _asked(
        "acknowledged",
        {"type": "boolean"},
        "Whether this caller has acknowledged it, in the version that there is now.",
        False,
    ),
    *_PLACE,
]

USERS: list[Parameter] = [
    _SITE,
    _USER_ID,
    _USERNAME,
    _EMAIL,
    _asked("idnumber", _WORD, _IDNUMBER.format("learners"), "A-17"),
    *_PLACE,
]

COURSES: list[Parameter] = [
    _SITE,
    _COURSE_ID,
    _asked("idnumber", _WORD, _IDNUMBER.format("courses"), "SAFETY-1"),
    *_PLACE,
]

ID: Parameter = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "Of the completion, as an item has it.",
    "schema": COMPLETION_ID,
    "example": "sbx-3-20",
}
