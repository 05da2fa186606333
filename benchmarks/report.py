"""What was measured, as one table: in the terminal, and in docs/benchmarks.md between its two markers."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import page

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_HEADINGS = ("what", "bridge", "against", "ratio", "lowest–highest", "target", "")


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    what: str
    bridge: str
    against: str
    ratio: str
    spread: str
    target: str
    reached: bool | None  #: none: it has no target

    def cells(self) -> tuple[str, ...]:
        """As printed."""
        verdict = {True: "reached", False: "MISSED", None: ""}[self.reached]
        return self.what, self.bridge, self.against, self.ratio, self.spread, self.target, verdict


def speed(
    what: str, ours: Sequence[float], theirs: Sequence[float], *, peer: str, at_least: float | None = None
) -> Line:
    """How many times as fast as a peer; seconds, in pairs that were measured next to each other."""
    ratio = statistics.median(theirs) / statistics.median(ours)
    pairs = sorted(their / our for our, their in zip(ours, theirs, strict=True))
    return Line(
        what=what,
        bridge=_seconds(ours),
        against=f"{peer}: {_seconds(theirs)}",
        ratio=f"{ratio:.2f} × as fast",
        spread=f"{pairs[0]:.2f}–{pairs[-1]:.2f}",
        target="" if at_least is None else f"≥ {at_least}",
        reached=None if at_least is None else ratio >= at_least,
    )


def growth(what: str, large: Sequence[float], small: Sequence[float], *, at: str, at_most: float | None = None) -> Line:
    """How many times as long in a large site as in a small one; seconds, in pairs."""
    ratio = statistics.median(large) / statistics.median(small)
    pairs = sorted(slow / fast for slow, fast in zip(large, small, strict=True))
    return Line(
        what=what,
        bridge=_seconds(large),
        against=f"{at}: {_seconds(small)}",
        ratio=f"{ratio:.2f} × as long",
        spread=f"{pairs[0]:.2f}–{pairs[-1]:.2f}",
        target="" if at_most is None else f"≤ {at_most}",
        reached=None if at_most is None else ratio <= at_most,
    )


def share(
    what: str, ours: Sequence[float], reachable: Sequence[float], *, slower: str, at_least: float | None = None
) -> Line:
    """How much of what could be reached is reached; items per second, in pairs."""
    pairs = sorted(reached / possible for reached, possible in zip(ours, reachable, strict=True))
    ratio = statistics.median(pairs)
    return Line(
        what=what,
        bridge=f"{statistics.median(ours):,.0f} items/s".replace(",", " "),
        against=f"{slower} alone: {statistics.median(reachable):,.0f} items/s".replace(",", " "),
        ratio=f"{ratio:.2f} of it",
        spread=f"{pairs[0]:.2f}–{pairs[-1]:.2f}",
        target="" if at_least is None else f"≥ {at_least}",
        reached=None if at_least is None else ratio >= at_least,
    )


def rate(
    what: str, ours: Sequence[float], theirs: Sequence[float], *, words: str, peer: str, at_least: float | None = None
) -> Line:
    """How many times as many pages as from another; per second, in pairs.

    :param words: what came of ours.
    :param peer: whose the others are, and what came of them.
    """
    pairs = sorted(our / their for our, their in zip(ours, theirs, strict=True))
    ratio = statistics.median(pairs)
    return Line(
        what=what,
        bridge=words,
        against=peer,
        ratio=f"{ratio:.2f} × as many",
        spread=f"{pairs[0]:.2f}–{pairs[-1]:.2f}",
        target="" if at_least is None else f"≥ {at_least}",
        reached=None if at_least is None else ratio >= at_least,
    )


def times(what: str, ours: float, theirs: float, *, at: str, at_least: float | None = None) -> Line:
    """How many times as many items per second."""
    ratio = ours / theirs
    return Line(
        what=what,
        bridge=f"{ours:,.0f} items/s".replace(",", " "),
        against=f"{at}: {theirs:,.0f} items/s".replace(",", " "),
        ratio=f"{ratio:.2f} × as many",
        spread="",
        target="" if at_least is None else f"≥ {at_least:.1f}",
        reached=None if at_least is None else ratio >= at_least,
    )


def cost(what: str, *, requests: int, cpu: float, items: int) -> Line:
    """What a thousand items cost."""
    return Line(
        what=f"{what}, per 1 000 items",
        bridge=f"{1000 * requests / items:.1f} requests, {1000 * cpu / items:.3f} s of processor",
        against="",
        ratio="",
        spread="",
        target="",
        reached=None,
    )


def lasts(what: str, seconds: float, *, at_most: float | None = None) -> Line:
    """How long it takes, next to nothing."""
    target = "" if at_most is None else f"≤ {_seconds([at_most])}"
    reached = None if at_most is None else seconds <= at_most
    return Line(what, bridge=_seconds([seconds]), against="", ratio="", spread="", target=target, reached=reached)


def memory(what: str, large: float, small: float, *, at: str, at_most: float) -> Line:
    """How much more memory a large site takes than a small one; MiB."""
    return Line(
        what=what,
        bridge=f"{large:.0f} MiB",
        against=f"{at}: {small:.0f} MiB",
        ratio=f"{large - small:+.1f} MiB",
        spread="",
        target=f"≤ +{at_most:.0f} MiB",
        reached=large - small <= at_most,
    )


def holds(what: str, mebibytes: float, against: str) -> Line:
    """How much memory something has."""
    return Line(what, bridge=f"{mebibytes:.0f} MiB", against=against, ratio="", spread="", target="", reached=None)


def each(what: str, large: float, small: float, *, at: str) -> Line:
    """How many bytes each of something takes where there is much of it, next to where there is little."""
    return Line(
        what=what,
        bridge=f"{large:.0f} B",
        against=f"{at}: {small:.0f} B",
        ratio=f"{large / small:.2f} × as large",
        spread="",
        target="",
        reached=None,
    )


def fact(what: str, said: str) -> Line:
    """Next to nothing."""
    return Line(what, bridge=said, against="", ratio="", spread="", target="", reached=None)


def table(lines: Sequence[Line]) -> str:
    """The lines as a table of Markdown."""
    return page.table(_HEADINGS, [line.cells() for line in lines])


def machine(postgresql: str) -> str:
    """What it was measured on."""
    return f"{os.cpu_count()} cores, PostgreSQL {postgresql}, Python {platform.python_version()}, {platform.system()}"


def write(part: str, command: str, measured_on: str, lines: Sequence[Line]) -> None:
    """Put the table of a part into the page, in place of the one that is there.

    :raises SystemExit: the page has lost its markers.
    """
    page.put(PAGE, part, f"`{command}` on {measured_on}:\n\n{table(lines)}")


def _seconds(of: Sequence[float]) -> str:
    median = statistics.median(of)
    return f"{median:.2f} s" if median >= 1 else f"{median * 1000:.0f} ms"
