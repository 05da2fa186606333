"""Requests to a Totara over real sockets: every way that an answer can fail to come is a sentence without a secret."""

import socket
import ssl
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from totara_bridge.errors import BridgeError, TotaraRefused, TotaraUnavailable
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.http import Answer, TooManyRequests, TotaraHttp

SECRET = "s3cr3t-t0ken"
#: The server closes after each answer, and says so: whoever asks next must not find the connection half gone.
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
WHOLE = HEAD + b"Date: Sat, 21 Nov 2026 19:39:02 GMT\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Peer:
    """A server that answers each connection with the same bytes, and keeps what it was sent."""

    url: str
    heard: list[bytes] = field(default_factory=list)


Said = bytes | Callable[[socket.socket], object]


@contextmanager
def answering(said: Said, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    listening = socket.create_server(("127.0.0.1", 0))
    peer = Peer(f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}")
    done = threading.Event()

    def serve() -> None:
        while True:
            caller, _ = listening.accept()
            with caller:
                if done.is_set():
                    return
                with suppress(OSError):
                    answer_one(tls.wrap_socket(caller, server_side=True) if tls else caller, peer, said)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield peer
    finally:
        done.set()
        socket.create_connection(listening.getsockname()).close()
        thread.join()
        listening.close()


def answer_one(caller: socket.socket, peer: Peer, said: Said) -> None:
    with caller:
        heard = b""
        while b"\r\n\r\n" not in heard or len(heard.partition(b"\r\n\r\n")[2]) < _length(heard):
            received = caller.recv(1 << 16)
            if not received:
                return
            heard += received
        peer.heard.append(heard)
        if callable(said):
            said(caller)
        else:
            caller.sendall(said)


def _length(heard: bytes) -> int:
    for line in heard.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def ask(url: str, *, timeout: float = 30.0) -> Answer:
    with TotaraHttp(TotaraConnection(server_url=url, timeout=timeout)) as http:
        return http.post("/api/graphql.php", json={"q": 1}, headers={"Authorization": f"Bearer {SECRET}"})


def download(url: str, **limits: Any) -> bytes:
    with TotaraHttp(TotaraConnection()) as http, http.stream(url, **limits) as pieces:
        return b"".join(pieces)


def failure(url: str, kind: type[BridgeError], *, timeout: float = 30.0) -> str:
    with pytest.raises(kind) as raised:
        ask(url, timeout=timeout)
    said = str(raised.value)
    assert type(raised.value) is kind
    assert SECRET not in said
    assert said.endswith(".")
    assert "\n" not in said
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    return said


def status(code: int, headers: str = "") -> bytes:
    return f"HTTP/1.1 {code} Said\r\n{headers}Content-Length: 0\r\n\r\n".encode()


def test_an_answer_is_given_whole_and_the_request_says_who_asks() -> None:
    with answering(WHOLE) as peer:
        answer = ask(peer.url)
    assert answer == Answer(200, "application/json", b"{}", 1_795_289_942, None)
    assert answer.json() == {}
    (heard,) = peer.heard
    assert heard.startswith(b"POST /api/graphql.php HTTP/1.1\r\n")
    assert b"\r\nUser-Agent: TotaraBridge\r\n" in heard
    assert f"\r\nAuthorization: Bearer {SECRET}\r\n".encode() in heard
    assert heard.endswith(b'{"q": 1}')


def test_a_form_and_a_get() -> None:
    with answering(WHOLE) as peer, TotaraHttp(TotaraConnection(server_url=f"{peer.url}/learn")) as http:
        http.post("/token.php", form={"client secret": "a&b"})
        http.get("/page")
    assert peer.heard[0].startswith(b"POST /learn/token.php ")
    assert peer.heard[0].endswith(b"client+secret=a%26b")
    assert peer.heard[1].startswith(b"GET /learn/page ")
    assert b"Authorization" not in peer.heard[1]


def test_no_cookie_is_kept_as_totara_answers_a_session_one_by_one() -> None:
    answer = WHOLE.replace(b"\r\n\r\n", b"\r\nSet-Cookie: TotaraSession=abc; path=/\r\n\r\n")
    with answering(answer) as peer, TotaraHttp(TotaraConnection(server_url=peer.url)) as http:
        http.get("/")
        http.get("/")
    assert b"Cookie" not in peer.heard[1]


def test_no_password_is_taken_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with answering(WHOLE) as peer, TotaraHttp(TotaraConnection(server_url=peer.url)) as http:
        http.get("/")
        with http.stream(f"{peer.url.replace('http://', 'http://user:pass@')}/file.csv") as pieces:
            list(pieces)
    assert all(b"Authorization" not in heard for heard in peer.heard)


def test_loopback_is_not_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@192.0.2.1:3128")
    with answering(WHOLE) as peer:
        assert ask(peer.url).status == 200


def test_a_proxy_that_fails_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@127.0.0.1:{port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert "HTTP_PROXY" in failure("http://totara.example.test", TotaraUnavailable).replace("HTTPS_PROXY", "HTTP_PROXY")


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = failure(f"http://127.0.0.1:{port}", TotaraUnavailable)
    assert said.startswith(f"No connection to http://127.0.0.1:{port}/api/graphql.php can be made (Connection refused)")


def test_a_name_that_is_not_known() -> None:
    said = failure("http://no-such-host.invalid", TotaraUnavailable)
    assert said.startswith("The host no-such-host.invalid is not known to DNS")


@pytest.mark.parametrize("url", ["http://[::1", "http://exa mple/", "http://"])
def test_an_address_that_cannot_be(url: str) -> None:
    assert 'correct "Server URL"' in failure(url, TotaraRefused)


def test_a_token_with_a_line_break_is_refused_and_not_shown() -> None:
    with answering(WHOLE) as peer, TotaraHttp(TotaraConnection(server_url=peer.url)) as http:
        with pytest.raises(TotaraRefused, match="line breaks out of the token") as raised:
            http.get("/", headers={"Authorization": f"Bearer {SECRET}\nX: y"})
        assert SECRET not in str(raised.value)
        assert SECRET not in "".join(traceback.format_exception(raised.value)).replace(f"Bearer {SECRET}", "")
    assert peer.heard == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        HEAD + b"Content-Length: 20\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
    ids=["nothing", "in the body", "in a chunk", "not gzip"],
)
def test_an_answer_that_breaks_off(answer: bytes) -> None:
    with answering(answer) as peer:
        assert "broke off its answer" in failure(peer.url, TotaraUnavailable)


def test_an_answer_that_never_ends_in_time() -> None:
    """Each byte comes in time, and all of them never."""
    ended = threading.Event()

    def drip(caller: socket.socket) -> None:
        caller.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        while not ended.wait(0.01):
            caller.sendall(b" ")

    with answering(drip) as peer:
        try:
            assert "did not answer in time" in failure(peer.url, TotaraUnavailable, timeout=0.3)
        finally:
            ended.set()


def test_no_answer_in_time() -> None:
    ended = threading.Event()
    with answering(lambda _: ended.wait()) as peer:
        try:
            assert "did not answer in time" in failure(peer.url, TotaraUnavailable, timeout=0.2)
        finally:
            ended.set()


def test_a_redirect_is_not_followed_and_its_query_not_told() -> None:
    where = "https://user:pw@sso.example.com/login/index.php?wantsurl=secret#x"
    with answering(status(303, f"Location: {where}\r\n")) as peer:
        said = failure(peer.url, TotaraRefused)
    assert "answered 303 and leads to https://sso.example.com/login/index.php, where nothing is sent" in said
    assert len(peer.heard) == 1


@pytest.mark.parametrize("where", ["", "Location: /totara/api/graphql.php\r\n", "Location: http://[::1\r\n"])
def test_a_redirect_to_elsewhere_or_nowhere(where: str) -> None:
    with answering(status(301, where)) as peer:
        assert "answered 301 and leads to" in failure(peer.url, TotaraRefused)


@pytest.mark.parametrize("code", [404, 405, 410])
def test_nothing_is_there(code: int) -> None:
    with answering(status(code)) as peer:
        assert f'answered {code}: there is nothing to ask at this address; correct "Server URL"' in failure(
            peer.url, TotaraRefused
        )


@pytest.mark.parametrize("code", [500, 502, 503, 504, 520])
def test_a_server_in_trouble(code: int) -> None:
    with answering(status(code, "Retry-After: 120\r\n")) as peer:
        assert f"answered {code}: it will be asked again in 120 s, as it wants" in failure(peer.url, TotaraUnavailable)


@pytest.mark.parametrize(("header", "seconds"), [("", None), ("Retry-After: 7\r\n", 7.0), ("Retry-After: x\r\n", None)])
def test_too_many_requests(header: str, seconds: float | None) -> None:
    with answering(status(429, header)) as peer, pytest.raises(TooManyRequests, match="too many requests") as raised:
        ask(peer.url)
    assert raised.value.retry_after == seconds


@pytest.mark.parametrize("code", [400, 401, 403])
def test_a_refusal_that_the_body_may_explain_is_given(code: int) -> None:
    with answering(status(code)) as peer:
        assert ask(peer.url).status == code


def test_an_answer_without_end_is_not_read() -> None:
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"

    def flood(caller: socket.socket) -> None:
        caller.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(80):
            caller.sendall(piece)

    with answering(flood) as peer:
        assert "answers with more than 64 MiB" in failure(peer.url, TotaraRefused)


def test_a_file_comes_in_pieces() -> None:
    answer = HEAD + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000
    with (
        answering(answer) as peer,
        TotaraHttp(TotaraConnection()) as http,
        http.stream(f"{peer.url}/file.csv?key=1", headers={"Authorization": "Bearer a"}) as pieces,
    ):
        received = list(pieces)
    assert len(received) > 1
    assert b"".join(received) == b"x" * 300_000
    assert b"GET /file.csv?key=1 " in peer.heard[0]
    assert b"Authorization: Bearer a" in peer.heard[0]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (HEAD + b"Content-Length: 9\r\n\r\nabc", TotaraUnavailable, "broke off its answer"),
        (HEAD + b"Content-Length: 9\r\n\r\nabcdefghi", TotaraRefused, "more than 0 MiB"),
        (status(401), TotaraRefused, "answered 401 instead of a file"),
        (status(404), TotaraRefused, "answered 404"),
        (status(503), TotaraUnavailable, "answered 503"),
        (status(302, "Location: /login?u=1\r\n"), TotaraRefused, "leads to http://127.0.0.1"),
    ],
)
def test_a_file_that_cannot_be_had(answer: bytes, kind: type[BridgeError], words: str) -> None:
    with answering(answer) as peer, pytest.raises(kind, match=words) as raised:
        download(f"{peer.url}/file.csv?key={SECRET}", most_bytes=5)
    assert SECRET not in str(raised.value)
    assert '"Report"' in str(raised.value) or kind is TotaraUnavailable


def test_a_file_that_comes_too_slowly_in_all() -> None:
    answer = HEAD + b"Content-Length: 9\r\n\r\nabcdefghi"
    with answering(answer) as peer, pytest.raises(TotaraUnavailable, match="did not answer in time"):
        download(f"{peer.url}/file.csv", seconds=0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 with its key, signed by itself."""
    file = tmp_path_factory.mktemp("tls") / "own.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    written = ["-keyout", str(file), "-out", str(file.with_suffix(".crt"))]
    subprocess.run(["openssl", *options.split(), *written], check=True, capture_output=True)
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


def test_tls_is_verified_and_an_authority_can_be_named(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with answering(WHOLE, context) as peer:
        said = failure(peer.url, TotaraRefused)
        assert "self-signed certificate" in said
        assert "REQUESTS_CA_BUNDLE" in said
        assert peer.heard == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_suffix(".crt")))
        assert ask(peer.url).status == 200
