"""The sandbox Oracle keeps the contract, goes wrong as ordered, and remembers what it was sent."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from totara_bridge.sandbox.loopback import listen
from totara_bridge.sandbox.oracle.server import CLIENT_ID, CLIENT_SECRET, SandboxOracle


@pytest.fixture
def oracle() -> Iterator[SandboxOracle]:
    with SandboxOracle() as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


def an_item(key: str = "TB1", **changes: Any) -> dict[str, Any]:
    item = {"idempotencyKey": key, "kind": "completion", "revision": 1, "userId": 7, "courseId": 12}
    return item | {"status": "complete", "timecompleted": "2026-03-01T09:30:05Z"} | changes


def sign_in(session: requests.Session, url: str) -> None:
    answer = session.post(
        f"{url}/oauth2/v1/token", {"grant_type": "client_credentials"}, auth=(CLIENT_ID, CLIENT_SECRET), timeout=30
    )
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def post(session: requests.Session, url: str, *items: Any, **options: Any) -> requests.Response:
    headers = {"Idempotency-Key": "K"}
    return session.post(f"{url}/completions", json={"items": items}, headers=headers, timeout=30, **options)


def test_a_key_is_stored_once_and_is_a_duplicate_from_then_on(oracle: SandboxOracle, session: requests.Session) -> None:
    sign_in(session, oracle.url)
    first = post(session, oracle.url, an_item("A"), an_item("B")).json()["results"]
    again = post(session, oracle.url, an_item("B"), an_item("C")).json()["results"]
    assert [result["status"] for result in first + again] == ["stored", "stored", "duplicate", "stored"]
    assert first[1]["reference"] == again[0]["reference"]
    assert oracle.stored_keys() == ["A", "B", "C"]
    assert oracle.times_received() == {"A": 1, "B": 2, "C": 1}
    assert oracle.received()["conflicts"] == 0


def test_another_payload_under_a_known_key_is_a_conflict_and_changes_nothing(
    oracle: SandboxOracle, session: requests.Session
) -> None:
    sign_in(session, oracle.url)
    post(session, oracle.url, an_item("A", courseId=1))
    post(session, oracle.url, an_item("A", courseId=2))
    assert oracle.received()["conflicts"] == 1
    assert oracle.items(key="A")[0]["payload"]["courseId"] == 1


def test_a_bad_item_is_rejected_beside_a_good_one(oracle: SandboxOracle, session: requests.Session) -> None:
    sign_in(session, oracle.url)
    answer = post(session, oracle.url, an_item("A"), an_item("B", timecompleted="yesterday"))
    assert answer.status_code == 207
    results = {result["idempotencyKey"]: result for result in answer.json()["results"]}
    assert results["A"]["status"] == "stored"
    assert results["B"]["status"] == "rejected"
    assert "timecompleted" in results["B"]["error"]["message"]
    assert oracle.stored_keys() == ["A"]


def test_with_empty_answers_one_bad_item_refuses_the_whole_batch(
    oracle: SandboxOracle, session: requests.Session
) -> None:
    sign_in(session, oracle.url)
    oracle.settings(empty_answers=True)
    assert post(session, oracle.url, an_item("A"), an_item("B", revision=0)).status_code == 400
    assert oracle.stored_keys() == []
    good = post(session, oracle.url, an_item("A"))
    assert (good.status_code, good.content) == (204, b"")
    assert oracle.stored_keys() == ["A"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Idempotency-Key": "K", "Content-Type": "application/json"}, 400),
        (b"[]", {"Idempotency-Key": "K", "Content-Type": "application/json"}, 400),
        (b'{"items":[]}', {"Idempotency-Key": "K", "Content-Type": "application/json"}, 400),
        (b'{"items":[{"kind":"completion"}]}', {"Idempotency-Key": "K", "Content-Type": "application/json"}, 400),
        (b'{"items":[{"idempotencyKey":"A"}]}', {"Content-Type": "application/json"}, 400),
        (b'{"items":[{"idempotencyKey":"A"}]}', {"Idempotency-Key": "K", "Content-Type": "text/plain"}, 415),
    ],
)
def test_a_malformed_request_is_refused(
    oracle: SandboxOracle, session: requests.Session, body: bytes, headers: dict[str, str], status: int
) -> None:
    sign_in(session, oracle.url)
    answer = session.post(f"{oracle.url}/completions", data=body, headers=headers, timeout=30)
    assert answer.status_code == status
    assert answer.json()["o:errorDetails"][0]["detail"]
    assert oracle.received()["keys_stored"] == 0


@pytest.mark.parametrize(
    ("form", "credentials", "status", "error"),
    [
        ({"grant_type": "client_credentials"}, (CLIENT_ID, "wrong"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, None, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": CLIENT_ID}, None, 401, "invalid_client"),
        ({"grant_type": "password"}, (CLIENT_ID, CLIENT_SECRET), 400, "unsupported_grant_type"),
        (
            {"grant_type": "client_credentials", "scope": "other"},
            (CLIENT_ID, CLIENT_SECRET),
            400,
            "invalid_scope",
        ),
    ],
)
def test_a_token_is_refused_with_a_json_error(
    oracle: SandboxOracle, form: dict[str, str], credentials: tuple[str, str] | None, status: int, error: str
) -> None:
    answer = requests.post(oracle.token_url, form, auth=credentials, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]


def test_tokens_expire_and_can_be_revoked(oracle: SandboxOracle, session: requests.Session) -> None:
    assert post(session, oracle.url, an_item()).status_code == 401
    oracle.settings(token_lifetime=0)
    sign_in(session, oracle.url)
    assert post(session, oracle.url, an_item()).status_code == 401
    oracle.settings(token_lifetime=60)
    sign_in(session, oracle.url)
    assert post(session, oracle.url, an_item()).status_code == 200
    oracle.revoke_tokens()
    assert post(session, oracle.url, an_item()).status_code == 401
    assert oracle.received()["by_status"] == {"200": 1, "401": 3}


def test_faults_meet_the_requests_they_name(oracle: SandboxOracle, session: requests.Session) -> None:
    sign_in(session, oracle.url)
    oracle.faults(
        {"match": {"nth": 2}, "action": {"status": 503, "headers": {"Retry-After": "7"}, "body": "busy"}},
        {"match": {"user_id": 13}, "action": {"status": 400, "body": {"title": "Poison"}}},
        {"match": {"over_bytes": 5000}, "action": {"status": 413}},
        {"match": {"next": 1}, "action": {"status": 409}},
    )
    answers = [
        post(session, oracle.url, an_item("A")),
        post(session, oracle.url, an_item("A")),
        post(session, oracle.url, an_item("A"), an_item("B", userId=13)),
        post(session, oracle.url, an_item("A", remark="x" * 5000)),
        post(session, oracle.url, an_item("A")),
    ]
    assert [answer.status_code for answer in answers] == [409, 503, 400, 413, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert answers[2].json() == {"title": "Poison"}
    oracle.faults()
    assert post(session, oracle.url, an_item("B", userId=13)).status_code == 200


def test_faults_meet_the_items_they_name(oracle: SandboxOracle, session: requests.Session) -> None:
    sign_in(session, oracle.url)
    oracle.faults(
        {"match": {"key": "A"}, "action": {"item": "rejected", "code": "X", "message": "No."}},
        {"match": {"user_id": 9}, "action": {"item": "retry"}},
        {"match": {"key": "C"}, "action": {"item": "missing"}},
    )
    sent = [an_item("A"), an_item("B", userId=9), an_item("C"), an_item("D")]
    results = {result["idempotencyKey"]: result for result in post(session, oracle.url, *sent).json()["results"]}
    assert {key: result["status"] for key, result in results.items()} == {
        "A": "rejected",
        "B": "retry",
        "D": "stored",
    }
    assert results["A"]["error"] == {"code": "X", "message": "No."}
    assert oracle.stored_keys() == ["D"]
    assert oracle.received(user_id=9) | {"items_received": 1, "keys_stored": 0} == oracle.received(user_id=9)


@pytest.mark.parametrize(
    ("action", "stored"),
    [
        ({"close": "before"}, []),
        ({"close": "after"}, ["A"]),
        ({"cut": 5}, ["A"]),
        ({"status": 500}, []),
        ({"status": 500, "store": True}, ["A"]),
        ({"html": True}, []),
        ({"html": True, "store": True}, ["A"]),
        ({"truncate": 5}, ["A"]),
    ],
)
def test_what_is_stored_when_the_answer_is_lost(
    oracle: SandboxOracle, session: requests.Session, action: dict[str, Any], stored: list[str]
) -> None:
    sign_in(session, oracle.url)
    oracle.faults({"match": {"next": 1}, "action": action})
    if {"close", "cut"} & set(action):
        with pytest.raises(requests.RequestException):
            post(session, oracle.url, an_item("A"))
    else:
        answer = post(session, oracle.url, an_item("A"))
        assert not (answer.ok and "results" in answer.text and answer.text.endswith("}"))
    assert oracle.stored_keys() == stored
    assert oracle.times_received() == {"A": 1}


def test_a_fault_that_makes_no_sense_is_refused(oracle: SandboxOracle) -> None:
    with pytest.raises(ValueError, match="explode"):
        oracle.faults({"action": {"explode": True}})
    with pytest.raises(ValueError, match="colour"):
        oracle.settings(colour="red")


@contextmanager
def in_background(work: Any) -> Iterator[list[Any]]:
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    yield done
    thread.join()


def test_a_request_that_hangs_is_on_record_until_it_is_released(
    oracle: SandboxOracle, session: requests.Session
) -> None:
    sign_in(session, oracle.url)
    oracle.faults({"match": {"next": 1}, "action": {"hang": "before"}})
    with in_background(lambda: post(session, oracle.url, an_item("A"))) as answers:
        oracle.wait(in_flight=1)
        (hanging,) = oracle.requests(state="in_flight")
        assert (hanging["keys"], hanging["status"], hanging["idempotency_key"]) == (["A"], None, "K")
        assert oracle.stored_keys() == []
        oracle.release()
    assert answers[0].status_code == 200
    assert oracle.stored_keys() == ["A"]
    assert oracle.received()["in_flight"] == 0


def test_it_stops_though_requests_hang_and_delay(session: requests.Session) -> None:
    with SandboxOracle() as oracle:
        sign_in(session, oracle.url)
        oracle.faults(
            {"match": {"nth": 1}, "action": {"hang": "after"}}, {"match": {"nth": 2}, "action": {"delay": 3600}}
        )
        token = session.headers["Authorization"]

        def one(key: str) -> int:
            with requests.Session() as own:
                own.trust_env = False
                own.headers["Authorization"] = token
                return post(own, oracle.url, an_item(key)).status_code

        first, second = in_background(lambda: one("A")), in_background(lambda: one("B"))
        with first as one_done, second as two_done:
            oracle.wait(in_flight=2)
            oracle.__exit__(None, None, None)
    assert (one_done, two_done) == ([200], [200])


def test_it_remembers_after_a_restart(tmp_path: Path, session: requests.Session) -> None:
    with SandboxOracle(tmp_path / "oracle.sqlite") as oracle:
        sign_in(session, oracle.url)
        post(session, oracle.url, an_item("A"))
        port = oracle.port
    with SandboxOracle(tmp_path / "oracle.sqlite", port=port) as again:
        assert again.url == oracle.url
        assert again.stored_keys() == ["A"]
        assert post(session, again.url, an_item("A")).status_code == 401  # tokens are not kept
        sign_in(session, again.url)
        assert post(session, again.url, an_item("A")).json()["results"][0]["status"] == "duplicate"
        assert again.times_received() == {"A": 3}


@contextmanager
def as_a_program(data: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "totara_bridge.sandbox.oracle", "--port", str(port), "--data", str(data)]
    environment = os.environ | {"TOTARA_BRIDGE_SANDBOX_CLIENT_SECRET": "another"}
    with subprocess.Popen(command, env=environment) as program:
        try:
            yield program
        finally:
            program.kill()


def test_as_a_program_it_survives_being_killed(tmp_path: Path, session: requests.Session) -> None:
    with listen() as free:
        port = free.getsockname()[1]
    url, data = f"http://127.0.0.1:{port}", tmp_path / "oracle.sqlite"
    session.mount(url, HTTPAdapter(max_retries=Retry(total=300, backoff_factor=0.02, backoff_max=0.2)))
    grant = {"grant_type": "client_credentials", "client_id": CLIENT_ID}

    with as_a_program(data, port) as program:
        assert session.get(f"{url}/sandbox/health", timeout=30).json() == {"status": "up"}
        assert session.post(f"{url}/oauth2/v1/token", grant | {"client_secret": CLIENT_SECRET}).status_code == 401
        token = session.post(f"{url}/oauth2/v1/token", grant | {"client_secret": "another"}).json()
        session.headers["Authorization"] = f"Bearer {token['access_token']}"
        post(session, url, an_item("A"))
        session.put(f"{url}/sandbox/faults", json=[{"action": {"hang": "after"}}])

        def cut_off() -> str:
            with pytest.raises(requests.ConnectionError):
                post(session, url, an_item("B"))
            return "cut off"

        with in_background(cut_off) as ended:
            with requests.Session() as watching:
                watching.trust_env = False
                watching.get(f"{url}/sandbox/wait?keys_stored=2", timeout=30)
            program.kill()
        assert ended == ["cut off"]

    with as_a_program(data, port) as program:
        received = session.get(f"{url}/sandbox/received?keys=true", timeout=30).json()
        assert received["stored"] == ["A", "B"]
        assert (received["lost"], received["in_flight"]) == (1, 0)
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=60) in (0, -signal.SIGTERM)


def test_results_may_name_each_item_twice(oracle: SandboxOracle, session: requests.Session) -> None:
    sign_in(session, oracle.url)
    oracle.faults({"action": {"twice": "results"}})
    results = post(session, oracle.url, an_item("A"), an_item("B")).json()["results"]
    assert [result["idempotencyKey"] for result in results] == ["A", "B", "A", "B"]
    assert oracle.received()["faults_met"] == 1


def test_an_answer_may_come_twice_at_once(oracle: SandboxOracle, session: requests.Session) -> None:
    sign_in(session, oracle.url)
    oracle.faults({"match": {"next": 1}, "action": {"twice": "at_once"}})
    body = json.dumps({"items": [an_item("A")]})
    head = {"Host": "oracle", "Idempotency-Key": "K", "Content-Type": "application/json", "Content-Length": len(body)}
    head["Authorization"] = str(session.headers["Authorization"])
    lines = ["POST /completions HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", body]
    with socket.create_connection(("127.0.0.1", oracle.port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode())
        received = b""
        while received.count(b'"stored"') < 2:
            received += connection.recv(1 << 16)
    assert received.count(b"HTTP/1.1 200") == 2


def test_an_answer_may_come_again_in_place_of_the_next(oracle: SandboxOracle, session: requests.Session) -> None:
    sign_in(session, oracle.url)
    oracle.faults({"match": {"next": 1}, "action": {"twice": "late"}})
    said = [post(session, oracle.url, an_item(key)).json()["results"][0]["idempotencyKey"] for key in ("A", "B")]
    assert said == ["A", "A"]
    oracle.wait(keys_stored=2)


def test_each_time_that_a_key_comes_again_is_counted(oracle: SandboxOracle, session: requests.Session) -> None:
    sign_in(session, oracle.url)
    for _ in range(3):
        post(session, oracle.url, an_item("A"), an_item("B", revision=0))
    assert (oracle.received()["keys_stored"], oracle.received()["duplicates"]) == (1, 2)
