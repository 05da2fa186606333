"""An endpoint that is wrong in one way: it passes everything on to a sandbox Oracle, but for what a test changes."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import requests

from totara_bridge.oracle.access import OracleAccess
from totara_bridge.sandbox.oracle.server import SandboxOracle


@dataclass
class Answer:
    """What the caller gets."""

    status: int
    headers: dict[str, str]  #: names in lower case
    body: bytes

    @property
    def results(self) -> list[dict[str, Any]]:
        """The results per item; none where it has none."""
        document = json.loads(self.body or b"{}")
        return list(document.get("results", []))

    def with_results(self, results: list[dict[str, Any]]) -> "Answer":
        """The same with other results."""
        return said(self.status, {"results": results}, **self.headers)


@dataclass
class Call:
    """One request, and the way on to the sandbox."""

    path: str
    headers: dict[str, str]  #: names in lower case
    body: bytes
    first: bool  #: on its connection
    forward: Callable[["Call"], Answer]

    @property
    def items(self) -> list[dict[str, Any]] | None:
        """The items; none where it is no batch."""
        try:
            return list(json.loads(self.body)["items"])
        except (ValueError, KeyError):
            return None

    def right(self) -> Answer:
        """The sandbox's answer."""
        return self.forward(self)


class HangUp(Exception):
    """The connection closes without an answer."""


Wrong = Callable[[Call], Answer]


def said(status: int, document: Any, **headers: str) -> Answer:
    """A JSON answer."""
    usual = {"content-type": "application/json", "x-request-id": "wrong-1"}
    return Answer(status, usual | headers, json.dumps(document).encode())


@contextmanager
def endpoint(sandbox: SandboxOracle, wrong: Wrong) -> Iterator[OracleAccess]:
    """Serve; gives how the endpoint is used."""

    def forward(call: Call) -> Answer:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(sandbox.url + call.path, data=call.body, headers=call.headers, timeout=60)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        kept = {str(name): headers[name] for name in ("content-type", "x-request-id") if name in headers}
        return Answer(answer.status_code, kept, answer.content)

    class Handler(_Handler):
        way = _Way(wrong, forward)

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield OracleAccess(
        base_url=url,
        token_url=f"{url}/oauth2/v1/token",
        client_id=sandbox.client_id,
        client_secret=sandbox.client_secret,
    )
    server.shutdown()
    thread.join()
    for connection in [*Handler.way.connections]:
        with suppress(OSError):  # the other side was faster
            connection.shutdown(socket.SHUT_RD)  # a session that is closed keeps its connection until it is collected
    server.server_close()


@dataclass
class _Way:
    wrong: Wrong
    forward: Callable[[Call], Answer]
    connections: dict[socket.socket, int] = field(default_factory=dict)  #: open now, with requests so far


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for them


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    way: ClassVar[_Way]

    def setup(self) -> None:
        super().setup()
        self.way.connections[self.connection] = 0

    def finish(self) -> None:
        del self.way.connections[self.connection]
        super().finish()

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "host"}
        body = self.rfile.read(int(headers.pop("content-length", "0")))
        first = self.way.connections[self.connection] == 0
        self.way.connections[self.connection] += 1
        try:
            answer = self.way.wrong(Call(self.path, headers, body, first, self.way.forward))
        except HangUp:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  http.server's name
        """Nothing: the test says what came."""
