"""A proof of delivery as a document: who made it when, of what, its numbers, and whether they add up."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from importlib.metadata import version
from typing import Any

from totara_bridge.staging.proof import By, Line, total
from totara_bridge.staging.pull_form import FORMULA
from totara_bridge.web.panel.proof_words import WORDS

_FORMULA = re.compile(FORMULA)

BRIDGE_VERSION = version("totara-bridge")


@dataclass(frozen=True)
class Heading:
    """What the document is of."""

    destination: str
    site: str | None  #: none: all
    begins: date | None  #: the first day of the period; none: since ever
    ends: date | None  #: its last day; none: until the document was made
    timezone: str  #: whose days and months
    by: By
    made_at: datetime
    made_by: str
    bridge_version: str = BRIDGE_VERSION


def as_json(heading: Heading, lines: Sequence[Line]) -> dict[str, Any]:
    """The document for programs, and for the page."""
    everything = total(lines)
    said = asdict(heading)
    return {
        "heading": {"from": said.pop("begins"), "to": said.pop("ends")} | said,
        "parts": [{"name": name, "label": words.label, "means": words.means} for name, words in WORDS.items()],
        "rows": [_of(line) for line in lines],
        "sums": _numbers(everything),
        "closes": all(line.closes for line in lines),
        "gap": everything.unaccounted,
    }


def as_csv(heading: Heading, lines: Sequence[Line]) -> str:
    """The document for spreadsheets: the heading in two columns, an empty line, and the numbers with their sums."""
    out = io.StringIO()
    writer = csv.writer(out)
    everything = total(lines)
    keys, numbers = _KEYS[heading.by], list(_numbers(everything))
    writer.writerows([name, _cell(value)] for name, value in _told(heading, lines))
    writer.writerow([])
    writer.writerow([*keys, *numbers])
    for line in lines:
        said = _of(line)
        writer.writerow(_cell(said[name]) for name in [*keys, *numbers])
    writer.writerow(["all", *[""] * (len(keys) - 1), *map(_cell, _numbers(everything).values())])
    return out.getvalue()


_KEYS = {By.COURSE: ("site", "course_id", "course"), By.MONTH: ("month",)}


def _told(heading: Heading, lines: Sequence[Line]) -> Iterator[tuple[str, object]]:
    yield "Proof of delivery", "Each staged completion is in one part; without a date it counts by when it was staged."
    yield "Destination", heading.destination
    yield "Site", heading.site or "all"
    yield "From", heading.begins or "the beginning"
    yield "To", heading.ends or "today"
    yield "Time zone", heading.timezone
    yield "Made at", heading.made_at.isoformat(timespec="seconds")
    yield "Made by", heading.made_by
    yield "Totara Bridge", heading.bridge_version
    yield "Everything accounted for", "yes" if all(line.closes for line in lines) else "no"


def _of(line: Line) -> dict[str, Any]:
    if isinstance(line.key, date):
        return {"month": f"{line.key:%Y-%m}"} | _numbers(line)
    site, course_id = line.key or (None, None)
    return {"site": site, "course_id": course_id, "course": line.course} | _numbers(line)


def _numbers(line: Line) -> dict[str, int]:
    told = {} if line.expected is None else {"in_totara": line.expected, "not_staged": line.missing}
    counted = {"staged": line.staged} | {str(part): count for part, count in line.parts.items()}
    return told | counted | {"unaccounted": line.unaccounted}


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text.replace("\0", "")) else text
