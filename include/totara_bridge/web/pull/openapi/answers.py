"""Every answer of the Pull API: its formats and headers, and each problem with an example."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from totara_bridge.web.problem import MEDIA_TYPE, Problem, invalid_parameter, misconfigured
from totara_bridge.web.pull import cursor
from totara_bridge.web.pull.cursor import Cursor, Feed
from totara_bridge.web.pull.openapi.shapes import Schema, ref

Response = dict[str, Any]

HEADERS = {
    "Link": {
        "description": 'Where to go on: `<?cursor=…&limit=…>; rel="next"`, to be read against the address that was '
        "asked. Of NDJSON and CSV: behind the last change there was when the answer began.",
        "required": True,
        "schema": {"type": "string", "pattern": '^<\\?cursor=[^>]+>; rel="next"$'},
    },
    "RetryAfter": {
        "description": "Seconds to wait before asking again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWWAuthenticate": {
        "description": "How a token is shown.",
        "required": True,
        "schema": {"type": "string"},
    },
}


def answered(description: str, schema: Schema, example: object) -> Response:
    """200, in JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema, "example": example}}}


def feed(name: Feed, of: str, example: dict[str, Any], columns: Sequence[str]) -> Response:
    """200, a page in JSON, or everything in NDJSON or CSV."""
    changed = datetime.fromisoformat(example["changedAt"])
    goes_on = cursor.written(Cursor(name, example["version"], round(changed.timestamp() * 1_000_000), {}))
    page = {"items": [example], "cursor": goes_on, "more": False}
    answer = answered("What changed, in the order of the changes.", ref(f"{of}Page"), page)
    line = json.dumps(example, ensure_ascii=False, separators=(",", ":")) + "\n"
    answer["headers"] = {"Link": _header("Link")}
    answer["content"]["application/x-ndjson"] = {
        "schema": {"type": "string", "description": f"Everything that is asked for, a line for each {of}: its JSON."},
        "example": line,
    }
    answer["content"]["text/csv"] = {
        "schema": {
            "type": "string",
            "description": f"Everything that is asked for (RFC 4180, UTF-8), a line for each {of} under the line of "
            "their names. A cell that a spreadsheet would take for a formula begins with an apostrophe. "
            "The columns: " + ", ".join(columns) + ".",
        },
        "example": ",".join(columns) + "\r\n",
    }
    return answer


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _refused(description: str, *examples: Problem) -> Response:
    shown = {each.kind: {"value": json.loads(each.document())} for each in examples}
    sent = {name for each in examples for name in each.headers}
    return {
        "description": description,
        "headers": {name: _header(name.replace("-", "")) for name in sorted(sent)},
        "content": {MEDIA_TYPE: {"schema": ref("Problem"), "examples": shown}},
    }


#: By the status; what is in the list of an operation can be answered by it.
PROBLEMS: dict[str, Response] = {
    "400": _refused(
        "It cannot be understood; each mistake is named.",
        invalid_parameter(("limit", "It is too large: write 5000 or less.")),
        Problem(400, "invalid-query", "The query is not valid percent-encoded UTF-8: encode it so."),
    ),
    "401": _refused(
        "There is no live token: it is missing, wrong, revoked or expired.",
        Problem(
            401,
            "unauthorized",
            "There is no live token with this request: send it in the header X-Api-Key, or as Authorization: "
            "Bearer …; if it is there, ask whoever runs the bridge for a new one.",
            headers={"WWW-Authenticate": 'Bearer realm="Totara Bridge"'},
        ),
    ),
    "403": _refused(
        "The token is not good for this.",
        Problem(
            403,
            "wrong-address",
            "This token may not be used from 192.0.2.7: ask whoever runs the bridge to allow the address.",
        ),
        Problem(
            403,
            "missing-scope",
            "This token lacks the scope read: ask whoever runs the bridge for one with it.",
        ),
    ),
    "404": _refused(
        "There is no such completion.",
        Problem(404, "not-found", "There is no completion sbx-3-20: ids are in the items of /completions."),
    ),
    "406": _refused(
        "None of the formats is in Accept.",
        Problem(406, "not-acceptable", "This address answers with application/json: ask for that in Accept."),
    ),
    "408": _refused(
        "The body came too slowly.",
        Problem(408, "body-too-slow", "The body did not come within 30 seconds: send it in parts."),
    ),
    "410": _refused(
        "The bridge has lost changes since the cursor was given: its database was restored.",
        Problem(
            410,
            "cursor-ahead",
            "The bridge's database was restored from a backup, and has lost changes that this cursor has seen: empty "
            "your copy, and begin again without the cursor and with since=1970-01-01.",
        ),
    ),
    "413": _refused(
        "It is too much at once.",
        Problem(413, "body-too-large", "The body has more than 16000000 bytes: send it in parts."),
        Problem(
            413, "too-many-acknowledgements", "There are more than 5000 acknowledgements: send up to 5000 at once."
        ),
    ),
    "414": _refused(
        "The query is too long.",
        Problem(414, "query-too-long", "The query has more than 8000 bytes: ask for less at once."),
    ),
    "415": _refused(
        "The body is not JSON.",
        Problem(
            415,
            "unsupported-media-type",
            "The body is not declared as JSON in UTF-8: send it with the header Content-Type: application/json.",
        ),
    ),
    "429": _refused(
        "The token asks too often, or the caller sends more than three bodies at the same time.",
        Problem(
            429,
            "too-many-requests",
            "This token made more requests within a minute than it may: ask again in 1 seconds.",
            headers={"Retry-After": "1"},
        ),
    ),
    "500": _refused(
        "The bridge has failed.",
        Problem(500, "internal-error", "The bridge has failed at this, and its log says why. Nothing was changed."),
    ),
    "503": _refused(
        "The bridge does not serve now; nothing is lost.",
        Problem(
            503,
            "unavailable",
            "The bridge's database does not answer now: nothing was lost, ask again in half a minute.",
            headers={"Retry-After": "30"},
        ),
        Problem(
            503,
            "switched-off",
            "A manager has switched off the Pull API: nothing was lost, ask again later.",
            headers={"Retry-After": "300"},
        ),
        Problem(
            503,
            "out-of-date",
            "The bridge's database does not go with this version of it: whoever runs it is to finish an upgrade.",
            headers={"Retry-After": "60"},
        ),
        misconfigured(),
    ),
}

#: What a body can get besides.
BODY_REFUSED = _refused(
    "It cannot be understood.",
    Problem(
        400,
        "invalid-body",
        "The body is not valid JSON in UTF-8, or one acknowledgement has more than 131072 characters: send a list of "
        "acknowledgements.",
    ),
    Problem(400, "body-incomplete", "The body did not come to its end: send it again."),
    invalid_parameter(("dry_run", "There is no such parameter: leave it out, as there are none here.")),
)
