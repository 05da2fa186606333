"""Mappings come as CSV text from people: what can be used is loaded, each other line is reported with its reason."""

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from unicodedata import category

from sqlalchemy import Engine

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.staging import audit, erased, mapping
from totara_bridge.staging.engine import Transaction, bulk_transaction
from totara_bridge.staging.mapping import LOOKUPS, Mapping, MappingKind

LONGEST_NUMBER = 64
_HIGHEST_ID = 2**63 - 1
_DELIMITERS = (",", ";", "\t")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

#: A line's number, from 1, and why it was not loaded; never what stands there: reasons are logged, names are private.
Refused = tuple[int, str]


@dataclass(frozen=True)
class LoadedMapping:
    """What became of the lines; in a dry run, what would have become of them."""

    added: int
    changed: int
    unchanged: int
    removed: int
    refused: list[Refused]


@dataclass(frozen=True)
class _Line:
    number: int
    site: str
    name: str  #: Totara's id, or another name of the learner or course
    value: str  #: its number at the destination; empty: none any more


def load_mappings(
    engine: Engine,
    csv_text: str,
    *,
    destination: str,
    kind: MappingKind,
    sites: Collection[str],
    by: str,
    dry_run: bool,
    now: datetime,
) -> LoadedMapping:
    """Load what a destination calls learners or courses; a number that is empty is removed.

    The header is ``site``, then ``id`` or another name (`staging.mapping.LOOKUPS`), then ``number``; commas, semicolons
    and tabs, quotes, a byte order mark and empty lines are understood.

    :param sites: codes of the sites that there are.
    :raises ConfigurationInvalid: the header is another.
    """
    lines = _numbered(csv_text)
    lookup, delimiter = _header(lines, kind)
    refused: list[Refused] = []
    read = [each for each in _read(lines, delimiter, refused) if _is_possible(each, sites, refused)]
    with bulk_transaction(engine) as transaction:
        named = [*(_by_id(read, refused) if lookup == "id" else _by_name(transaction, read, kind, lookup, refused))]
        given = _without_contradictions(named, refused)
        changes = mapping.load(transaction, given, destination=destination, kind=kind, by=by, now=now)
        if kind == "learner":
            refused = _with_erased(transaction, named, refused)
        if dry_run:
            transaction.rollback()
        else:
            details = {"kind": kind, **vars(changes), "refused": len(refused)}
            audit.record(transaction, actor=by, action="load_mappings", subject=destination, details=details, now=now)
    return LoadedMapping(**vars(changes), refused=sorted(refused))


def _numbered(csv_text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty. Each is read for itself: a quote that is never closed costs one line."""
    for number, line in enumerate(StringIO(csv_text.removeprefix("\ufeff"), newline=None), start=1):
        if line.strip(" \t\n,;"):
            yield number, line.removesuffix("\n")


def _header(lines: Iterator[tuple[int, str]], kind: MappingKind) -> tuple[str, str]:
    """What learners or courses are named by, and what stands between two fields."""
    _, line = next(lines, (0, ""))
    for delimiter in _DELIMITERS:
        match [field.strip().strip('"').lower() for field in line.split(delimiter)]:
            case ["site", lookup, "number"] if lookup in ("id", *LOOKUPS[kind]):
                return lookup, delimiter
    names = ", ".join(LOOKUPS[kind])
    raise ConfigurationInvalid(
        f"The first line of the CSV is no header for a {kind}: write site,id,number (for id also {names})."
    )


def _read(lines: Iterable[tuple[int, str]], delimiter: str, refused: list[Refused]) -> Iterator[_Line]:
    for number, line in lines:
        try:
            [fields] = csv.reader([line], delimiter=delimiter, strict=True)
        except csv.Error as error:
            refused.append((number, f"it cannot be read as CSV: {error}"))
            continue
        if len(fields) == 3:
            yield _Line(number, *(field.strip(" \t") for field in fields))
        else:
            refused.append((number, f"it has {len(fields)} fields instead of 3"))


def _is_possible(line: _Line, sites: Collection[str], refused: list[Refused]) -> bool:
    reason = None
    if line.site not in sites:
        reason = f"its site is none of {', '.join(sites)}"
    elif not line.name:
        reason = "it does not say whom or what the number is for"
    elif _UNPRINTABLE.search(line.name + line.value):
        reason = "it holds a control character"
    elif _is_partly_invisible(line.value):
        reason = "the number holds an invisible character"
    elif len(line.value) > LONGEST_NUMBER:
        reason = f"the number has {len(line.value)} characters, more than {LONGEST_NUMBER}"
    if reason is not None:
        refused.append((line.number, reason))
    return reason is None


def _is_partly_invisible(number: str) -> bool:
    """Whether it holds what a copy from a page brings along: such a number, or one of nothing else, is meant by nobody.

    In names some languages write with such characters.
    """
    return number != number.strip() or any(category(character) == "Cf" for character in number)


_Named = tuple[_Line, int]  #: a line and the Totara id that it is about


def _by_id(lines: Iterable[_Line], refused: list[Refused]) -> Iterator[_Named]:
    for line in lines:
        if re.fullmatch("[0-9]{1,19}", line.name) and 0 < int(line.name) <= _HIGHEST_ID:
            yield line, int(line.name)
        else:
            refused.append((line.number, "its id is no number of Totara's"))


def _by_name(
    transaction: Transaction, lines: Sequence[_Line], kind: MappingKind, lookup: str, refused: list[Refused]
) -> Iterator[_Named]:
    names = ((line.number, line.site, line.name) for line in lines)
    found = mapping.resolve(transaction, kind, lookup, names)
    for line in lines:
        match found[line.number]:
            case [totara_id]:
                yield line, totara_id
            case []:
                refused.append((line.number, f"no {kind} of site {line.site} has this {lookup}"))
            case several:
                refused.append((line.number, f"{len(several)} {kind}s of site {line.site} have this {lookup}"))


def _with_erased(transaction: Transaction, named: Iterable[_Named], refused: Sequence[Refused]) -> list[Refused]:
    """The refused lines with those that were left out because the learner was erased; each is named once."""
    about = {line.number: (line.site, totara_id) for line, totara_id in named}
    erased_at = erased.among(transaction, set(about.values()))
    reasons = {
        number: f"its learner was erased on {erased_at[learner]:%Y-%m-%d}"
        for number, learner in about.items()
        if learner in erased_at
    }
    return [*(dict(refused) | reasons).items()]


def _without_contradictions(named: Iterable[_Named], refused: list[Refused]) -> list[Mapping]:
    """One mapping for each learner or course; where the lines differ about one, none of them."""
    about: dict[tuple[str, int], list[_Line]] = defaultdict(list)
    for line, totara_id in named:
        about[line.site, totara_id].append(line)
    given = []
    for (site, totara_id), lines in about.items():
        if len({line.value for line in lines}) == 1:
            given.append(Mapping(site, totara_id, lines[0].value))
        else:
            places = ", ".join(str(line.number) for line in lines)
            refused += [(line.number, f"lines {places} give different numbers for the same id") for line in lines]
    return given
