"""A stream holds all that there was when it began, takes no memory for it, and ends when its token does."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
import requests
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from tests.staging_roles import PULL, address_as, as_role
from tests.web.pull_server import PullServer
from tests.web.puller import Puller
from tests.web.serving import serving
from tests.web.staged import START, Staged
from totara_bridge.staging.api_token import Caller
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.completions import completions
from totara_bridge.web.pull.stream import PIECE, BrokenOff
from totara_bridge.web.service import Service

ALL = "2000-01-01"
NDJSON = "application/x-ndjson"

#: MiB. PostgreSQL's text of a piece, the driver's and the server's copies of it, are less.
_A_FEW_PIECES = 12


@pytest.fixture
def staged(staging: Engine) -> Staged:
    """Staging without completions."""
    return Staged(staging)


def fill(staged: Staged, courses: int, *, users: int = 1) -> None:
    """Completions of so many courses by so many learners, with some words in each."""
    staged.sql(
        """
        INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, rpl, changed_at)
        SELECT 'sbx', u, k, 1, 'in_progress', repeat('x', 500), :now
        FROM generate_series(1, :users) u, generate_series(1, :courses) k ORDER BY u, k
        """,
        users=users, courses=courses, now=START,
    )  # fmt: skip


@pytest.fixture
def ask(staged: Staged, token: str) -> Callable[..., Answer]:
    """Ask without a server, so that a test reads an answer piece by piece."""
    service = Service(as_role(staged.staging, PULL), threads=1)
    caller = Caller("warehouse", 1, ["read"], True, True, service.clock() - service.clock())

    def asked(**query: str) -> Answer:
        return completions(Call(service, caller, datetime.now(UTC), {}, [*query.items()], NDJSON, "", b""))

    return asked


def pieces(answer: Answer) -> Iterator[list[dict[str, Any]]]:
    """What comes, piece by piece."""
    assert not isinstance(answer.body, bytes)
    for piece in answer.body:
        yield [json.loads(line) for line in piece.splitlines()]


def goes_on(answer: Answer) -> str:
    """The cursor that the header has."""
    [cursor] = parse_qs(urlsplit(answer.headers["Link"].partition(">")[0]).query)["cursor"]
    return cursor


class TestWhatComes:
    def test_is_all_there_was_and_then_what_changed_meanwhile(self, staged: Staged, ask: Callable[..., Answer]) -> None:
        fill(staged, 2 * PIECE + 10)
        answer = ask(since=ALL)
        reading = pieces(answer)
        first = next(reading)
        staged.change(1, 1, status="complete")  # came already
        staged.change(1, 2 * PIECE, status="complete")  # did not
        new = staged.completion(2, 1)
        rest = [item for piece in reading for item in piece]
        assert [item["courseId"] for item in first] == [*range(1, PIECE + 1)]
        assert [item["courseId"] for item in rest] == [
            *range(PIECE + 1, 2 * PIECE),
            *range(2 * PIECE + 1, 2 * PIECE + 11),
        ]
        [later] = pieces(ask(cursor=goes_on(answer)))
        assert [item["id"] for item in later] == ["sbx-1-1", f"sbx-1-{2 * PIECE}", new]

    def test_is_in_pieces_that_fit_a_filter(self, staged: Staged, ask: Callable[..., Answer]) -> None:
        fill(staged, 2 * PIECE)
        staged.completion(2, 5)
        read = list(pieces(ask(since=ALL, courseid="5")))
        assert [[item["id"] for item in piece] for piece in read] == [["sbx-1-5", "sbx-2-5"]]

    def test_is_all_of_it_page_by_page_too(self, staged: Staged, ask: Callable[..., Answer], puller: Puller) -> None:
        fill(staged, 1, users=PIECE + 1)
        [*streamed] = [item for piece in pieces(ask(since=ALL)) for item in piece]
        page = puller.fetch(since=ALL, limit=PIECE)
        assert page["items"] + puller.fetch(cursor=page["cursor"])["items"] == streamed


class TestItsToken:
    @pytest.mark.parametrize(
        "end",
        [
            "UPDATE bridge.api_token SET revoked_at = now(), revoked_by = 'ann'",
            "UPDATE bridge.api_token SET expires_at = created_at + interval '1 microsecond'",
            "INSERT INTO bridge.setting (scope, name, value, changed_at, changed_by)"
            " VALUES ('bridge', 'pull', 'false', now(), 'ann')",
            "INSERT INTO bridge.setting (scope, name, value, changed_at, changed_by)"
            " VALUES ('bridge', 'enabled', 'false', now(), 'ann')",
        ],
        ids=["revoked", "expired", "pull off", "all off"],
    )
    def test_is_looked_at_again_with_each_piece(self, staged: Staged, ask: Callable[..., Answer], end: str) -> None:
        fill(staged, 2 * PIECE)
        reading = pieces(ask(since=ALL))
        next(reading)
        staged.sql(end)
        with pytest.raises(BrokenOff):
            next(reading)

    def test_being_revoked_breaks_the_connection(
        self, staged: Staged, puller: Puller, caplog: pytest.LogCaptureFixture
    ) -> None:
        fill(staged, 1000, users=40)  # more than the buffers between take
        with puller.session.get(
            f"{puller.address}/completions", params={"since": ALL}, headers={"Accept": NDJSON}, stream=True, timeout=60
        ) as answer:
            reading = answer.iter_lines()
            lines = [next(reading)]
            staged.sql("UPDATE bridge.api_token SET revoked_at = now(), revoked_by = 'ann'")
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                lines += reading
        assert 0 < len(lines) < 40_000
        assert puller.get("/completions").status_code == 401


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_one_that_is_broken_off_does_not_look_whole_whatever_is_around_the_app(
    staged: Staged, token: str, encoding: str
) -> None:
    """As in Airflow, whose middleware ends an answer that has failed."""
    staged.sql(
        """
        INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, rpl, changed_at)
        SELECT 'sbx', 1, k, 1, 'in_progress', (SELECT string_agg(md5(k * i || ''), '') FROM generate_series(1, 30) i),
               :now
        FROM generate_series(1, 40000) k
        """,
        now=START,
    )

    async def passing(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    around = [
        Middleware(BaseHTTPMiddleware, dispatch=passing),
        Middleware(GZipMiddleware, compresslevel=1),
        Middleware(BaseHTTPMiddleware, dispatch=passing),
    ]
    app = Starlette(
        routes=[Mount(PREFIX, pull_app(Service(as_role(staged.staging, PULL), threads=2)))], middleware=around
    )
    headers = {"Accept": NDJSON, "Accept-Encoding": encoding}
    with serving(app) as host, Puller(host + PREFIX, token) as puller:
        asked: dict[str, Any] = {"params": {"since": ALL}, "headers": headers, "stream": True, "timeout": 60}
        with puller.session.get(f"{puller.address}/completions", **asked) as answer:
            assert answer.headers.get("content-encoding", "identity") == encoding
            reading = answer.iter_lines()
            next(reading)
            staged.sql("UPDATE bridge.api_token SET revoked_at = now(), revoked_by = 'ann'")
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                list(reading)


def test_a_long_one_takes_no_more_memory_than_a_short_one(staged: Staged, token: str, tmp_path: Path) -> None:
    fill(staged, 1000, users=200)
    staged.sql("ANALYZE bridge.completion")
    server = PullServer(address_as(staged.staging, PULL), tmp_path / "log")
    try:
        server.wait()
        with Puller(server.address, token) as puller:
            assert read_through(puller, userid=1) == 1000
            [process] = [
                each for each in psutil.Process().children() if "totara_bridge.web.pull:alone" in each.cmdline()
            ]
            before = peak(process)
            assert read_through(puller) == 200_000
            assert peak(process) - before < _A_FEW_PIECES
    finally:
        server.stop()


def read_through(puller: Puller, **asked: object) -> int:
    """Read a stream without keeping it; how many lines."""
    parameters: dict[str, Any] = {"since": ALL} | asked
    with puller.session.get(
        f"{puller.address}/completions", params=parameters, headers={"Accept": NDJSON}, stream=True, timeout=60
    ) as answer:
        return sum(piece.count(b"\n") for piece in answer.iter_content(1 << 16))


def peak(process: psutil.Process) -> float:
    """The most MiB that it ever had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
