"""What is sent and what is answered, as JSON Schema, by its name in the document."""

from totara_bridge.staging.acknowledgement import Result
from totara_bridge.web.problem import TYPE
from totara_bridge.web.pull.openapi.items import (
    COMPLETION,
    COMPLETION_COURSE,
    COMPLETION_ID,
    COMPLETION_USER,
    COURSE,
    CURSOR,
    INSTANCE,
    OWN_ACKNOWLEDGEMENT,
    SAID,
    USER,
)
from totara_bridge.web.pull.openapi.shapes import (
    COUNT,
    FLAG,
    SITE,
    STORABLE,
    TEXT,
    TIME,
    VERSION,
    Schema,
    array,
    described,
    or_none,
    record,
)

_ACKNOWLEDGEMENT = record(
    "What became of a completion.",
    {
        "id": COMPLETION_ID,
        "status": SAID,
        "version": or_none(VERSION, "That was fetched. Without it: the one that there is now."),
        "reference": or_none(STORABLE | {"maxLength": 200}, "What your system calls it."),
        "message": or_none(STORABLE | {"maxLength": 1000}, "Such as why it was rejected."),
    },
    optional=("version", "reference", "message"),
)

_RESULT = record(
    "What became of one acknowledgement.",
    {
        "id": or_none(TEXT, "As it was sent; null: it was no text that can be one."),
        "result": {
            "type": "string",
            "enum": [*Result],
            "description": "`unchanged`: the same was recorded before. `outdated`: the completion has changed since "
            "that version, and is still to be acknowledged. `unknown`: there is no such completion.",
        },
        "detail": described(TEXT, "Why, and what to do."),
    },
    optional=("detail",),
)

#: The body of a request to acknowledge.
ACKNOWLEDGEMENTS: Schema = array("Acknowledgement", "What is wrong with one keeps no other from being recorded.") | {
    "minItems": 1,
    "maxItems": 5000,
}

_RESULTS = record(
    "What became of each acknowledgement, in their order, and how often.",
    {"results": array("AcknowledgementResult", "In the order in which they were sent.")}
    | {str(each): COUNT for each in Result},
)

_STATUS = record(
    "Whether the bridge keeps its promises.",
    {
        "status": {"type": "string", "enum": ["ok", "broken"], "description": "`broken` comes with HTTP 503."},
        "checkedAt": TIME,
        "problems": array("BrokenPromise", "What is not as it should be."),
        "sites": array("SiteState", "Each Totara."),
        "destinations": array("DestinationState", "Each Oracle that is pushed to."),
    },
)

_BROKEN_PROMISE = record(
    "A promise that is not kept.",
    {
        "name": described(TEXT, "Of the alert, as in the bridge's run book."),
        "subject": described(TEXT, "The site or destination; empty: the bridge."),
        "words": described(TEXT, "What is wrong, and what to do."),
    },
)

_SITE_STATE = record(
    "A Totara.", {"code": SITE, "extractedAt": or_none(TIME, "When it was read last, of UTC; null: never.")}
)

_DESTINATION_STATE = record(
    "An Oracle that is pushed to.",
    {
        "code": TEXT,
        "waiting": described(COUNT, "Items that are to be sent."),
        "oldest": or_none(TIME, "Since when the oldest of them waits, of UTC; null: none does."),
    },
)

_PROBLEM = record(
    "Why a request was not served (RFC 9457).",
    {
        "type": {
            "type": "string",
            "pattern": f"^{TYPE}[a-z]+(-[a-z]+)*$",
            "description": "For programs: it stays as it is.",
        },
        "title": described(TEXT, "HTTP's name of the status."),
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": described(TEXT, "For people: what is wrong, and what to change."),
        "errors": array("Mistake", "Each mistake.") | {"minItems": 1},
    },
    optional=("errors",),
)

_MISTAKE = record(
    "One thing to change.",
    {"detail": TEXT, "parameter": TEXT, "pointer": described(TEXT, "Where in the body: a JSON pointer.")},
    optional=("parameter", "pointer"),
)


def _page(of: str) -> Schema:
    properties = {
        "items": array(of, "In the order of their versions."),
        "cursor": described(CURSOR, "Where to go on: also after the last page, and after an empty one."),
        "more": described(FLAG, "Ask on at once. A page may have fewer items than were asked for and more to come."),
    }
    return record("A page of changes.", properties)


SCHEMAS: dict[str, Schema] = {
    "CompletionPage": _page("Completion"),
    "Completion": COMPLETION,
    "CompletionUser": COMPLETION_USER,
    "CompletionCourse": COMPLETION_COURSE,
    "Instance": INSTANCE,
    "OwnAcknowledgement": OWN_ACKNOWLEDGEMENT,
    "UserPage": _page("User"),
    "User": USER,
    "CoursePage": _page("Course"),
    "Course": COURSE,
    "Acknowledgement": _ACKNOWLEDGEMENT,
    "AcknowledgementResults": _RESULTS,
    "AcknowledgementResult": _RESULT,
    "Status": _STATUS,
    "BrokenPromise": _BROKEN_PROMISE,
    "SiteState": _SITE_STATE,
    "DestinationState": _DESTINATION_STATE,
    "Problem": _PROBLEM,
    "Mistake": _MISTAKE,
}
