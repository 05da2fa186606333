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
from benchmarks.same_rows import Contents
from benchmarks.server import Server

_COPY_PAIRS, _DLT_PAIRS = 4, 2


@dataclass
class _Seconds:
    """Of one side."""

    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Side:
    """A way to load a Totara into a database."""

    name: str
    template: str  #: the database it begins with
    load: Callable[[Server, str, str], float]  #: from Totara's database into its own: how many seconds it took
    contents: Callable[[str], Contents]  #: of the database at that address, to compare with the other side's


def against_copy(server: Server, completions: int) -> Iterator[Line]:
    """Against COPY to COPY to merge of the same rows."""
    seconds = {"ours": _Seconds(), "theirs": _Seconds()}
    ours = _Side("ours", server.staging(), _bridge, same_rows.staged)
    theirs = _Side("theirs", server.staging(), _plain_copy, same_rows.staged)
    for counted in (False, *[True] * _COPY_PAIRS):
        _pair(server, server.totara(completions), (ours, theirs), seconds if counted else {})
    yield from _lines(completions, seconds, peer="plain COPY", first=0.6, again=0.7)


def against_dlt(server: Server, completions: int) -> Iterator[Line]:
    """Against dlt with Arrow tables."""
    seconds = {"ours": _Seconds(), "theirs": _Seconds()}
    ours = _Side("ours", server.staging(), _bridge, same_rows.joined)
    for counted in (False, *[True] * _DLT_PAIRS):
        with tempfile.TemporaryDirectory(prefix="tbb") as folder:
            load = partial(peer_dlt.load, Path(folder))
            theirs = _Side("theirs", server.empty(), load, same_rows.already_joined)
            _pair(server, server.totara(completions), (ours, theirs), seconds if counted else {})
    yield from _lines(completions, seconds, peer="dlt (Arrow)", first=1.75, again=1.75)


def _pair(server: Server, totara: str, sides: tuple[_Side, _Side], seconds: dict[str, _Seconds]) -> None:
    """Both sides load into databases of their own, then both again; what they wrote must be equal each time."""
    for side in sides:
        server.copy(side.template, side.name)
    for turn in ("first", "again"):
        for side in sides:
            server.settle(side.name)
            took = side.load(server, totara, side.name)
            getattr(seconds.get(side.name, _Seconds()), turn).append(took)
        same_rows.require_same(f"{turn} load", *(side.contents(server.dsn(side.name)) for side in sides))


def _lines(completions: int, seconds: dict[str, _Seconds], *, peer: str, first: float, again: float) -> Iterator[Line]:
    ours, theirs = seconds["ours"], seconds["theirs"]
    rows = f"{completions:,} completions".replace(",", " ")
    yield report.speed(f"{rows}, first load", ours.first, theirs.first, peer=peer, at_least=first)
    yield report.speed(f"{rows}, nothing changed", ours.again, theirs.again, peer=peer, at_least=again)


def _bridge(server: Server, totara: str, staging: str) -> float:
    seconds, _ = bridge.extract(server, totara=totara, staging=staging, full_compare=True)
    return seconds


def _plain_copy(server: Server, totara: str, staging: str) -> float:
    begun = time.perf_counter()
    reference.load(server.dsn(totara), server.dsn(staging), site=bridge.SITE, now=datetime.now(UTC))
    return time.perf_counter() - begun
