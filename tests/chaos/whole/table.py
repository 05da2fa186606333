"""What came of every fault, as one table: in the terminal, and in docs/reliability.md between its two markers."""

import os
import platform
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks import page
from tests.chaos.whole.play import Outcome

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"

_HEADINGS = (
    "fault", "times", "items at stake", "panel and Pull API well again", "all services well again",
    "delivered end to end again", "ended by themselves", "verdict",
)  # fmt: skip

HOLDS = "holds"


def table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table that is also readable as it is; a line for each fault, in the order in which they first came."""
    rows = [_row([each for each in outcomes if each.fault == name]) for name in _names(outcomes)]
    return page.table(_HEADINGS, rows)


def write(command: str, summary: str, outcomes: Sequence[Outcome]) -> None:
    """Put the table into the page, in place of the one that is there.

    :raises SystemExit: the page has lost its markers.
    """
    page.put(PAGE, "chaos", f"`{command}` on {_machine()}: {summary}\n\n{table(outcomes)}")


def _names(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(each.fault for each in outcomes))


def _row(of_one: Sequence[Outcome]) -> tuple[str, ...]:
    stake = [each.at_stake for each in of_one]
    return (
        of_one[0].fault,
        str(len(of_one)),
        str(stake[0]) if len(stake) == 1 else f"{min(stake)}–{max(stake)}",
        _seconds([each.served for each in of_one]),
        _seconds([each.well for each in of_one]),
        _seconds([each.delivered for each in of_one if each.delivered is not None]),
        named(sum((each.by_itself for each in of_one), Counter())),
        "; ".join(words for each in of_one for words in each.broken) or HOLDS,
    )


def named(ended: Counter[str]) -> str:
    """Which services, and how often."""
    return ", ".join(name if times == 1 else f"{name} ({times} times)" for name, times in sorted(ended.items()))


def _seconds(of: Sequence[float]) -> str:
    """The median and the longest."""
    if not of:
        return ""
    median, longest = f"{statistics.median(of):.0f} s", f"{max(of):.0f} s"
    return longest if median == longest else f"{median}–{longest}"


def _machine() -> str:
    return f"{os.cpu_count()} cores, PostgreSQL 15, Python {platform.python_version()}, {platform.system()}"
