"""Pages from the bridge, its peer and COPY: how each is asked, that all say the same, and how fast callers get them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from benchmarks.pull_caller import Fetched, Job
from benchmarks.pull_rows import CALLER, Pulled
from benchmarks.pull_server import Serving
from benchmarks.push_rate import line
from benchmarks.server import Server
from totara_bridge.staging.pull_filter import COMPLETIONS
from totara_bridge.staging.pull_form import Form, joined, written
from totara_bridge.web.pull import cursor
from totara_bridge.web.pull.cursor import Cursor

_PROCESSES = 2  #: that callers are spread over


@dataclass(frozen=True)
class Rate:
    """What callers got together."""

    took: Sequence[float]  #: for each page, seconds, from the shortest on
    bytes: int
    seconds: float
    cpu: float  #: of the callers, seconds

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds

    @property
    def size(self) -> int:
        """Bytes of a page."""
        return self.bytes // len(self.took)

    def words(self, page: int) -> str:
        """How fast, and how long a caller waits: usually, and one time of a hundred.

        :param page: items that each has.
        """
        waits = [1000 * self.took[int(len(self.took) * share)] for share in (0.5, 0.99)]
        fast = f"{self.per_second:,.0f} pages/s · {self.per_second * page:,.0f} rows/s".replace(",", " ")
        return f"{fast}; p50 {waits[0]:.1f} ms, p99 {waits[1]:.1f} ms"


@dataclass(frozen=True)
class Side:
    """One way to get pages: a server, or the database by COPY."""

    where: str
    what: str  #: as `Job` has it
    counts: bool = False  #: its cursor is a bare number

    def cursor(self, after: int) -> str:
        """What follows a position is asked for by this."""
        return str(after) if self.counts else begin(after)


def begin(after: int) -> str:
    """The bridge's cursor for what follows a position."""
    return cursor.written(Cursor("completions", after, 2**62, {}))


def of_bridge(serving: Serving, pulled: Pulled, limit: int) -> Side:
    """The Pull API."""
    path = f"{serving.bridge}/completions?limit={limit}&cursor={{cursor}}"
    return Side(str(serving.port), _request(path, f"X-Api-Key: {pulled.token}\r\n"))


def of_peer(serving: Serving, limit: int) -> Side:
    """FastAPI, ORM and pydantic."""
    path = f"{serving.peer}/completions?limit={limit}&cursor={{cursor}}"
    return Side(str(serving.port), _request(path), counts=True)


def of_fixed(serving: Serving, size: int) -> Side:
    """As many bytes as a page has."""
    return Side(str(serving.port), _request(f"{serving.peer}/fixed?bytes={size}"))


def of_copy(server: Server, pulled: Pulled, limit: int | None) -> Side:
    """COPY of the same text of the same items; without a limit of all that follow."""
    some = "" if limit is None else f"LIMIT {limit}"
    item = written(COMPLETIONS.fields, Form.NDJSON).replace(":caller", f"'{CALLER}'")
    rows = f"SELECT * FROM bridge.completion WHERE change_seq > {{cursor}} ORDER BY change_seq {some}"
    shared = joined(COMPLETIONS.fields, Form.NDJSON)
    return Side(server.dsn(pulled.database), f"SELECT {item} FROM ({rows}) c {shared}", counts=True)


def _request(path: str, headers: str = "") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n"


def together(side: Side, positions: Sequence[int], seconds: float) -> Rate:
    """What callers get that begin at these positions at the same time."""
    shares = [positions[each::_PROCESSES] for each in range(min(_PROCESSES, len(positions)))]
    with ExitStack() as stack:
        started = []
        for share in shares:
            job = Job(seconds, [side.cursor(after) for after in share], side.where, side.what)
            command = [sys.executable, "-m", "benchmarks.pull_caller"]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            started.append(process)
            _say(process, json.dumps(asdict(job)))
        for process in started:
            line(process)
        for process in started:
            _say(process, "go")
        done = [Fetched(**json.loads(line(process))) for process in started]
    return Rate(
        took=sorted(took for each in done for took in each.took),
        bytes=sum(each.bytes for each in done),
        seconds=max(each.ended for each in done) - min(each.began for each in done),
        cpu=sum(each.cpu for each in done),
    )


def _say(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdin is not None
    process.stdin.write(words + "\n")
    process.stdin.flush()
