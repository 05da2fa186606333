"""Who is told of alerts: an SMTP server and a webhook on loopback that keep what they get."""

import json
import socketserver
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self


@dataclass(frozen=True)
class Mail:
    """An e-mail as the server took it."""

    to: tuple[str, ...]
    subject: str
    html: str


class Receiver:
    """A server that takes what comes while it is in a ``with``."""

    def __init__(self, server: socketserver.TCPServer) -> None:
        """Nothing has come yet."""
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        """Take what comes."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more."""
        self.close()


class Mailbox(Receiver):
    """An SMTP server (RFC 5321, as much of it as a client without TLS and login uses); for ``with``."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.mails: list[Mail] = []
        server = _SmtpServer(("127.0.0.1", 0), _SmtpSession)
        server.mailbox = self
        super().__init__(server)

    def connection(self, **extra: Any) -> str:
        """The Airflow Connection to it, as JSON."""
        return json.dumps(
            {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": self.port,
                "extra": {"from_email": "bridge@example.com", "disable_tls": True, "disable_ssl": True} | extra,
            }
        )


class _SmtpServer(socketserver.ThreadingTCPServer):
    daemon_threads = False
    block_on_close = True
    mailbox: Mailbox


class _SmtpSession(socketserver.StreamRequestHandler):
    server: _SmtpServer

    def handle(self) -> None:
        self._say("220 mailbox")
        to: list[str] = []
        while line := self.rfile.readline():
            command = line.decode().strip()
            verb = command[:4].upper()
            if verb == "QUIT":
                self._say("221 bye")
                return
            if verb == "RCPT":
                to.append(command.partition("<")[2].partition(">")[0])
            if verb == "DATA":
                self._say("354 go on")
                self._take(tuple(to))
            self._say("250 ok")

    def _take(self, to: tuple[str, ...]) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("html",))
        assert body is not None
        self.server.mailbox.mails.append(Mail(to, str(message["Subject"]), body.get_content()))

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@dataclass
class Webhook(Receiver):
    """An endpoint that keeps the JSON posted to it; for ``with``."""

    status: int = 200  #: what it answers with
    location: str | None = None  #: where it sends callers, for a status that redirects
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    taken: threading.Event = field(default_factory=threading.Event)  #: something came
    answers: threading.Event = field(default_factory=threading.Event)  #: cleared: it answers when this is set

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self.answers.set()
        handler = type("_Handler", (_WebhookHandler,), {"webhook": self})
        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), handler))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def connection(self, **fields: Any) -> str:
        """The Airflow Connection to it, as JSON."""
        return json.dumps({"conn_type": "http", "host": f"{self.url}/hook", "extra": {"trust_env": False}} | fields)

    def close(self) -> None:
        """Take no more, and keep no caller waiting."""
        self.answers.set()
        super().close()


class _WebhookHandler(BaseHTTPRequestHandler):
    webhook: ClassVar[Webhook]

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.webhook.bodies.append(json.loads(self.rfile.read(length)))
        self.webhook.paths.append(self.path)
        self.webhook.taken.set()
        self.webhook.answers.wait()
        try:
            self.send_response(self.webhook.status)
            if self.webhook.location is not None:
                self.send_header("Location", self.webhook.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except OSError:
            self.close_connection = True  # the caller was killed

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing."""
