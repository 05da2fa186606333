"""`python -m benchmarks.pull_caller`: callers that fetch page after page as fast as they are served, in one process.

Reads a job as JSON from its standard input, says that it is ready, waits for a line, fetches, and prints what came. The
callers are threads with a connection each that look at nothing but the cursor: what is measured is the server.
"""

import json
import re
import socket
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import psycopg

_BUFFER = 1 << 18
_TAIL = 4_000  #: bytes at the end of a page, in which the cursor stands
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_CURSOR = re.compile(rb'"cursor": ?"([^"]+)", ?"more": ?true}\s*$')
_VERSION = re.compile(rb'"version" ?: ?(\d+)')

#: Fetches the page at a cursor: how many bytes it has, and the cursor of the next one; none: there is no more.
Fetch = Callable[[str], tuple[int, str | None]]


@dataclass(frozen=True)
class Job:
    """What to fetch, from a server or from a database."""

    seconds: float
    cursors: Sequence[str]  #: one for each caller, to begin at, and to go back to at the end
    where: str  #: a port, or a database
    what: str  #: the head of a request without its request line's end, or a SELECT for COPY; ``{cursor}`` is in it


@dataclass(frozen=True)
class Fetched:
    """What came."""

    took: Sequence[float]  #: for each page, seconds
    bytes: int
    began: float  #: on the machine's clock, seconds
    ended: float
    cpu: float  #: seconds


class HttpPages:
    """One kept-alive connection to a server on loopback."""

    def __init__(self, port: str, request: str) -> None:
        """Connect.

        :param request: all of it, with ``{cursor}``.
        """
        self._socket = socket.create_connection(("127.0.0.1", int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._buffer = bytearray(_BUFFER)

    def __call__(self, cursor: str) -> tuple[int, str | None]:
        """Fetch a page.

        :raises SystemExit: it is none.
        """
        self._socket.sendall(self._request.replace("{cursor}", cursor).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive(_BUFFER)
        head, _, tail = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if length is None or not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"{self._request} is answered with {received!r}")
        left = int(length[1]) - len(tail)
        while left > 0:
            got = self._receive(min(left, _BUFFER))
            left -= len(got)
            tail = tail[-_TAIL:] + got[-_TAIL:]
        following = _CURSOR.search(tail)
        return int(length[1]), following and following[1].decode()

    def _receive(self, most: int) -> bytes:
        got = self._socket.recv_into(self._buffer, most)
        if not got:
            raise SystemExit(f"The answer to {self._request} broke off.")
        return bytes(memoryview(self._buffer)[:got])


class CopiedPages:
    """One connection to a database, which is asked by COPY."""

    def __init__(self, dsn: str, select: str) -> None:
        """Connect.

        :param select: the text of items, with ``{cursor}``.
        """
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._connection.execute("SET jit = off")
        self._select = select

    def __call__(self, cursor: str) -> tuple[int, str | None]:
        """Copy a page."""
        size, last = 0, b""
        with self._connection.cursor() as asking:
            statement = f"COPY ({self._select.replace('{cursor}', cursor)}) TO STDOUT"
            with asking.copy(statement.encode()) as rows:
                for row in rows:
                    last = bytes(row)
                    size += len(last)
        version = _VERSION.search(last)
        return size, version and version[1].decode()


def fetch(job: Job) -> Fetched:
    """Do the job, when a line comes."""
    pages = HttpPages if job.where.isdecimal() else CopiedPages
    fetching = [pages(job.where, job.what) for _ in job.cursors]
    took, sizes = list[float](), list[int]()
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.monotonic(), time.process_time()
    until = began + job.seconds

    def call(page: Fetch, first: str) -> None:
        cursor, asked = first, time.monotonic()
        while asked < until:
            size, following = page(cursor)
            answered = time.monotonic()
            took.append(answered - asked)
            sizes.append(size)
            cursor, asked = following or first, answered

    with ThreadPoolExecutor(len(fetching)) as callers:
        list(callers.map(call, fetching, job.cursors))  # what one of them raises is raised here
    return Fetched(took, sum(sizes), began, time.monotonic(), time.process_time() - cpu)


if __name__ == "__main__":
    print(json.dumps(asdict(fetch(Job(**json.loads(sys.stdin.readline()))))))
