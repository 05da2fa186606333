"""The Pull API in a real Airflow: a token opens it and nothing else, a login does not, and switches act at once."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.e2e.running import RunningAirflow
from tests.web.puller import Puller
from tests.web.routes import routes
from totara_bridge.local import airflow
from totara_bridge.web.app import PREFIX, bridge_app

_ROWS = "SELECT count(*) FROM bridge.completion"
_EVERYTHING = "1970-01-01"
_NDJSON = "application/x-ndjson"


@pytest.fixture
def token(airflow_up: RunningAirflow) -> Iterator[str]:
    """A token of the caller ``warehouse``, revoked afterwards."""
    yield airflow_up.issue_token("warehouse")
    airflow_up.revoke_tokens("warehouse")


@pytest.fixture
def puller(airflow_up: RunningAirflow, token: str) -> Iterator[Puller]:
    """An external system."""
    with Puller(f"{airflow_up.address}{PREFIX}/api/v1", token) as calling:
        yield calling


@pytest.fixture
def anybody() -> Iterator[requests.Session]:
    """Who has neither a token nor a login."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_pages_and_the_stream_have_every_completion_once(airflow_up: RunningAirflow, puller: Puller) -> None:
    rows = airflow_up.count(_ROWS)
    assert rows >= 60_000
    answer = puller.get("/completions", accept=_NDJSON, since=_EVERYTHING)
    assert answer.headers["content-type"].startswith(_NDJSON)
    streamed = [json.loads(line) for line in answer.text.splitlines()]
    assert len({item["id"] for item in streamed}) == len(streamed) == rows
    versions = [item["version"] for item in streamed]
    assert versions == sorted(versions)

    page = puller.fetch(since=_EVERYTHING, limit=5000)
    paged = [*page["items"]]
    while page["more"]:
        page = puller.fetch(cursor=page["cursor"], limit=5000)
        paged += page["items"]
    assert paged == streamed
    assert puller.fetch(cursor=page["cursor"]) == {"items": [], "cursor": page["cursor"], "more": False}
    after = re.fullmatch(r'<\?cursor=([\w-]+)[^>]*>; rel="next"', answer.headers["link"])
    assert after is not None, answer.headers["link"]
    assert puller.fetch(cursor=after[1])["items"] == []


def test_airflow_compresses_what_is_fetched(puller: Puller) -> None:
    asked: dict[str, Any] = {"params": {"since": _EVERYTHING, "limit": 1000}, "timeout": 60}
    plain = puller.session.get(f"{puller.address}/completions", headers={"Accept-Encoding": "identity"}, **asked)
    small = puller.session.get(f"{puller.address}/completions", headers={"Accept-Encoding": "gzip"}, **asked)
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.json() == plain.json()
    assert len(small.json()["items"]) == 1000


def test_what_is_acknowledged_is_told_apart(puller: Puller) -> None:
    items = puller.fetch(since=_EVERYTHING, limit=3)["items"]
    known = {item["id"] for item in puller.fetch(since=_EVERYTHING, acknowledged="true")["items"]}
    told = puller.post(
        "/acknowledgements",
        [{"id": item["id"], "version": item["version"], "status": "processed", "reference": "W-1"} for item in items],
    )
    assert (told.status_code, told.json()["recorded"]) == (200, 3 - len(known))
    now = puller.fetch(since=_EVERYTHING, acknowledged="true")["items"]
    assert {item["id"] for item in now} == {item["id"] for item in items} | known
    assert {item["acknowledgement"]["reference"] for item in now} == {"W-1"}


def test_a_revoked_token_is_refused_at_the_next_request(airflow_up: RunningAirflow, puller: Puller) -> None:
    assert puller.get("/completions", limit=1).status_code == 200
    airflow_up.revoke_tokens("warehouse")
    assert puller.get("/completions", limit=1).status_code == 401


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_stream_whose_token_is_revoked_does_not_look_whole(
    airflow_up: RunningAirflow, puller: Puller, encoding: str
) -> None:
    headers = {"Accept": _NDJSON, "Accept-Encoding": encoding}
    asked: dict[str, Any] = {"params": {"since": _EVERYTHING}, "headers": headers, "stream": True, "timeout": 60}
    with puller.session.get(f"{puller.address}/completions", **asked) as answer:
        assert answer.headers.get("content-encoding", "identity") == encoding
        lines = answer.iter_lines()
        next(lines)
        airflow_up.revoke_tokens("warehouse")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(lines)


@pytest.mark.parametrize("switch", ["pull", "enabled"])
def test_switched_off_it_serves_nobody_from_the_next_request_on(
    airflow_up: RunningAirflow, puller: Puller, switch: str
) -> None:
    assert puller.get("/completions", limit=1).status_code == 200
    try:
        airflow_up.set(switch, False)
        refused = puller.get("/completions", limit=1)
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert refused.json()["type"] == "urn:totara-bridge:problem:switched-off"
        assert int(refused.headers["retry-after"]) > 0
    finally:
        airflow_up.set(switch, True)
    assert puller.get("/completions", limit=1).status_code == 200


def test_a_login_of_airflow_is_neither_needed_nor_taken(airflow_up: RunningAirflow, anybody: requests.Session) -> None:
    login = {"username": airflow.LOGIN, "password": airflow.PASSWORD}
    answer = anybody.post(f"{airflow_up.address}/auth/token", json=login, timeout=60)
    jwt = answer.json()["access_token"]
    as_bearer = {"Authorization": f"Bearer {jwt}"}
    assert anybody.get(f"{airflow_up.address}/api/v2/dags", headers=as_bearer, timeout=60).status_code == 200
    for headers in (as_bearer, {"X-Api-Key": jwt}, {"Cookie": f"_token={jwt}"}):
        for path in ("/completions", "/status", "/openapi.json"):
            address = f"{airflow_up.address}{PREFIX}/api/v1{path}"
            assert anybody.get(address, headers=headers, timeout=60).status_code == 401


def test_a_token_opens_nothing_of_airflow(airflow_up: RunningAirflow, token: str, anybody: requests.Session) -> None:
    described = anybody.get(f"{airflow_up.address}/openapi.json", timeout=60).json()["paths"]
    paths = [path for path, methods in described.items() if "get" in methods and path.startswith(("/api/", "/ui/"))]
    assert len(paths) > 50
    closed = 0
    for path in paths:
        address = airflow_up.address + re.sub(r"\{[^}]*\}", "1", path)
        without = anybody.get(address, timeout=60).status_code
        closed += without == 401
        for headers in ({"Authorization": f"Bearer {token}"}, {"X-Api-Key": token}, {"Cookie": f"_token={token}"}):
            answer = anybody.get(address, headers=headers, timeout=60)
            assert answer.status_code in {401, 403} or answer.status_code == without, (path, answer.status_code)
    assert closed > 50


def test_no_route_of_the_bridge_is_open(
    airflow_up: RunningAirflow, anybody: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", "postgresql://nobody@localhost/nothing")  # is never asked
    found = [(address, method) for address, methods in routes(bridge_app(), PREFIX) for method in methods]
    assert len(found) >= 7
    for address, method in found:
        if address.startswith(f"{PREFIX}/panel/static/"):  # the page's files: anybody may have them
            continue
        assert anybody.request(method, airflow_up.address + address, timeout=60).status_code == 401, (method, address)
    for page in ("docs", "redoc", "openapi.json", "static/", "api/v1/docs", "api/v1/redoc", "api/v1/"):
        answer = anybody.get(f"{airflow_up.address}{PREFIX}/{page}", timeout=60)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), page


def test_the_access_log_has_neither_tokens_nor_learners(
    airflow_up: RunningAirflow, puller: Puller, token: str, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    [item] = puller.fetch(since=_EVERYTHING, limit=1)["items"]
    address = f"{puller.address}/completions/{item['id']}"
    puller.get("/completions", email="learner0001@example.com")
    puller.get("/users", api_key=token)  # where it must not be
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"
        assert session.get(address, timeout=60).status_code == 200
    # a line is written after its answer
    last = f"/bridge/api/v1/completions/{item['id']}"
    wait_until(lambda: last in (airflow_up.logs / "api-server.log").read_text(errors="replace"))
    logs = {file.name: file.read_text(errors="replace") for file in airflow_up.logs.iterdir()}
    for name, log in logs.items():
        assert token not in log, name
        assert "learner0001" not in log, name
