"""The Pull API alone, as it runs in production: processes that end or are killed, a database that restarts, a proxy."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from sqlalchemy import NullPool, create_engine, make_url, text

from tests.crashing import CrashingPostgres
from tests.short_lived import new_folder
from tests.staging_roles import PULL, grant_to_roles
from tests.web.pull_server import PullServer
from tests.web.puller import Puller
from totara_bridge import api_token
from totara_bridge.staging.migrate import migrate

ROWS = 60_000
_FILL = f"""
    INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, changed_at)
    SELECT 'sbx', n, 20, n, 'complete', now() - interval '1 second' * ({ROWS} - n)
    FROM generate_series(1, {ROWS}) n ORDER BY n
"""
_CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'totara-bridge'"

#: On a busy machine a process may need longer to start than uvicorn lets one be silent.
_TWO = ("--workers", "2", "--timeout-worker-healthcheck", "120")
#: Two processes that wait for whom they serve, but not for ever.
WORKERS = (*_TWO, "--timeout-graceful-shutdown", "240")

Start = Callable[..., PullServer]
Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="module")
def crashing() -> Iterator[CrashingPostgres]:
    """A PostgreSQL of its own, with a staging database of 60 000 completions."""
    folder = new_folder("tba")
    server = CrashingPostgres(folder)
    migrate(server.url("pulled"))
    grant_to_roles(server.url("pulled"))
    _do(server, _FILL)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def database(crashing: CrashingPostgres) -> str:
    """Its address for the Pull API, whether it is up or not."""
    return make_url(crashing.url("pulled")).set(username=PULL).render_as_string(hide_password=False)


@pytest.fixture
def token(crashing: CrashingPostgres) -> Iterator[str]:
    """A token that may do everything, from anywhere."""
    yield from _issued(crashing, "warehouse")


@pytest.fixture
def start(database: str, tmp_path: Path) -> Iterator[Start]:
    """Start a server, with these options of uvicorn; it has ended when the test ends."""
    started: list[PullServer] = []

    def begin(*options: str) -> PullServer:
        server = PullServer(database, tmp_path / "uvicorn.log", *options)
        started.append(server)
        server.wait()
        return server

    yield begin
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def plain(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PullServer, Path]]:
    """A server with one process, and its log."""
    log = tmp_path_factory.mktemp("plain") / "uvicorn.log"
    server = PullServer(database, log, "--log-level", "info")
    server.wait()
    yield server, log
    server.stop()


def test_whoever_is_served_when_it_ends_is_served_to_the_end(
    start: Start, token: str, crashing: CrashingPostgres, wait_until: Wait
) -> None:
    server = start(*WORKERS)
    with Puller(server.address, token) as puller:
        answer = _stream(puller)
        lines = answer.iter_lines()
        first = next(lines)
        server.ask_to_end()
        items = [json.loads(line) for line in (first, *lines)]
        assert len({item["id"] for item in items}) == len(items) == ROWS
        answer.close()
    assert server.end() in {0, -signal.SIGTERM}
    wait_until(lambda: _connected(crashing) == 0)


def test_whoever_does_not_read_on_is_cut_off_and_can_tell(start: Start, token: str) -> None:
    server = start(*_TWO, "--timeout-graceful-shutdown", "1")
    with Puller(server.address, token) as puller:
        answer = _stream(puller)
        lines = answer.iter_lines()
        next(lines)
        server.ask_to_end()
        assert server.end() in {0, -signal.SIGTERM}  # though nobody reads
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
            list(lines)
        answer.close()


def test_processes_that_are_killed_come_back_and_no_stream_ends_as_if_it_were_whole(
    start: Start, token: str, wait_until: Wait
) -> None:
    server = start(*WORKERS)
    wait_until(lambda: len(server.workers()) == 2)
    before = {each.pid for each in server.workers()}
    with Puller(server.address, token) as puller:
        answer = _stream(puller)
        lines = answer.iter_lines()
        next(lines)
        for each in server.workers():
            each.kill()
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
            list(lines)
        answer.close()
        wait_until(lambda: len({each.pid for each in server.workers()} - before) == 2)
        server.wait()
        assert len(puller.fetch(since="1970-01-01", limit=3)["items"]) == 3


def test_one_of_two_processes_that_is_killed_is_not_missed(start: Start, token: str, wait_until: Wait) -> None:
    server = start(*WORKERS)
    wait_until(lambda: len(server.workers()) == 2)
    killed = server.workers()[0]
    killed.kill()
    killed.wait()
    for _ in range(10):
        with Puller(server.address, token) as puller:  # a connection of its own
            assert len(puller.fetch(since="1970-01-01", limit=3)["items"]) == 3


def test_a_database_that_restarts_is_told_and_forgotten(start: Start, token: str, crashing: CrashingPostgres) -> None:
    server = start(*WORKERS)
    with Puller(server.address, token) as puller:
        page = puller.fetch(since="1970-01-01", limit=3)
        crashing.crash()
        try:
            refused = puller.get("/completions", cursor=page["cursor"])
            assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            assert refused.json()["type"] == "urn:totara-bridge:problem:unavailable"
            assert int(refused.headers["retry-after"]) > 0
        finally:
            crashing.start()
        assert len(puller.fetch(cursor=page["cursor"], limit=3)["items"]) == 3


def test_a_database_that_comes_later_is_waited_for(start: Start, token: str, crashing: CrashingPostgres) -> None:
    crashing.crash()
    try:
        server = start()
        with Puller(server.address, token) as puller:
            assert puller.get("/completions").status_code == 503
    finally:
        crashing.start()
    with Puller(server.address, token) as puller:
        assert puller.get("/completions").status_code == 200


def test_behind_a_proxy_the_allowed_addresses_are_those_of_the_callers(
    start: Start, crashing: CrashingPostgres
) -> None:
    issued = _issued(crashing, "inside", "10.1.0.0/16")
    token = next(issued)
    trusting, other = start("--forwarded-allow-ips", "127.0.0.1"), start("--no-proxy-headers")
    with Puller(trusting.address, token) as puller:
        assert _status_from(puller, "10.1.2.3") == 200
        assert _status_from(puller, "10.2.0.1") == 403
        assert _status_from(puller, "10.1.2.3, 10.2.0.1") == 403  # what the caller wrote itself stands first
        assert _status_from(puller, None) == 403
    with Puller(other.address, token) as puller:
        assert _status_from(puller, "10.1.2.3") == 403


def test_its_log_has_neither_tokens_nor_learners(plain: tuple[PullServer, Path], token: str) -> None:
    server, log = plain
    with Puller(server.address, token) as puller:
        puller.get("/completions", email="learner@example.com")
        puller.get("/users", api_key=token)  # where it must not be
        puller.get("/completions/sbx-1-20", accept="text/nothing")
        for beside in ("", "/..", "/nowhere"):
            puller.session.get(f"{puller.address}{beside}?email=learner@example.com", timeout=60)
    said = log.read_text()
    assert "GET /bridge/api/v1/completions HTTP" in said
    assert "GET /bridge/api/v1/completions/sbx-1-20 HTTP" in said
    assert "GET /bridge/api/v1 HTTP" in said
    assert "GET /bridge/api/ HTTP" in said
    assert token not in said
    assert "learner" not in said


def test_a_stream_that_is_broken_off_is_one_sentence_in_the_log(
    start: Start, crashing: CrashingPostgres, tmp_path: Path
) -> None:
    server, issued = start(), _issued(crashing, "leaving")
    with Puller(server.address, next(issued)) as puller, _stream(puller) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert next(issued, None) is None  # revokes it
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(lines)
    server.stop()
    said = (tmp_path / "uvicorn.log").read_text()
    assert said.count("A stream was broken off: Its token has ended") == 1
    assert "Traceback" not in said


def test_nothing_is_open_beside_it(plain: tuple[PullServer, Path]) -> None:
    host = plain[0].address.removesuffix("/bridge/api/v1")
    with requests.Session() as session:
        session.trust_env = False
        for path in ("", "/", "/docs", "/openapi.json", "/bridge", "/bridge/", "/bridge/docs", "/bridge/api/v1"):
            answer = session.get(host + path, allow_redirects=False, timeout=60)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path


def test_it_compresses_for_whoever_takes_it(plain: tuple[PullServer, Path], token: str) -> None:
    with Puller(plain[0].address, token) as puller:
        answer = puller.get("/completions", since="1970-01-01", limit=1000)
        assert answer.headers["content-encoding"] == "gzip"
        assert len(answer.json()["items"]) == 1000


def _stream(puller: Puller) -> requests.Response:
    return puller.session.get(
        f"{puller.address}/completions",
        params={"since": "1970-01-01"},
        headers={"Accept": "application/x-ndjson", "Accept-Encoding": "identity"},
        stream=True,
        timeout=60,
    )


def _status_from(puller: Puller, forwarded: str | None) -> int:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return puller.session.get(f"{puller.address}/completions", headers=headers, timeout=60).status_code


def _issued(crashing: CrashingPostgres, caller: str, *networks: str) -> Iterator[str]:
    engine = create_engine(crashing.url("pulled"), poolclass=NullPool)
    now = datetime.now(UTC)
    with engine.begin() as transaction:
        token = api_token.issue(transaction, caller=caller, networks=networks, by="test", now=now).token
    yield token
    with engine.begin() as transaction:
        api_token.revoke(transaction, caller, by="test", now=datetime.now(UTC))


def _do(crashing: CrashingPostgres, statement: str) -> None:
    engine = create_engine(crashing.url("pulled"), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(statement))


def _connected(crashing: CrashingPostgres) -> int:
    engine = create_engine(crashing.url("pulled"), poolclass=NullPool)
    with engine.connect() as connection:
        return int(connection.execute(text(_CONNECTED)).scalar_one())
