"""What Oracle must provide to be pushed to: made from the templates, the reading of answers, and the check's rules."""

import json
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from totara_bridge.completion import Status
from totara_bridge.config import BridgeConfig, Destination
from totara_bridge.oracle import answers, payload
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.conformance import RULES
from totara_bridge.oracle.payload import Deliverable
from totara_bridge.oracle.verdict import Outcome
from totara_bridge.settings import Settings
from totara_bridge.template import Field, Template
from totara_bridge.web.panel.guide.block import Block, code, command, pretty, section, table, words

_KEY = "TB7QK3ZV5M2XWJ4T6RD3PYHNCE2A"
_OTHER_KEY = "TB5B3N4QJ7LXW2ZC6VKPR5TDHYMA"

_SAMPLE = Deliverable(
    item_key=_KEY,
    record_key=_KEY,
    kind="completion",
    revision=1,
    site="sbx",
    user_id=7,
    course_id=12,
    status=Status.COMPLETE,
    progress=100,
    time_completed=datetime(2026, 3, 1, 9, 30, 5, tzinfo=UTC),
    username="zoe",
    id_number="E-7",
    email="zoe@example.com",
    first_name="Zoë",
    last_name="Łuk",
    course_short_name="FS1",
    course_id_number="FIRE-1",
    course_full_name="Fire safety",
    learner_number="300000047001",
    course_number="OLC-1200",
)

#: What a source of a template's field is.
SOURCES = {
    "item_key": "names the item for ever, 64 characters at most: keep it in a UNIQUE column",
    "record_key": "names the completion: the same in a completion, its corrections and its withdrawal",
    "kind": "`completion`; `correction`: what was sent has changed; `withdrawal`: it is no longer so",
    "revision": "counts the changes of this completion, from 1",
    "site": "which Totara",
    "user_id": "Totara's id of the learner",
    "course_id": "Totara's id of the course",
    "status": "`complete` or `complete_rpl` (recognition of prior learning); others where it was lost",
    "progress": "0 to 100",
    "time_completed": "when it was completed; nothing only in a withdrawal",
    "learner_number": "what Oracle calls the learner",
    "course_number": "what Oracle calls the course",
    "user.username": "how Totara knows the learner",
    "user.id_number": "the learner's ID number in Totara",
    "user.email": "the learner's e-mail address",
    "user.first_name": "in any script",
    "user.last_name": "in any script",
    "course.short_name": "how Totara knows the course",
    "course.id_number": "the course's ID number in Totara",
    "course.full_name": "in any script",
}

_ALWAYS_THERE = {"item_key", "record_key", "kind", "revision", "site", "user_id", "course_id", "status"}

_BECAME = {
    Outcome.SENT: "sent: all is done",
    Outcome.DEAD: "dead: for good, a person sees your code and message",
    Outcome.FAILED: "failed: comes again later, under the same key",
    Outcome.RELEASED: "nothing is sent any more until a person has looked",
}


def sections(config: BridgeConfig, settings: Mapping[str, Settings]) -> Iterator[dict[str, Any]]:
    """The parts of the guide.

    :param settings: of each destination, by its code.
    """
    yield section("push", "The flow", *_flow())
    for each in config.destinations:
        title = f"What is sent to {each.code}"
        yield section(f"to-{each.code}", title, *_request(each, config.template(each.template), settings[each.code]))
    yield section("answer", "What to answer", *_answers())
    yield section("rules", "What must hold", *_rules())


def _flow() -> Iterator[Block]:
    yield words(
        "The bridge posts completions in batches to one address, and expects each to be stored once, however often it "
        "comes: a connection can break after you stored and before your answer arrived. Oracle provides that address, "
        "and a token endpoint for OAuth2 client credentials; both are in the destination's Airflow Connection."
    )
    yield command(
        "A token, as the bridge asks for one",
        'curl -sS -u "$CLIENT_ID:$CLIENT_SECRET" -d grant_type=client_credentials "$TOKEN_URL"',
    )
    timeout = OracleAccess.__dataclass_fields__["timeout"].default
    yield words(
        f"Each answer is waited for as long as the Connection says, {timeout:g} seconds unless it says otherwise."
    )


def _request(destination: Destination, template: Template, settings: Settings) -> Iterator[Block]:
    body = payload.body([payload.render(_SAMPLE, template).payload], template.items)
    yield words(
        f"Airflow Connection `{destination.connection}`, template `{template.label}`. Batches of up to "
        f"{settings.batch_size} items and {settings.request_bytes:,} bytes, {settings.requests_in_flight} requests "
        f"open at the same time; corrections {_wanted(destination.corrections)}, withdrawals "
        f"{_wanted(destination.withdrawals)}."
    )
    headers = {
        "Authorization": "Bearer $ORACLE_TOKEN",
        "Content-Type": "application/json",
        "Idempotency-Key": payload.idempotency_key(body),
    }
    shown = " ".join(f'-H "{name}: {value}"' for name, value in headers.items())
    answer = _results({"idempotencyKey": _KEY, "status": "stored", "reference": "OLC199059"})
    yield command(
        "One batch", f'curl -sS {shown} --data-binary {shlex.quote(body.decode())} "$ENDPOINT"', stdout=answer
    )
    yield words(
        "`Idempotency-Key` is the SHA-256 of the exact body"
        + (", before it is packed: longer bodies come with `Content-Encoding: gzip`." if destination.gzip else ".")
    )
    yield code("Its body, written for people", pretty(json.loads(body)))
    rows = [(f"`{path}`", *_meaning(field)) for path, field in template.fields.items()]
    yield table("Each item", ["field", "meaning", "where there is none"], rows)


def _wanted(flag: bool) -> str:
    return "too" if flag else "are left out"


def _meaning(field: Field) -> tuple[str, str]:
    if field.source is None:
        return f"always `{json.dumps(field.constant, ensure_ascii=False)}`", ""
    told = SOURCES[field.source]
    if field.map:
        told += "; written as " + ", ".join(f"`{each}`" for each in dict.fromkeys(map(str, field.map.values())))
    if field.required:
        return told, "the item waits until there is one"
    if field.source in _ALWAYS_THERE:
        return told, ""
    return told, "the field is left out" if field.omit_empty else "it is null or empty"


def _results(*results: dict[str, object]) -> dict[str, object]:
    return {"results": [*results]}


def _answers() -> Iterator[Block]:
    refused = {"code": "WLF-17", "message": "No such learner."}
    sample = _results(
        {"idempotencyKey": _KEY, "status": "stored", "reference": "OLC199059"},
        {"idempotencyKey": _OTHER_KEY, "status": "rejected", "error": refused},
    )
    yield words(
        "2xx with an empty body if everything was stored; or one result for each item, by its key. A key that is there "
        "already is a `duplicate`, and the first payload stays."
    )
    yield code("Results", pretty(sample))
    rows = [
        (f"`{word}`", _BECAME[_of_result(word)]) for word in ("stored", "duplicate", "rejected", "retry", "another")
    ]
    yield table("The status of a result", ["status", "what becomes of the item"], rows)
    yield table("An answer as a whole", ["answer", "what becomes of its items"], [_of_answer(*each) for each in _WHOLE])


def _of_result(status: str) -> Outcome:
    body = json.dumps(_results({"idempotencyKey": _KEY, "status": status})).encode()
    return answers.read([_KEY], 200, {}, body, endpoint="").verdicts[_KEY].outcome


#: What an answer is, such a status, and such a body.
_WHOLE = (
    ("2xx, empty, or JSON without `results`", 204, b""),
    ("2xx with anything else: HTML, cut off, a JSON `error`", 200, b"<html>"),
    ("400 or 422 without `results`", 422, b""),
    ("413", 413, b""),
    ("401", 401, b""),
    ("409", 409, b""),
    ("408, 425, 429, 5xx, or none; `Retry-After` is heeded", 503, b""),
    ("3xx, 403, 404, any other", 404, b""),
)


def _of_answer(told: str, status: int, body: bytes) -> tuple[str, str]:
    reading = answers.read([_KEY, _OTHER_KEY], status, {}, body, endpoint="")
    if reading.split:
        return told, "come again in smaller requests, until one is refused alone: that one is dead"
    if reading.wants_new_token:
        return told, "come again at once with a new token; after a second 401 " + _BECAME[Outcome.RELEASED]
    return told, _BECAME[reading.verdicts[_KEY].outcome]


def _rules() -> Iterator[Block]:
    rows = [(each.name, each.statement + (" (advice)" if each.advice else ""), each.change) for each in RULES]
    yield table("The rules", ["rule", "what must hold", "what to change where it does not"], rows)
    yield words(
        "A check tells rule by rule whether they hold. It posts made-up completions: take an endpoint for tests."
    )
    yield code(
        "Check an endpoint, from a checkout of the bridge",
        "python -m totara_bridge.command check-endpoint --base-url https://your.host/prefix --path /completions \\\n"
        "  --token-url https://your.domain/oauth2/v1/token --client-id YOUR-CLIENT --scope YOUR-SCOPE --yes",
    )
