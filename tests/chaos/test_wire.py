"""A wire passes everything on, and is cut in each way as it says."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.whole.wire import Cut, Wire

#: Seconds in which what gets through has come, and what does not get through has not.
_LONG, _SHORT = 30.0, 0.2


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while said := self.request.recv(1024):
            _HEARD.append(said)
            self.request.sendall(said)


_HEARD: list[bytes] = []


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A wire to somebody who answers with what was said."""
    _HEARD.clear()
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with Wire(server.server_address[1]) as laid:
            yield laid
        server.shutdown()
        thread.join()


def connected(wire: Wire) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout=_LONG)


def answer(asker: socket.socket, said: bytes) -> bytes:
    asker.sendall(said)
    return asker.recv(1024)


def is_answered(asker: socket.socket) -> bool:
    asker.settimeout(_SHORT)
    try:
        return bool(asker.recv(1024))
    except TimeoutError:
        return False
    finally:
        asker.settimeout(_LONG)


def test_it_passes_on(wire: Wire) -> None:
    with connected(wire) as one, connected(wire) as other:
        assert answer(one, b"a") == b"a"
        assert answer(other, b"b" * 1000) == b"b" * 1000


def test_refused(wire: Wire) -> None:
    with connected(wire) as asker:
        assert answer(asker, b"a") == b"a"
        wire.cut(Cut.REFUSED)
        with pytest.raises(ConnectionError):
            answer(asker, b"b")
    with pytest.raises(ConnectionRefusedError):
        connected(wire)
    wire.mend()
    with connected(wire) as asker:
        assert answer(asker, b"c") == b"c"


def test_reset(wire: Wire) -> None:
    with connected(wire) as asker:
        assert answer(asker, b"a") == b"a"
        wire.cut(Cut.RESET)
        with pytest.raises(ConnectionError):
            answer(asker, b"b")
    with pytest.raises(ConnectionError), connected(wire) as asker:
        answer(asker, b"c")
    wire.mend()
    with connected(wire) as asker:
        assert answer(asker, b"d") == b"d"


def test_silent(wire: Wire) -> None:
    with connected(wire) as asker:
        assert answer(asker, b"a") == b"a"
        wire.cut(Cut.SILENT)
        asker.sendall(b"b")
        with connected(wire) as later:
            later.sendall(b"c")
            assert not is_answered(later)
            assert not is_answered(asker)
            assert _HEARD == [b"a"]
            wire.mend()
            assert (asker.recv(1024), later.recv(1024)) == (b"b", b"c")


def test_unanswered(wire: Wire, wait_until: Callable[[Callable[[], bool]], None]) -> None:
    with connected(wire) as asker:
        assert answer(asker, b"a") == b"a"
        wire.cut(Cut.UNANSWERED)
        asker.sendall(b"b")
        wait_until(lambda: _HEARD == [b"a", b"b"])
        assert not is_answered(asker)
        wire.mend()
        with pytest.raises(ConnectionError):
            asker.recv(1024)
    with connected(wire) as asker:
        assert answer(asker, b"c") == b"c"
