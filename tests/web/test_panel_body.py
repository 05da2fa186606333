"""A body that is too long for the control panel is not read, and no file but the page's own is given, whoever asks."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.web.panel_client import Login
from tests.web.panel_routes import REQUESTS
from totara_bridge.web.panel.limited import LONGEST_BODY

_JSON = {"Content-Type": "application/json"}
_PIECE = 1 << 16


@pytest.fixture
def stranger(login: Login) -> Iterator[httpx.Client]:
    """Somebody who has not logged in."""
    with login.browser(login.panel(None), None) as browser:
        yield browser


def test_a_long_body_is_refused_before_it_is_read(stranger: httpx.Client) -> None:
    """FastAPI reads bodies before it asks for a login, so anybody could fill the API server's memory."""
    for request in REQUESTS:
        if request.changes:
            with _opened(stranger) as connection:  # it announces what never comes
                connection.sendall(_head(request.method, request.address, f"Content-Length: {LONGEST_BODY + 1}"))
                assert connection.recv(_PIECE).startswith(b"HTTP/1.1 413 "), request.name


def test_a_body_that_does_not_say_how_long_it_is_is_read_up_to_the_limit(stranger: httpx.Client) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        while sent < 64 * LONGEST_BODY:
            sent += _PIECE
            yield b" " * _PIECE

    try:
        answer = stranger.post("/api/tokens", content=pieces(), headers=_JSON)
    except httpx.WriteError:
        pass  # it was closed while more was written
    else:
        assert (answer.status_code, answer.headers["cache-control"]) == (413, "no-store")
    assert sent < 64 * LONGEST_BODY


def test_a_body_within_the_limit_is_read_and_then_the_login_counts(stranger: httpx.Client) -> None:
    for body in (b"{}", b'{"caller":"' + b"a" * (LONGEST_BODY - 20) + b'"}'):
        assert stranger.post("/api/tokens", content=body, headers=_JSON).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/../../../config/bridge.py",
        "/static/x/..%2f..%2fproblem.py",
        "/static/x/%2e%2e/%2e%2e/problem.py",
        "/static/%2e%2e/%2e%2e/problem.py",
        "/static/../problem.py",
        "/static/x//etc/passwd",
        "/static/x/..%5c..%5cproblem.py",
        "/static/x/%00",
        "/static/x/nav.js%00.svg",
        "/static/x/",
        "/static/x/lib",
    ],
)
def test_no_file_but_the_pages_own_is_given(stranger: httpx.Client, path: str) -> None:
    with _opened(stranger) as connection:
        connection.sendall(_head("GET", path, "Connection: close"))
        told = b"".join(iter(lambda: connection.recv(_PIECE), b""))
    assert told.startswith(b"HTTP/1.1 404 ")
    assert b"import" not in told
    assert b"root:" not in told


def _opened(browser: httpx.Client) -> socket.socket:
    there = browser.base_url
    return socket.create_connection((there.host, there.port or 0), timeout=60)


def _head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: airflow", *lines, "", "")).encode()
