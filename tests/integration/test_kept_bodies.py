"""Bodies are kept when a manager wants it, for as long as wanted, and never name a learner."""

import html
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, Bridge
from totara_bridge.errors import BridgeError, OracleRefused
from totara_bridge.hidden import REDACTED
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings

pytestmark = pytest.mark.staging("has_read")

ALWAYS = Settings(keep_bodies="always")
FAILURES = Settings(keep_bodies="failures")

PEOPLE: list[dict[str, str]] = [
    {"username": "zoë.łuk", "firstname": "Zoë", "lastname": "Łuk", "email": "zoë@exämple.test", "idnumber": "E-77/ä"},
    {"username": 'quo"te', "firstname": 'Jo "Bud"', "lastname": "O'Neil\\", "email": "bud@x.test", "idnumber": "Ü 1"},
    {"username": "wang", "firstname": "小明", "lastname": "王<&>", "email": "w@x.test", "idnumber": "X-0079/Q"},
]


@pytest.fixture
def three(bridge: Bridge) -> Bridge:
    """A bridge with an item of each of the people in its queue."""
    return with_items_of(bridge, PEOPLE)


def with_items_of(bridge: Bridge, people: list[dict[str, str]]) -> Bridge:
    course = bridge.totara.new_course()
    users = [bridge.totara.new_user(**person) for person in people]
    for user in users:
        bridge.totara.enrol(user, course)
        bridge.totara.complete(user, course)
    assert bridge.extract().queued == len(people)
    return bridge


def writings() -> Iterator[str]:
    """How a person's fields might be written anywhere."""
    for value in {value for person in PEOPLE for value in person.values()}:
        escaped = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)}
        yield from escaped | {html.escape(each) for each in escaped} | {quote(value)}


def assert_names_nobody(*texts: object) -> None:
    for said in map(str, texts):
        for written in writings():
            assert written.lower() not in said.lower(), f"{written} is in {said}"


def kept(bridge: Bridge) -> list[dict[str, Any]]:
    return bridge.rows(
        """SELECT k.*, l.http_status FROM bridge.kept_body k JOIN bridge.export_log l ON l.id = k.export_log_id
           ORDER BY k.export_log_id"""
    )


@pytest.mark.parametrize(("setting", "sent", "failed"), [("never", 0, 0), ("failures", 0, 1), ("always", 1, 1)])
def test_what_is_kept_is_a_switch(three: Bridge, oracle: SandboxOracle, setting: Any, sent: int, failed: int) -> None:
    settings = Settings(keep_bodies=setting)
    oracle.faults({"match": {"next": 1}, "action": {"status": 500, "body": "broken"}})
    assert three.push(oracle, settings=settings).failed == 3
    assert [row["answer"] for row in kept(three)] == ["broken"] * failed
    three.later(hours=2)
    assert three.push(oracle, settings=settings).sent == 3
    assert len(kept(three)) == failed + sent


def test_a_kept_request_is_the_one_that_was_sent_but_for_the_names(three: Bridge, oracle: SandboxOracle) -> None:
    three.push(oracle, settings=ALWAYS)
    [row] = kept(three)
    sent = {item["key"]: item["payload"] for item in oracle.items()}
    items = json.loads(row["request"])["items"]
    assert len(items) == 3
    for item in items:
        was = sent[item["idempotencyKey"]]
        assert item == was | {"user": {name: value and REDACTED for name, value in was["user"].items()}}
        assert REDACTED in item["user"].values()
    assert set(json.loads(row["answer"])["results"][0]) == {"idempotencyKey", "status", "reference"}
    assert (row["destination"], row["at"]) == (DESTINATION, three.now)
    assert_names_nobody(row)


ECHOES: dict[str, Callable[[list[str]], dict[str, Any]]] = {
    "error in JSON": lambda items: {"status": 500, "body": {"error": {"code": "X", "message": ",".join(items)}}},
    "JSON of another shape": lambda items: {"status": 503, "body": {"received": [json.loads(item) for item in items]}},
    "text": lambda items: {"status": 400, "body": f"Cannot read {items[0]} nor {items[2]}"},
    "a page": lambda items: {
        "status": 502,
        "body": f"<html><title>{html.escape(items[1])}</title>{html.escape(items[0])}</html>",
    },
    "a problem": lambda items: {
        "status": 403, "body": {"title": "No", "detail": f"for {items[0]}"},
        "headers": {"Content-Type": "application/problem+json"},
    },
    "sent, but": lambda items: {"status": 200, "body": {"error": {"message": items[0] + items[1] + items[2]}}},
    "long": lambda items: {"status": 500, "body": "x" * 65_500 + items[1]},
}  # fmt: skip


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("keep", ["never", "always"])
def test_an_answer_that_repeats_the_items_names_nobody_anywhere(
    three: Bridge, oracle: SandboxOracle, caplog: pytest.LogCaptureFixture, keep: Any,
    echo: Callable[[list[str]], dict[str, Any]],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    payloads = [row["payload"] for row in three.rows("SELECT payload FROM bridge.export_queue ORDER BY id")]
    oracle.faults({"match": {"next": 1}, "action": echo(payloads)})
    raised = None
    try:
        three.push(oracle, settings=Settings(keep_bodies=keep))
    except BridgeError as error:
        raised = str(error)
    bodies = kept(three)
    assert bool(bodies) == (keep == "always")
    assert_names_nobody(
        bodies,
        raised,
        caplog.text,
        three.rows("SELECT * FROM bridge.export_log"),
        three.rows("SELECT * FROM bridge.item_event"),
        three.rows("SELECT error_code, error_words FROM bridge.export_queue"),
        three.rows("SELECT * FROM bridge.destination_state"),
    )


NAMED: dict[str, dict[str, Any]] = {
    "code": {"status": 422, "body": {"error": "Unknown learner E-77/ä"}},
    "code of a result": {
        "status": 200,
        "body": {"results": [{"idempotencyKey": "KEY", "status": "retry", "error": {"code": "NO zoë@exämple.test"}}]},
    },
    "reference": {
        "status": 200,
        "body": {"results": [{"idempotencyKey": "KEY", "status": "stored", "reference": "zoë@exämple.test#1"}]},
    },
    "request id": {
        "status": 200,
        "store": True,
        "body": "",
        "headers": {"X-Request-Id": "zo%C3%AB@ex%C3%A4mple.test/1"},
    },
    "cut words in a sentence": {"status": 403, "body": "x" * 488 + "zoë@exämple.test may not"},
    "cut before the end": {"status": 500, "body": "\n" * 1990 + "zoë@exämple.test is unknown"},
}


@pytest.mark.parametrize("action", NAMED.values(), ids=NAMED.keys())
@pytest.mark.parametrize("keep", ["never", "always"])
def test_what_the_destination_calls_things_names_nobody(
    bridge: Bridge, oracle: SandboxOracle, caplog: pytest.LogCaptureFixture, keep: Any, action: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    one = with_items_of(bridge, PEOPLE[:1])
    [row] = one.rows("SELECT idempotency_key FROM bridge.export_queue")
    oracle.faults({"match": {}, "action": json.loads(json.dumps(action).replace("KEY", row["idempotency_key"]))})
    raised = None
    try:
        one.push(oracle, settings=Settings(keep_bodies=keep))
    except BridgeError as error:
        raised = str(error)
    told = [
        raised,
        caplog.text,
        kept(one),
        one.rows("SELECT error, request_id FROM bridge.export_log"),
        one.rows("SELECT * FROM bridge.item_event"),
        one.rows("SELECT error_code, error_words, reference FROM bridge.export_queue"),
        one.rows("SELECT reference FROM bridge.delivery"),
        one.rows("SELECT * FROM bridge.destination_state"),
    ]
    assert_names_nobody(*told)
    assert "exäm" not in str(told)
    assert REDACTED in str(told[3:])


def test_no_token_is_kept(three: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults({"match": {"next": 1}, "action": {"status": 500, "body": "Authorization: Bearer abcdefghijkl"}})
    three.push(oracle, settings=FAILURES)
    [row] = kept(three)
    assert row["answer"] == "Authorization: [credential]"
    assert "Bearer" not in row["request"]


@pytest.mark.parametrize("answer", ["a\0b", '{"results": "\\ud800"}', b"\xff\xfe".decode("latin-1"), ""])
def test_an_answer_that_no_database_can_store_is_kept_all_the_same(
    three: Bridge, oracle: SandboxOracle, answer: str
) -> None:
    oracle.faults({"match": {"next": 1}, "action": {"status": 500, "body": answer}})
    assert three.push(oracle, settings=FAILURES).failed == 3
    assert len(kept(three)) == 1


def test_a_request_without_an_answer_is_kept_without_one(three: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults({"match": {"next": 1}, "action": {"close": "after"}})
    assert three.push(oracle, settings=FAILURES).failed == 3
    [row] = kept(three)
    assert (row["answer"], row["http_status"]) == (None, None)


def test_names_are_taken_out_at_the_paths_of_every_template_that_was_ever_used(
    three: Bridge, oracle: SandboxOracle
) -> None:
    with three.staging.begin() as transaction:
        transaction.execute(
            text(
                """
                INSERT INTO bridge.payload_template (name, version, definition, first_used_at) VALUES (
                    'old', 3, '{"fields": {"key": {"source": "item_key"}, "who.mail": {"source": "user.email"}}}',
                    now())
                """
            )
        )
        transaction.execute(
            text(
                """
                UPDATE bridge.export_queue SET template = 'old/3',
                    payload = json_build_object('key', idempotency_key, 'who',
                                                json_build_object('mail', payload::json #>> '{user,email}'))
                """
            )
        )
    oracle.faults({"match": {}, "action": {"status": 500, "body": "no w@x.test"}})
    three.push(oracle, settings=FAILURES)
    [row] = kept(three)
    assert {json.dumps(item["who"]) for item in json.loads(row["request"])["items"]} == {f'{{"mail": "{REDACTED}"}}'}
    assert row["answer"] == f"no {REDACTED}"


def test_the_reason_of_a_problem_is_still_told(three: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults({"match": {}, "action": {"status": 403, "body": "the role for X-0079/Q is missing"}})
    with pytest.raises(OracleRefused, match=r"403 \(the role for \[redacted\] is missing\)"):
        three.push(oracle)
