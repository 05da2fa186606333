"""A server that answers as it is told, byte by byte."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress


def answer(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer, byte by byte."""
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 " + status, length, b"Connection: close", *lines, b"", body])


@contextmanager
def server(answers: Mapping[bytes, bytes]) -> Iterator[str]:
    """Whoever asks gets the answer of the path's beginning; gives its address."""

    def serve() -> None:
        while True:
            try:
                caller, _ = listening.accept()
            except OSError:
                return
            with caller, suppress(OSError):  # who has read enough goes
                asked = b""
                while b"\r\n\r\n" not in asked and (more := caller.recv(65536)):
                    asked += more
                if asked:
                    path = asked.split(b" ", 2)[1]
                    caller.sendall(next(said for start, said in answers.items() if path.startswith(start)))
                    caller.shutdown(socket.SHUT_WR)
                    while caller.recv(65536):
                        pass

    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        listening.close()
