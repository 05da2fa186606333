"""A proof of delivery as a document: who made it when, of what, its numbers, and whether they add up."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from typing import Any

from totara_bridge.staging.proof import InTotara, Line, total
from totara_bridge.staging.proof_expected import COUNTS, Comparison, Count
from totara_bridge.staging.proof_part import By
from totara_bridge.staging.pull_form import FORMULA
from totara_bridge.web.panel.proof_asked import Against
from totara_bridge.web.panel.proof_words import LEFT_OUT, NOT_COMPARED, WORDS, closes, limits, off, told, verdict

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
    against: Against
    compared: Sequence[Comparison]  #: with Totara; of each site that is in it, where that is what it is against
    not_compared: Sequence[str]  #: sites that are in it, which Totara was not asked about
    left_out: Sequence[str]  #: sites of which something is staged and that are not in it
    made_at: datetime
    made_by: str
    bridge_version: str = BRIDGE_VERSION


def as_json(heading: Heading, lines: Sequence[Line]) -> dict[str, Any]:
    """The document for programs, and for the page."""
    everything = total(lines)
    compared = [_of_site(each) for each in heading.compared]
    said = asdict(heading) | {"compared": compared, "made_at": _moment(heading.made_at)}
    rows = [_of(line, heading) for line in lines]
    missing, surplus = off(lines)
    return {
        "heading": {"from": said.pop("begins"), "to": said.pop("ends")} | said,
        "parts": [
            {"name": name, "label": words.label, "means": words.means} for name, words in _parts(heading).items()
        ],
        "rows": rows,
        "sums": _numbers(everything, heading),
        "closes": closes(lines, heading.compared),
        "gap": everything.gap,
        "missing": missing,
        "surplus": surplus,
        "verdict": _verdict(heading, lines),
        "notes": [f"{code}: {words}" for code, words in _notes(heading)],
        "digest": digest(rows),
    }


def digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of the lines as canonical JSON (names sorted, no spaces, UTF-8), hexadecimal: equal for equal lines."""
    written = json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(written.encode()).hexdigest()


def as_csv(heading: Heading, lines: Sequence[Line]) -> str:
    """The document for spreadsheets: the heading in two columns, an empty line, and the numbers with their sums."""
    out = io.StringIO()
    writer = csv.writer(out)
    sums = _numbers(total(lines), heading)
    keys = _KEYS[heading.by]
    rows = [_of(line, heading) for line in lines]
    writer.writerows([_cell(name), _cell(value)] for name, value in _told(heading, lines, digest(rows)))
    writer.writerow([])
    writer.writerow([*keys, *sums])
    writer.writerows([_cell(row[name]) for name in (*keys, *sums)] for row in rows)
    writer.writerow(["all", *[""] * (len(keys) - 1), *map(_cell, sums.values())])
    return out.getvalue()


_KEYS = {By.COURSE: ("site", "course_id", "course"), By.MONTH: ("month",)}

_ABOUT = {
    Against.TOTARA: "Each completion that Totara had is in one part; without a date it counts by when it was staged.",
    Against.STAGING: "Each staged completion is in one part; without a date it counts by when it was staged.",
}


def _told(heading: Heading, lines: Sequence[Line], digested: str) -> Iterator[tuple[str, object]]:
    yield "Proof of delivery", _ABOUT[heading.against]
    yield "Destination", heading.destination
    yield "Site", heading.site or "all"
    yield "From", heading.begins or "the beginning"
    yield "To", heading.ends or "today"
    yield "Time zone", heading.timezone
    yield "Against", "Totara's own numbers" if heading.against is Against.TOTARA else "what is staged"
    for comparison in heading.compared:
        yield f"Site {comparison.site}", " ".join(told(comparison))
    for code, words in _notes(heading):
        yield f"Site {code}", words
    yield "Made at", _moment(heading.made_at)
    yield "Made by", heading.made_by
    yield "Totara Bridge", heading.bridge_version
    yield "Everything accounted for", "yes" if closes(lines, heading.compared) else "no"
    yield "Verdict", _verdict(heading, lines)
    yield "SHA-256 of the lines", digested


def _notes(heading: Heading) -> Iterator[tuple[str, str]]:
    for code in heading.not_compared:
        yield code, NOT_COMPARED
    for code in heading.left_out:
        yield code, LEFT_OUT


def _verdict(heading: Heading, lines: Sequence[Line]) -> str:
    return verdict(lines, heading.compared, against_totara=heading.against is Against.TOTARA)


def _of_site(comparison: Comparison) -> dict[str, Any]:
    said = {"made_at": _moment(comparison.made_at), "query": limits(comparison), "words": [*told(comparison)]}
    return asdict(comparison) | said


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parts(heading: Heading) -> dict[str, Any]:
    if heading.against is Against.TOTARA:
        return dict(WORDS)
    return {name: words for name, words in WORDS.items() if name not in COUNTS}


def _of(line: Line, heading: Heading) -> dict[str, Any]:
    if isinstance(line.key, date):
        return {"month": f"{line.key:%Y-%m}"} | _numbers(line, heading)
    site, course_id = line.key or (None, None)
    return {"site": site, "course_id": course_id, "course": line.course} | _numbers(line, heading)


def _numbers(line: Line, heading: Heading) -> dict[str, int]:
    staged = {"staged": line.staged} | {str(part): count for part, count in line.parts.items()}
    if heading.against is Against.STAGING:
        return staged | {"unaccounted": line.unaccounted}
    totara = line.totara or InTotara()
    beyond = {str(Count.ERASED): totara.erased, str(Count.SET_ASIDE): totara.set_aside}
    rest = {"unaccounted": line.unaccounted, str(Count.NOT_STAGED): line.not_staged, "gap": line.gap}
    return {str(Count.IN_TOTARA): totara.completed} | staged | beyond | rest


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text.replace("\0", "")) else text
