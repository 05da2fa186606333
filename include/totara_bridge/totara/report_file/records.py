"""A CSV file as records with the line that each begins at; one that is broken takes no other with it.

Totara writes with PHP's ``fputcsv``, which doubles no quotation mark that follows a backslash.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

#: Lines that one record may have: a quotation mark that nothing closes swallows no more than are looked at.
_MOST_LINES = 500
_NOT_DOUBLED = re.compile(r'\\"(?![,"\r\n])')


class Record(NamedTuple):
    """A record, or the first line of what is none."""

    place: int  #: the line of the file that it begins at, from 1
    cells: list[str] | None  #: none: it has not as many columns as the header


def header_of(lines: Iterator[str]) -> tuple[list[str], int]:
    """The names of the columns, and how many lines they take; the lines after them are left."""
    read: list[str] = []
    for line in lines:
        read.append(line)
        if _is_closed(read) or len(read) == _MOST_LINES:
            break
    if read:
        read[0] = read[0].removeprefix("\ufeff")
    cells = _cells(read)
    return ([] if cells is None else [cell.strip() for cell in cells]), len(read)


def records(lines: Iterable[str], *, width: int, first: int) -> Iterator[Record]:
    """The records of lines that keep their ends; empty lines are none.

    :param width: how many columns a record has.
    :param first: the number of the first of the lines.
    """
    left = iter(lines)
    ahead: deque[str] = deque()
    place = first
    while (line := ahead.popleft() if ahead else next(left, None)) is not None:
        if not line.strip("\r\n"):
            place += 1
            continue
        if line.count('"') % 2 == 0 and '\\"' not in line:  # nearly every line
            cells = _parsed((line,))
            yield Record(place, cells if cells is not None and len(cells) == width else None)
            place += 1
            continue
        read = [line]
        while not _is_closed(read) and len(read) < _MOST_LINES:
            following = ahead.popleft() if ahead else next(left, None)
            if following is None:
                break
            read.append(following)
        cells = _cells(read) if _is_closed(read) else None
        if cells is None or len(cells) != width:
            # only this line is broken: those that it would swallow may be sound
            ahead.extendleft(reversed(read[1:]))
            cells, read = None, [line]
        yield Record(place, cells)
        place += len(read)


def _is_closed(lines: Sequence[str]) -> bool:
    """Whether each quotation mark has its other: only then a record ends here."""
    return sum(line.count('"') + len(_NOT_DOUBLED.findall(line)) for line in lines) % 2 == 0


def _cells(lines: Sequence[str]) -> list[str] | None:
    return _parsed([_NOT_DOUBLED.sub(r'\\""', line) for line in lines])


def _parsed(lines: Sequence[str]) -> list[str] | None:
    try:
        return next(csv.reader(lines, strict=True), None)
    except csv.Error:
        return None
