"""What is sent to Oracle has the Connection's credentials, whatever a file ~/.netrc has for that machine."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from totara_bridge.oracle.access import ClientAuthentication, OracleAccess
from totara_bridge.oracle.check import check
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder


class _Oracle(BaseHTTPRequestHandler):
    heard: list[tuple[str, str | None]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((self.path, self.headers["Authorization"]))
        body = json.dumps({"access_token": "good-token", "token_type": "Bearer", "expires_in": 3600}).encode()
        body = body if self.path == "/token" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def oracle() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """An address, and the path and the Authorization of each request there."""
    heard: list[tuple[str, str | None]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Heard", (_Oracle,), {"heard": heard}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("authentication", ["basic", "body"])
def test_it_is_not_read(
    oracle: tuple[str, list[tuple[str, str | None]]],
    authentication: ClientAuthentication,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, heard = oracle
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    access = OracleAccess(
        base_url=url, token_url=f"{url}/token", client_id="client", client_secret="s3cr3t-s3cr3t",
        client_authentication=authentication,
    )  # fmt: skip
    with Sender(access, TokenHolder(access)) as sender:
        assert sender.send(["k"], ["{}"]).outcome == "sent"
    check(access)
    own = "Basic " + base64.b64encode(b"client:s3cr3t-s3cr3t").decode() if authentication == "basic" else None
    assert heard == 2 * [("/token", own), ("/completions", "Bearer good-token")]
