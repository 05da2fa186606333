"""Pulling pages of 1, 100 and 1 000 and all at once, from the bridge alone and in Airflow.

Next to it stand FastAPI with the ORM and pydantic, a server that answers with fixed bytes, and COPY of the same text.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import floor, log10

from benchmarks import pull_pages, pull_rows, pull_same, pull_server, report
from benchmarks.pull_caller import HttpPages
from benchmarks.pull_pages import Rate, Side
from benchmarks.pull_rows import Pulled
from benchmarks.pull_server import Serving
from benchmarks.report import Line
from benchmarks.server import Server

COMPLETIONS = 1_000_000
_SIZES = (1, 100, 1_000)
_CALLERS = 8
_SECONDS = 3.0  #: of each measurement
_ROUNDS = 3
_STREAMS = 2
_FIRST_PAGES = 40
_SMALL_STREAM = 10_000
_PAGES = 1_000
_PEERS_PAGE = 1_000
_AT_LEAST = {"ORM, pydantic": 12.0, "COPY": 0.6}


def pull(server: Server, completions: int = COMPLETIONS) -> Iterator[Line]:
    """What callers get, and what it takes."""
    pulled = pull_rows.staged(server, completions)
    with _alone(server, pulled) as (bridge, peer):
        yield _memory(server, pulled, bridge)
        yield from _of(server, pulled, bridge, peer, "alone")
        yield _thousandth(server, pulled, bridge)
        peers = f"ORM, pydantic: {peer.peak_memory():.0f} MiB"
        yield report.holds("memory, server alone, at most", bridge.peak_memory(), peers)
    with pull_server.in_airflow(server, pulled) as both:
        yield from _of(server, pulled, both, both, "in Airflow")
        yield report.holds("memory, Airflow's API server, at most", both.peak_memory(), "both sides in it")


@contextmanager
def _alone(server: Server, pulled: Pulled) -> Iterator[tuple[Serving, Serving]]:
    with ExitStack() as stack:
        yield (
            stack.enter_context(pull_server.alone(server, pulled)),
            stack.enter_context(pull_server.peer(server, pulled)),
        )


def _of(server: Server, pulled: Pulled, bridge: Serving, peer: Serving, where: str) -> Iterator[Line]:
    apart = pulled.completions // _CALLERS
    positions = [pull_rows.position(server, pulled, apart * caller) for caller in range(_CALLERS)]
    pull_same.require_same(server, pulled, bridge, peer, positions)
    for size in _SIZES:
        ours = pull_pages.of_bridge(bridge, pulled, size)
        bytes_of_page = pull_pages.together(ours, positions, _SECONDS).size
        sides = {
            "bridge": ours,
            "ORM, pydantic": pull_pages.of_peer(peer, size),
            "fixed bytes": pull_pages.of_fixed(peer, bytes_of_page),
            "COPY": pull_pages.of_copy(server, pulled, size),
        }
        yield from _against(f"pages of {size:,} {where}".replace(",", " "), sides, positions, size)
    yield from _stream(server, pulled, bridge, peer, where)


def _against(what: str, sides: Mapping[str, Side], positions: Sequence[int], size: int) -> Iterator[Line]:
    """The bridge next to each of the others, in turns."""
    rates: dict[str, list[Rate]] = {name: [] for name in sides}
    for counted in (False, *[True] * _ROUNDS):
        for name, side in sides.items():
            rate = pull_pages.together(side, positions, _SECONDS)
            if counted:
                rates[name].append(rate)
    ours = rates.pop("bridge")
    for name, theirs in rates.items():
        yield report.rate(
            what,
            [each.per_second for each in ours],
            [each.per_second for each in theirs],
            words=_middle(ours).words(size),
            peer=f"{name}: {_middle(theirs).words(size)}",
            at_least=_AT_LEAST.get(name) if size == max(_SIZES) else None,
        )


def _middle(rates: Sequence[Rate]) -> Rate:
    return sorted(rates, key=lambda each: each.per_second)[len(rates) // 2]


def _stream(server: Server, pulled: Pulled, bridge: Serving, peer: Serving, where: str) -> Iterator[Line]:
    """Everything, by one caller; the peer cannot stream, so its one caller fetches pages for a while."""
    seconds = [
        (pull_same.stream(bridge, pulled, expected=pulled.completions), pull_same.copy(server, pulled))
        for _ in range(_STREAMS)
    ]
    what = f"NDJSON of all {pulled.completions:,} {where}".replace(",", " ")
    ours, theirs = zip(*seconds, strict=True)
    yield report.speed(what, ours, theirs, peer="COPY")
    pages = pull_pages.together(pull_pages.of_peer(peer, _PEERS_PAGE), [0], _SECONDS)
    whole = pulled.completions / (pages.per_second * _PEERS_PAGE)
    yield report.speed(what, ours, [whole] * _STREAMS, peer=f"ORM, pydantic, pages of {_PEERS_PAGE} (reckoned)")


def _memory(server: Server, pulled: Pulled, bridge: Serving) -> Line:
    """What a server needs that has streamed a little, and everything."""
    late = pull_rows.position(server, pulled, pulled.completions - _SMALL_STREAM)
    pull_same.stream(bridge, pulled, after=late, expected=_SMALL_STREAM)
    little = bridge.peak_memory()
    pull_same.stream(bridge, pulled, expected=pulled.completions)
    what = f"memory, NDJSON of {pulled.completions:,}".replace(",", " ")
    at = f"{_SMALL_STREAM:,}".replace(",", " ")
    return report.memory(what, bridge.peak_memory(), little, at=at, at_most=20)


def _thousandth(server: Server, pulled: Pulled, bridge: Serving) -> Line:
    """The first page and the thousandth, one after the other again and again.

    Behind them are those of whom Totara has nothing but history: their items are others, and longer.
    """
    size = 10 ** floor(log10(pulled.completions // _PAGES))
    places = [pull_rows.position(server, pulled, size * pages) for pages in (0, _PAGES - 1)]
    side = pull_pages.of_bridge(bridge, pulled, size)
    fetch = HttpPages(side.where, side.what)
    seconds: dict[int, list[float]] = {each: [] for each in places}
    for counted in (False, *[True] * _FIRST_PAGES):
        for place, of_place in seconds.items():
            begun = time.monotonic()
            fetch(pull_pages.begin(place))
            if counted:
                of_place.append(time.monotonic() - begun)
    first, last = seconds.values()
    return report.growth(f"page {_PAGES} of {size}", last, first, at="page 1", at_most=1.1)
