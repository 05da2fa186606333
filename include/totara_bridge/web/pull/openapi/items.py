"""What is in the feeds, as JSON Schema: PostgreSQL writes items of this shape, and of no other."""

from totara_bridge.completion import Status
from totara_bridge.staging.acknowledgement import Said
from totara_bridge.web.pull.openapi.shapes import (
    FLAG,
    SITE,
    TEXT,
    TIME,
    TOTARA_ID,
    VERSION,
    Schema,
    array,
    described,
    or_none,
    record,
    ref,
)

_SITE, _NUMBER = "[a-z]{2,8}", "(0|[1-9][0-9]{0,18})"

COMPLETION_ID: Schema = {
    "type": "string",
    "pattern": f"^{_SITE}-{_NUMBER}-{_NUMBER}$",
    "description": "Site, learner and course.",
    "examples": ["sbx-3-20"],
}

CURSOR: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_-]+$",
    "description": "Where to go on. It is as good in a year as now, and nothing to look into.",
}

_GROWS = described(VERSION, "Grows with every change; the feed is in its order.")

COMPLETION = record(
    "One learner's present state in one course.",
    {
        "id": COMPLETION_ID,
        "version": _GROWS,
        "site": SITE,
        "userId": described(TOTARA_ID, "Totara's id of the learner."),
        "courseId": described(TOTARA_ID, "Totara's id of the course."),
        "status": {
            "type": "string",
            "enum": [*Status],
            "description": "`complete_rpl`: by recognition of prior learning.",
        },
        "progress": or_none(
            {"type": "integer", "minimum": 0, "maximum": 100},
            "How much of what is asked for was done, in percent; null: not known.",
        ),
        "grade": or_none({"type": "number"}, "In percent."),
        "rpl": or_none(TEXT, "What prior learning was recognised, in the words of who did."),
        "timeenrolled": or_none(TIME),
        "timestarted": or_none(TIME),
        "timecompleted": or_none(TIME, "Of UTC; null also where Totara gives no dates."),
        "changedAt": described(TIME, "When the bridge took in the change, of UTC."),
        "deleted": described(FLAG, "Totara has it no more, or the learner was erased."),
        "user": or_none(ref("CompletionUser"), "null: the learner was erased, or is not known."),
        "course": or_none(ref("CompletionCourse"), "null: the course is not known."),
        "instances": array("Instance", "Each time that it was completed, oldest first; of an erased learner none."),
        "acknowledgement": or_none(ref("OwnAcknowledgement"), "What this caller said of it last; null: nothing."),
    },
)

COMPLETION_USER = record(
    "Who learns.",
    {
        "username": TEXT,
        "idnumber": TEXT,
        "email": TEXT,
        "firstname": TEXT,
        "lastname": TEXT,
        "suspended": FLAG,
        "deleted": described(FLAG, "Totara has them no more; who they are is as it was last known."),
    },
)

COMPLETION_COURSE = record(
    "What is learned.",
    {"shortname": TEXT, "idnumber": TEXT, "fullname": TEXT, "categoryId": TOTARA_ID},
)

INSTANCE = record(
    "One time that a learner completed a course.",
    {
        "recordKey": {
            "type": "string",
            "pattern": "^TB[A-Z2-7]{26}$",
            "description": "Its name for ever, also where completions are pushed.",
        },
        "revision": {"type": "integer", "minimum": 1, "description": "Grows when it is edited."},
        "status": {"type": "string", "enum": [Status.COMPLETE, Status.COMPLETE_RPL]},
        "timecompleted": or_none(TIME),
        "archived": described(FLAG, "A recertification has begun since."),
        "ended": described(FLAG, "Totara has this completion no more."),
    },
)

SAID: Schema = {"type": "string", "enum": [*Said]}

OWN_ACKNOWLEDGEMENT = record(
    "What this caller said of a completion last.",
    {
        "status": SAID,
        "reference": or_none(TEXT),
        "message": or_none(TEXT),
        "version": described(VERSION, "Of the completion, that it was said of."),
        "acknowledgedAt": TIME,
    },
)

USER = record(
    "A learner as last known.",
    {
        "id": {"type": "string", "pattern": f"^{_SITE}-{_NUMBER}$", "examples": ["sbx-3"]},
        "version": _GROWS,
        "site": SITE,
        "userId": TOTARA_ID,
        "username": or_none(TEXT),
        "idnumber": or_none(TEXT),
        "email": or_none(TEXT),
        "firstname": or_none(TEXT),
        "lastname": or_none(TEXT),
        "suspended": FLAG,
        "deleted": described(FLAG, "Totara has them no more, or they were erased."),
        "erased": described(FLAG, "Nothing of them may be kept: delete what you have. No name comes with it."),
        "changedAt": TIME,
    },
)

COURSE = record(
    "A course as last known.",
    {
        "id": {"type": "string", "pattern": f"^{_SITE}-{_NUMBER}$", "examples": ["sbx-20"]},
        "version": _GROWS,
        "site": SITE,
        "courseId": TOTARA_ID,
        "shortname": TEXT,
        "idnumber": TEXT,
        "fullname": TEXT,
        "categoryId": TOTARA_ID,
        "visible": FLAG,
        "changedAt": TIME,
    },
)
