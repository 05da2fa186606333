"""Pushing to an endpoint that answers after 0, 50 and 200 ms, by one, two and four tasks.

What could be reached is the slower of two things measured in the same run: the same requests without a queue, and the
queue without anything to wait for.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from benchmarks import queue_rate, report
from benchmarks.push_task import SETTINGS, Done
from benchmarks.report import Line
from benchmarks.server import Server

_DELAYS = (0.0, 0.05, 0.2)
_TASKS = (1, 2, 4)
_SECONDS = 3.0  #: of each measurement, about
_MOST, _LEAST = 24_000, 8_000  #: items
_ROUNDS = 2


@dataclass(frozen=True)
class Rate:
    """What tasks did together."""

    items: int
    requests: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        return self.items / self.seconds


def push(server: Server) -> Iterator[Line]:
    """The share of what could be reached, and what an item costs."""
    for delay in _DELAYS:
        with endpoint(delay) as address:
            for tasks in _TASKS:
                yield from _lines(server, address, delay, tasks)


def _lines(server: Server, address: str, delay: float, tasks: int) -> Iterator[Line]:
    items = _items(delay, tasks)
    rounds = [
        {what: _once(server, what, address, tasks, items) for what in ("network", "queue", "push")}
        for _ in range(_ROUNDS)
    ]
    what = f"push, {delay * 1000:.0f} ms, {tasks} task{'s' if tasks > 1 else ''}"
    yield report.share(
        what,
        [each["push"].per_second for each in rounds],
        [min(each["network"].per_second, each["queue"].per_second) for each in rounds],
        slower="network" if rounds[-1]["network"].per_second < rounds[-1]["queue"].per_second else "queue",
        at_least=0.8 if delay == _DELAYS[1] else None,
    )
    pushed = rounds[-1]["push"]
    yield report.cost(what, requests=pushed.requests, cpu=pushed.cpu, items=pushed.items)


def _items(delay: float, tasks: int) -> int:
    """As many as take a few seconds, in whole rounds of requests."""
    at_once = tasks * SETTINGS.requests_in_flight * SETTINGS.batch_size
    wanted = _MOST if not delay else min(_MOST, max(_LEAST, at_once / delay * _SECONDS))
    return int(wanted // at_once * at_once)


def _once(server: Server, what: str, address: str, tasks: int, items: int) -> Rate:
    database = server.copy(queue_rate.queue(server, items), "push")
    server.settle(database)
    rate = together(server, database, what, address, tasks=tasks, requests=items // tasks // SETTINGS.batch_size)
    _require(server, database, what, rate, items)
    return rate


def together(server: Server, database: str, what: str, address: str, *, tasks: int, requests: int = 0) -> Rate:
    """What so many push tasks do that begin at the same time.

    :param what: as `push_task` says.
    :param requests: that each makes, without a queue.
    """
    url = server.url(database).render_as_string()
    command = [sys.executable, "-m", "benchmarks.push_task", what, url, address, str(requests)]
    with ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(tasks)
        ]
        for process in started:
            line(process)
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        done = [Done(**json.loads(line(process))) for process in started]
    return Rate(
        items=sum(each.items for each in done),
        requests=sum(each.requests for each in done),
        seconds=max(each.ended for each in done) - min(each.began for each in done),
        cpu=sum(each.cpu for each in done),
    )


def line(process: subprocess.Popen[str]) -> str:
    """The next line of a program.

    :raises SystemExit: there is none.
    """
    assert process.stdout is not None
    printed = process.stdout.readline()
    if not printed:
        raise SystemExit(f"A push task ended with {process.wait()} before it was done.")
    return printed


def _require(server: Server, database: str, what: str, rate: Rate, items: int) -> None:
    with server.engine(database).connect() as connection:
        delivered = connection.execute(sa.text("SELECT count(*) FROM bridge.delivery")).scalar_one()
    expected = 0 if what == "network" else items
    if rate.items != items or delivered != expected:
        raise SystemExit(f"{what}: {rate.items} items were sent and {delivered} are in the ledger, instead of {items}.")


@contextmanager
def endpoint(delay: float) -> Iterator[str]:
    """The address of an endpoint that answers after so many seconds."""
    command = [sys.executable, "-m", "benchmarks.endpoint", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(line(process))}"
        finally:
            process.terminate()
