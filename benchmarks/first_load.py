"""A whole site, first into an empty staging database and then again, next to plain COPY and to dlt."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks import bridge, peer_dlt, reference, report, same_rows
from benchmarks.report import Line
from benchmarks.server import Server

_COPY_PAIRS, _DLT_PAIRS = 4, 2


@dataclass
class _Seconds:
    """Of one side."""

    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


#: Loads a Totara into a database: how many seconds it took.
_Load = Callable[[Server, str, str], float]


def against_copy(server: Server, completions: int) -> Iterator[Line]:
    """Against COPY to COPY to merge of the same rows."""
    ours, theirs = _Seconds(), _Seconds()
    for counted in (False, *[True] * _COPY_PAIRS):
        _pair(
            (_bridge, server.staging(), ours if counted else _Seconds()),
            (_plain_copy, server.staging(), theirs if counted else _Seconds()),
            same_rows.staged,
            server,
            completions,
        )
    rows = f"{completions:,} completions".replace(",", " ")
    yield report.speed(f"{rows}, first load", ours.first, theirs.first, peer="plain COPY", at_least=0.6)
    yield report.speed(f"{rows}, nothing changed", ours.again, theirs.again, peer="plain COPY", at_least=0.7)


def against_dlt(server: Server, completions: int) -> Iterator[Line]:
    """Against dlt with Arrow tables."""
    ours, theirs = _Seconds(), _Seconds()
    for counted in (False, *[True] * _DLT_PAIRS):
        with tempfile.TemporaryDirectory(prefix="tbb") as folder:
            _pair(
                (_bridge, server.staging(), ours if counted else _Seconds()),
                (partial(peer_dlt.load, Path(folder)), server.empty(), theirs if counted else _Seconds()),
                same_rows.said,
                server,
                completions,
            )
    rows = f"{completions:,} completions".replace(",", " ")
    yield report.speed(f"{rows}, first load", ours.first, theirs.first, peer="dlt (Arrow)", at_least=1.75)
    yield report.speed(f"{rows}, nothing changed", ours.again, theirs.again, peer="dlt (Arrow)", at_least=1.75)


def _pair(
    ours: tuple[_Load, str, _Seconds],
    theirs: tuple[_Load, str, _Seconds],
    contents: Callable[[str], same_rows.Contents],
    server: Server,
    completions: int,
) -> None:
    """Both sides load into databases of their own, then both again; what they wrote must be equal each time."""
    totara = server.totara(completions)
    sides = {server.copy(template, name): (load, seconds) for name, (load, template, seconds) in
             (("ours", ours), ("theirs", theirs))}  # fmt: skip
    for turn in ("first", "again"):
        for database, (load, seconds) in sides.items():
            server.settle(database)
            getattr(seconds, turn).append(load(server, totara, database))
        same_rows.require_same(f"{turn} load", *(contents(server.dsn(database)) for database in sides))


def _bridge(server: Server, totara: str, staging: str) -> float:
    seconds, _ = bridge.extract(server, totara=totara, staging=staging, full_compare=True)
    return seconds


def _plain_copy(server: Server, totara: str, staging: str) -> float:
    begun = time.perf_counter()
    reference.load(server.dsn(totara), server.dsn(staging), site=bridge.SITE, now=datetime.now(UTC))
    return time.perf_counter() - begun
