"""The OpenAPI document: every address of the Pull API with what it takes and what it answers."""

from collections.abc import Sequence
from typing import Any

from totara_bridge.staging.pull_directory import COURSES, USERS
from totara_bridge.staging.pull_filter import COMPLETIONS
from totara_bridge.staging.pull_form import Fields, header
from totara_bridge.web.pull.openapi import examples, parameters
from totara_bridge.web.pull.openapi.answers import BODY_REFUSED, HEADERS, PROBLEMS, Response, answered, feed
from totara_bridge.web.pull.openapi.parameters import Parameter
from totara_bridge.web.pull.openapi.schemas import ACKNOWLEDGEMENTS, SCHEMAS
from totara_bridge.web.pull.openapi.shapes import ref

Operation = dict[str, Any]

_DESCRIPTION = """\
Completions of Totara courses, to be fetched by whoever needs them, and acknowledged.

Ask `/completions` again and again, each time with the cursor of the last answer: every change comes at least once, and
those of one completion come in their order. `/users` and `/courses` are feeds of their own.
"""

_ALWAYS = ("401", "403", "414", "429", "500", "503")


def document() -> dict[str, Any]:
    """The document, version 3.1 of OpenAPI."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Totara Bridge: Pull API", "version": "1", "description": _DESCRIPTION},
        "servers": [{"url": "/bridge/api/v1", "description": "Of the host that this document is from."}],
        "security": [{"apiKey": []}, {"bearer": []}],
        "paths": _paths(),
        "components": {
            "schemas": SCHEMAS,
            "headers": HEADERS,
            "responses": PROBLEMS,
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": _TOKEN},
                "bearer": {"type": "http", "scheme": "bearer", "description": _TOKEN},
            },
        },
    }


_TOKEN = "A token, which begins with tbk_; whoever runs the bridge gives one."  # noqa: S105 - of none in particular


def _paths() -> dict[str, Any]:
    completions = feed("completions", "Completion", examples.COMPLETION, _columns(COMPLETIONS.fields))
    users = feed("users", "User", examples.USER, _columns(USERS.fields))
    courses = feed("courses", "Course", examples.COURSE, _columns(COURSES.fields))
    one = answered("As it is now, also when it was deleted.", ref("Completion"), examples.COMPLETION)
    _follow(completions)
    return {
        "/completions": {"get": _feed("completions", "Completions that changed", completions, parameters.COMPLETIONS)},
        "/completions/{id}": {
            "get": _reading("completion", "One completion", one, [parameters.ID], ("400", "404", "406"))
        },
        "/users": {"get": _feed("users", "Learners that changed", users, parameters.USERS)},
        "/courses": {"get": _feed("courses", "Courses that changed", courses, parameters.COURSES)},
        "/acknowledgements": {"post": _acknowledging()},
        "/status": {"get": _status()},
        "/openapi.json": {"get": _this()},
    }


def _columns(fields: Fields) -> list[str]:
    return header(fields).rstrip().split(",")


def _operation(name: str, summary: str, answers: dict[str, Response], problems: Sequence[str]) -> Operation:
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in (*problems, *_ALWAYS)}
    return {"operationId": name, "summary": summary, "responses": dict(sorted((refused | answers).items()))}


def _reading(
    name: str, summary: str, answer: Response, takes: Sequence[Parameter], problems: Sequence[str]
) -> Operation:
    operation = _operation(name, summary, {"200": answer}, problems)
    return operation | {"description": "Needs the scope `read`.", "parameters": [*takes]}


def _feed(name: str, summary: str, answer: Response, takes: Sequence[Parameter]) -> Operation:
    return _reading(name, summary, answer, takes, ("400", "406", "410"))


def _follow(completions: Response) -> None:
    """Say where what is in a page leads to."""
    completions["links"] = {
        "next": {
            "operationId": "completions",
            "parameters": {"cursor": "$response.body#/cursor"},
            "description": "The next page.",
        },
        "first": {
            "operationId": "completion",
            "parameters": {"id": "$response.body#/items/0/id"},
            "description": "One of the items, as it is then.",
        },
    }


def _acknowledging() -> Operation:
    answer = answered("What became of each.", ref("AcknowledgementResults"), examples.RESULTS)
    operation = _operation("acknowledge", "Say what became of completions", {"200": answer}, ("408", "413", "415"))
    operation["responses"] = operation["responses"] | {"400": BODY_REFUSED}
    body = {"schema": ACKNOWLEDGEMENTS, "example": examples.ACKNOWLEDGEMENTS}
    return operation | {
        "description": "Needs the scope `acknowledge`. The same again changes nothing.",
        "requestBody": {"required": True, "content": {"application/json": body}},
    }


def _status() -> Operation:
    answer = answered("Every promise is kept.", ref("Status"), examples.STATUS)
    operation = _reading("status", "Whether the bridge keeps its promises", answer, (), ("400", "406"))
    broken = PROBLEMS["503"] | {"description": "A promise is broken, or the bridge does not serve now."}
    content = {"application/json": {"schema": ref("Status"), "example": examples.BROKEN}} | broken["content"]
    operation["responses"]["503"] = broken | {"content": content}
    return operation


def _this() -> Operation:
    described = {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}
    operation = _operation("openapi", "This document", {"200": described}, ("400", "406"))
    return operation | {"description": "Any token will do."}
