"""What no schema can say of the Pull API: which cursors there are, and what becomes of each acknowledgement."""

import itertools
import json
import os
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.generation.meta import TestPhase

from tests.web.documented import Documented
from tests.web.fuzz import CURSORS

_cursors: dict[str, str] = json.loads(os.environ[CURSORS])

_formats = itertools.cycle(("application/json", "application/x-ndjson", "text/csv"))

#: Beyond what PostgreSQL and Totara count to: the pattern of an id cannot say so.
_LARGEST = 2**63 - 1


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Each feed is asked for in each format.

    What is to be accepted names a site that is there, a span that ends after it begins, and a cursor that an answer
    had, with nothing beside it.
    """
    stateful = case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL  # it reads pages to go on from
    if case.operation.path in _cursors and not stateful:
        case.headers["Accept"] = next(_formats)
    if case.meta is None or case.meta.generation.mode.is_negative or not case.query:
        return
    if "site" in case.query:
        case.query["site"] = "sbx"
    for begin, end in (("since", "until"), ("completed_since", "completed_until")):
        if begin in case.query and end in case.query:
            case.query[begin] = "0001-01-01"  # before any end
    if "cursor" in case.query:
        place = {"cursor": _cursors[case.operation.path]}
        case.query = place | {name: value for name, value in case.query.items() if name == "limit"}


@schemathesis.check
def each_acknowledgement_gets_its_due(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """One that the schema allows is not called invalid, and no other is called anything else."""
    if (case.operation.label, response.status_code) != ("POST /acknowledgements", 200):
        return
    documented = Documented(case.operation.schema.raw_schema)
    sent, answer = json.loads(response.request.body or b""), response.json()
    assert len(sent) == len(answer["results"])
    for each, result in zip(sent, answer["results"], strict=True):
        mistakes = documented.mistakes({"$ref": "#/components/schemas/Acknowledgement"}, each)
        if mistakes or not _can_be(each):
            assert result["result"] == "invalid", (each, mistakes)
            assert result["detail"]
        else:
            assert result["result"] != "invalid" or "never had a later one" in result["detail"], (each, result)
    for kind in ("recorded", "unchanged", "outdated", "unknown", "invalid"):
        assert answer[kind] == sum(each["result"] == kind for each in answer["results"])


def _can_be(acknowledgement: dict[str, Any]) -> bool:
    _, user, course = acknowledgement["id"].split("-")
    return max(int(user), int(course)) <= _LARGEST
