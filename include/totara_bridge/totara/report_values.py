"""What stands in the cells of a report is read as what it means: words as a status, a day as its seconds, a grade.

The report builder shows values as a person reads them, in the language of whoever the report is made for
(measured on Totara 17.3: ``Complete via rpl``, ``10 Nov 2025``, ``55.0%``, ``-`` for nothing).
"""

import re
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from totara_bridge.completion import Status
from totara_bridge.totara.report import Report

_STATUSES = {
    "not yet started": Status.NOT_STARTED,
    "in progress": Status.IN_PROGRESS,
    "complete": Status.COMPLETE,
    "complete via rpl": Status.COMPLETE_RPL,
    # Totara's own codes, where a report shows them as they are
    "0": Status.NOT_STARTED,
    "10": Status.NOT_STARTED,
    "25": Status.IN_PROGRESS,
    "50": Status.COMPLETE,
    "75": Status.COMPLETE_RPL,
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_NOTHING = {"", "-"}
_LONGEST_QUOTE = 40

_YEAR_FIRST = re.compile(r"(?P<year>\d{4})\D{1,2}(?P<month>\d{1,2})\D{1,2}(?P<day>\d{1,2})\D?")
_DOTTED = re.compile(r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})")
_NUMBERS_ONLY = re.compile(r"[\d\s/-]+")
_GRADE = re.compile(r"\d{1,5}([.,]\d{1,5})?\s?%?")
#: Stand between day, month and year in some languages, as in "10 de noviembre de 2025".
_BETWEEN = {"de", "del", "of"}


def status_of(words: str, report: Report) -> Status:
    """What a cell of the status column means: the report's own words first, then the English ones.

    :raises ValueError: nothing that is known; a sentence with what to do.
    """
    said = _folded(words)
    theirs = {_folded(word): status for word, status in report.words.items()}
    status = theirs.get(said, _STATUSES.get(said))
    if status is None:
        raise ValueError(
            f"the status {quoted(words)} is not known: say what it means under words in the connection's "
            f"Report, as in {{{quoted(words)}: {quoted(Status.COMPLETE)}}}"
        )
    return status


def day_of(text: str, report: Report, zone: ZoneInfo) -> tuple[int, int] | None:
    """The first second of the day that a cell shows, and the first of the next, as Unix seconds; none: no day.

    Days have 23 or 25 hours where clocks are changed, and some begin at one o'clock.

    Read are ``10 Nov 2025`` and the like in any order, with the month in the report's own words or in English,
    whole or shortened; ``2025-11-10`` and ``10.11.2025``. Of ``11/10/2025`` nobody knows which is the day.

    :raises ValueError: it is no day, or there was no such day in that zone; a sentence with what to do.
    """
    if text.strip() in _NOTHING:
        return None
    day = _date_of(" ".join(text.split()), report)
    try:
        # of a midnight that is skipped, this is the moment at which the clocks were set forward
        first, until = (
            int(datetime.combine(each, time(), zone).timestamp()) for each in (day, day + timedelta(days=1))
        )
    except OverflowError as error:
        raise ValueError(f"the day {quoted(text)} is out of reach: correct it in Totara") from error
    if first >= until:
        raise ValueError(f"there was no day {quoted(text)} in {zone.key}: correct the connection's time zone")
    return first, until


def grade_of(text: str) -> Decimal | None:
    """The percentage that a cell shows; none: no grade.

    Measured on 17.3: the grade of recognised prior learning. Of other completions the same column can show the
    course's own grade, which is another thing.

    :raises ValueError: it is no percentage.
    """
    shown = " ".join(text.split())
    if shown in _NOTHING:
        return None
    if not _GRADE.fullmatch(shown):
        raise ValueError(f"the grade {quoted(text)} is no percentage: let the report show it as one, as in 55.0%")
    return Decimal(shown.rstrip("%").rstrip().replace(",", "."))


def quoted(text: str) -> str:
    """The text as it may stand in a sentence, shortened where it is long."""
    line = " ".join(text.split())
    return f'"{line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"}"'


def _folded(words: str) -> str:
    return " ".join(words.split()).casefold()


def _date_of(text: str, report: Report) -> date:
    found = _YEAR_FIRST.fullmatch(text) or _DOTTED.fullmatch(text)
    if found:
        year, month, day = (int(found[name]) for name in ("year", "month", "day"))
    elif _NUMBERS_ONLY.fullmatch(text):
        raise ValueError(
            f"which number of {quoted(text)} is the day cannot be told: let the report show dates as in 10 Nov 2025 "
            "or 2025-11-10"
        )
    else:
        year, month, day = _with_a_month_in_words(text, report)
    try:
        return date(year, month, day)
    except ValueError as error:
        raise ValueError(f"there is no day {quoted(text)}: correct it in Totara") from error


def _with_a_month_in_words(text: str, report: Report) -> tuple[int, int, int]:
    numbers = re.findall(r"\d+", text)
    words = [word for word in re.findall(r"[^\W\d_]+", text) if word.casefold() not in _BETWEEN]
    if len(numbers) == 2 and len(words) == 1:
        month = _month_of(words[0], report.months) or _month_of(words[0], _MONTHS)
        day, year = sorted(numbers, key=len)
        if month and len(day) <= 2 and len(year) == 4:
            return int(year), month, int(day)
    raise ValueError(
        f"{quoted(text)} is not read as a day: where it is one in another language, name the twelve months under "
        "months in the connection's Report as the report shows them"
    )


def _month_of(word: str, months: Iterable[str]) -> int | None:
    """Its number: the month of this name, or the only one whose name begins so."""
    names = [name.rstrip(".").casefold() for name in months]
    if word.casefold() in names:
        return names.index(word.casefold()) + 1
    begun = [number for number, name in enumerate(names, 1) if name.startswith(word.casefold())]
    return begun[0] if len(begun) == 1 and len(word) > 2 else None
