"""A batch on its way to Oracle and back, over real sockets: every way that it can end."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.bridge import access_to
from totara_bridge.completion import Status
from totara_bridge.oracle import payload
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.oracle.verdict import Outcome, Reading
from totara_bridge.sandbox.loopback import listen
from totara_bridge.sandbox.oracle.server import SandboxOracle


@contextmanager
def sender_to(oracle: SandboxOracle, **changes: Any) -> Iterator[Sender]:
    patient = access_to(oracle, **changes | {"timeout": 30})  # a token may take its time whatever the test is about
    with Sender(access_to(oracle, **changes), TokenHolder(patient)) as sender:
        yield sender


@pytest.fixture
def sender(oracle: SandboxOracle) -> Iterator[Sender]:
    with sender_to(oracle) as opened:
        yield opened


def payload_of(key: str) -> str:
    return payload.render(
        payload.Deliverable(
            item_key=key,
            record_key=key,
            kind="completion",
            revision=1,
            site="sbx",
            user_id=int(key[1:]),
            course_id=12,
            status=Status.COMPLETE_RPL,
            progress=None,
            time_completed=datetime(2026, 3, 1, tzinfo=UTC),
            username="zoë",
            id_number=None,
            email=None,
            first_name=None,
            last_name=None,
            course_short_name=None,
            course_id_number=None,
            course_full_name=None,
            learner_number=None,
            course_number=None,
        )
    ).payload


def send(sender: Sender, *keys: str) -> Reading:
    return sender.send(keys, [payload_of(key) for key in keys])


def outcomes(reading: Reading) -> list[Outcome]:
    return [verdict.outcome for verdict in reading.verdicts.values()]


def test_a_batch_is_sent_with_oracles_references(oracle: SandboxOracle, sender: Sender) -> None:
    reading = send(sender, "K1", "K2")
    references = {item["key"]: item["reference"] for item in oracle.items()}
    assert {key: verdict.reference for key, verdict in reading.verdicts.items()} == references
    assert (reading.outcome, reading.status) == ("sent", 200)
    assert reading.duration > 0
    body = payload.body([payload_of("K1"), payload_of("K2")])
    (request,) = oracle.requests()
    assert request["idempotency_key"] == payload.idempotency_key(body)
    assert request["bytes"] == len(body)
    assert oracle.items(key="K1")[0]["payload"] == json.loads(payload_of("K1"))


def test_the_same_again_is_sent_and_stored_once(oracle: SandboxOracle, sender: Sender) -> None:
    first, again = send(sender, "K1"), send(sender, "K1")
    assert first.verdicts == again.verdicts
    assert oracle.times_received() == {"K1": 2}
    assert oracle.received()["keys_stored"] == 1
    assert oracle.received()["conflicts"] == 0


def test_empty_answers_are_all_sent(oracle: SandboxOracle, sender: Sender) -> None:
    oracle.settings(empty_answers=True)
    assert outcomes(send(sender, "K1", "K2")) == [Outcome.SENT] * 2
    assert oracle.stored_keys() == ["K1", "K2"]


def test_each_item_has_its_own_result(oracle: SandboxOracle, sender: Sender) -> None:
    oracle.faults(
        {"match": {"key": "K2"}, "action": {"item": "rejected", "code": "X", "message": "No."}},
        {"match": {"key": "K3"}, "action": {"item": "retry"}},
        {"match": {"key": "K4"}, "action": {"item": "missing"}},
    )
    reading = send(sender, "K1", "K2", "K3", "K4")
    assert outcomes(reading) == [Outcome.SENT, Outcome.DEAD, Outcome.FAILED, Outcome.FAILED]
    assert (reading.verdicts["K2"].code, reading.verdicts["K2"].words) == ("X", "No.")
    assert reading.status == 207


def test_a_token_revoked_midway_is_replaced_and_the_batch_sent(oracle: SandboxOracle, sender: Sender) -> None:
    send(sender, "K1")
    oracle.revoke_tokens()
    reading = send(sender, "K2")
    assert outcomes(reading) == [Outcome.SENT]
    assert oracle.received()["by_status"] == {"200": 2, "401": 1}
    second, refused = oracle.requests(limit=2)
    assert second["idempotency_key"] == refused["idempotency_key"]


def test_a_token_that_expired_unnoticed_is_replaced(oracle: SandboxOracle) -> None:
    access = access_to(oracle)
    with Sender(access, TokenHolder(access, clock=lambda: 0.0)) as sender:
        oracle.settings(token_lifetime=0)
        assert send(sender, "K1").outcome == "problem"
        oracle.settings(token_lifetime=60)
        assert send(sender, "K1").outcome == "sent"


def test_a_second_401_is_a_destination_problem(oracle: SandboxOracle, sender: Sender) -> None:
    oracle.faults({"action": {"status": 401, "body": {"error": "invalid_token"}}})
    reading = send(sender, "K1", "K2")
    assert outcomes(reading) == [Outcome.RELEASED] * 2
    assert "invalid_token" in (reading.problem or "")
    assert oracle.received()["by_status"] == {"401": 2}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_repeats_that_the_token_has_a_narrower_scope(oracle: SandboxOracle, status: int) -> None:
    scope = "urn:opc:resource:consumer::all"
    oracle.settings(granted_scope="narrow")
    oracle.faults({"action": {"status": status}})
    with sender_to(oracle, scope=scope) as sender:
        reading = send(sender, "K1")
    assert f"the token was issued, but for the scope narrow and not for {scope}." in (reading.problem or "")


def test_many_senders_share_one_token_and_one_replacement(oracle: SandboxOracle) -> None:
    access = access_to(oracle)
    tokens = TokenHolder(access)
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        senders = [stack.enter_context(Sender(access, tokens)) for _ in range(4)]
        for batch in ("K1", "K2"):
            readings = list(pool.map(lambda each, last=batch: send(each, last), senders))
            assert [outcomes(reading) for reading in readings] == [[Outcome.SENT]] * 4
            oracle.revoke_tokens()
    assert oracle.received()["tokens_issued"] == 2


@pytest.mark.parametrize(
    ("action", "stored"),
    [
        ({"close": "before"}, False),
        ({"close": "after"}, True),
        ({"cut": 20}, True),
        ({"truncate": 20}, True),
        ({"html": True}, False),
        ({"html": True, "store": True}, True),
        ({"status": 500, "store": True}, True),
        ({"status": 503}, False),
        ({"status": 409}, False),
    ],
)
def test_an_unclear_end_is_failed_and_the_next_sending_settles_it(
    oracle: SandboxOracle, sender: Sender, action: dict[str, Any], stored: bool
) -> None:
    oracle.faults({"match": {"next": 1}, "action": action})
    assert outcomes(send(sender, "K1", "K2")) == [Outcome.FAILED] * 2
    assert bool(oracle.stored_keys()) == stored
    assert outcomes(send(sender, "K1", "K2")) == [Outcome.SENT] * 2
    assert oracle.times_received() == {"K1": 2, "K2": 2}
    assert oracle.stored_keys() == ["K1", "K2"]
    assert oracle.received()["conflicts"] == 0


def test_retry_after_and_the_request_id_come_along(oracle: SandboxOracle, sender: Sender) -> None:
    headers = {"Retry-After": "33", "Opc-Request-Id": "req-1"}
    oracle.faults({"action": {"status": 429, "headers": headers, "body": "slow down"}})
    reading = send(sender, "K1")
    assert (reading.retry_after, reading.request_id, reading.status) == (33, "req-1", 429)
    assert reading.words == "slow down"


def test_a_batch_over_the_byte_limit_wants_to_be_split(oracle: SandboxOracle, sender: Sender) -> None:
    oracle.faults({"match": {"over_bytes": 600}, "action": {"status": 413}})
    assert send(sender, "K1", "K2").split
    assert outcomes(send(sender, "K1")) == [Outcome.SENT]


def test_an_answer_that_hangs_is_a_timeout(oracle: SandboxOracle) -> None:
    oracle.faults({"action": {"hang": "after"}})
    with sender_to(oracle, timeout=0.4) as sender:
        reading = send(sender, "K1", "K2")
    assert outcomes(reading) == [Outcome.FAILED] * 2
    assert reading.outcome == "timeout"
    oracle.wait(keys_stored=2)  # it may give up before an Oracle that is slow to read has begun
    assert oracle.stored_keys() == ["K1", "K2"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_problem_and_not_followed(oracle: SandboxOracle, sender: Sender, status: int) -> None:
    target = {"Location": f"{oracle.url}/completions"}
    oracle.faults({"match": {"nth": 1}, "action": {"status": status, "headers": target}})
    reading = send(sender, "K1")
    assert outcomes(reading) == [Outcome.RELEASED]
    assert str(status) in (reading.problem or "")
    assert oracle.received()["requests"] == 1


def test_a_wrong_path_is_a_problem(oracle: SandboxOracle) -> None:
    with sender_to(oracle, path="/elsewhere") as sender:
        reading = send(sender, "K1")
    assert reading.problem == (
        f"{oracle.url}/elsewhere answered 404 (Not Found): check base URL and path, then run the push again."
    )


def test_a_wrong_secret_is_a_problem_and_nothing_is_posted(oracle: SandboxOracle) -> None:
    with sender_to(oracle, client_secret="very-wrong") as sender:
        reading = send(sender, "K1")
    assert outcomes(reading) == [Outcome.RELEASED]
    assert "invalid_client" in (reading.problem or "")
    assert oracle.received()["requests"] == 0


def test_a_token_endpoint_that_is_down_is_failed_without_an_attempt(oracle: SandboxOracle) -> None:
    oracle.faults({"match": {"endpoint": "token"}, "action": {"status": 503}})
    with sender_to(oracle) as sender:
        reading = send(sender, "K1")
    assert outcomes(reading) == [Outcome.FAILED]
    assert reading.problem is None
    assert not reading.verdicts["K1"].counts_attempt


def test_an_oracle_that_is_down_is_unreachable(oracle: SandboxOracle) -> None:
    with listen() as free:
        port = free.getsockname()[1]
    with sender_to(oracle, base_url=f"http://127.0.0.1:{port}") as sender:
        reading = send(sender, "K1")
    assert outcomes(reading) == [Outcome.FAILED]
    assert reading.outcome == "unreachable"
    assert reading.words == "no connection (Connection refused)"
    assert not reading.verdicts["K1"].counts_attempt


def test_tls_that_fails_is_a_problem(oracle: SandboxOracle) -> None:
    with sender_to(oracle, base_url=oracle.url.replace("http:", "https:")) as sender:
        reading = send(sender, "K1")
    assert outcomes(reading) == [Outcome.RELEASED]
    assert "TLS failed" in (reading.problem or "")


def test_an_answer_too_long_to_read_is_failed(oracle: SandboxOracle, sender: Sender) -> None:
    endless = {"results": [], "padding": "x" * (9 << 20)}
    oracle.faults({"match": {"next": 1}, "action": {"status": 200, "body": endless}})
    assert send(sender, "K1").outcome == "not_json"
    assert send(sender, "K1").outcome == "sent"


@contextmanager
def dripping() -> Iterator[str]:
    """A server whose answers come byte by byte and never end; its address."""
    stop = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not stop.wait(0.02):
                connection.sendall(b" ")

    with listen() as listening, ThreadPoolExecutor(1) as pool:
        listening.listen()
        served = pool.submit(serve, listening)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stop.set()
    assert served.exception() is None or isinstance(served.exception(), OSError)


def test_an_answer_that_never_ends_is_a_timeout(oracle: SandboxOracle) -> None:
    with dripping() as url, sender_to(oracle, base_url=url, timeout=0.4) as sender:
        reading = send(sender, "K1")
    assert reading.outcome == "timeout"


def test_nothing_secret_is_said(oracle: SandboxOracle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    access = access_to(oracle)
    tokens = TokenHolder(access)
    token = tokens.current()
    oracle.faults({"action": {"status": 400, "body": f"Your header was: {token}"}})
    with Sender(access, tokens) as sender:
        reading = send(sender, "K1")
        said = [caplog.text, repr(reading), repr(sender), repr(tokens)]
    assert reading.words == "Your header was: [token]"
    assert not any(token in text or access.client_secret in text or "zoë" in text for text in said)
