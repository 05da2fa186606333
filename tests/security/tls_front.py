"""TLS in front of a server that has none, as a proxy before an application: bytes go through, both ways."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds after which nothing more comes.
_PATIENCE = 60.0


class TlsFront:
    """Listens on loopback."""

    def __init__(self, behind: int, context: ssl.SSLContext) -> None:
        """:param behind: the port of the server that answers."""
        self._behind = behind
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._take)
        self.port = int(self._listening.getsockname()[1])
        self.url = f"https://127.0.0.1:{self.port}"
        self.let_through = 0  #: bytes that somebody has sent through, after the handshake

    def start(self) -> None:
        """Take whoever comes."""
        self._thread.start()

    def stop(self) -> None:
        """Take nobody any more, and wait for those that are there."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
        for each in self._threads:
            each.join()

    def _take(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=[caller])
            self._threads.append(thread)
            thread.start()

    def _serve(self, caller: socket.socket) -> None:
        caller.settimeout(_PATIENCE)
        with (
            caller,
            contextlib.suppress(OSError),
            self._context.wrap_socket(caller, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", self._behind), timeout=_PATIENCE) as server,
        ):
            self._pass_on(inside, server)

    def _pass_on(self, inside: ssl.SSLSocket, server: socket.socket) -> None:
        while True:
            waiting = [] if inside.pending() else select.select([inside, server], [], [], _PATIENCE)[0]
            if inside.pending() or inside in waiting:
                if not (said := inside.recv(65536)):
                    return
                self.let_through += len(said)
                server.sendall(said)
            if server in waiting:
                if not (answered := server.recv(65536)):
                    return
                inside.sendall(answered)


@contextmanager
def tls_front(behind: int, context: ssl.SSLContext) -> Iterator[TlsFront]:
    """One that runs."""
    front = TlsFront(behind, context)
    front.start()
    try:
        yield front
    finally:
        front.stop()
