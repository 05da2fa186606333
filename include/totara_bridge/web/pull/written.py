"""How values are written in a query: a time, a number of Totara's, a word; each says what to write instead."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from totara_bridge.completion import storable

_LARGEST = 2**63 - 1

#: Characters: no time has more.
_LONGEST_TIME = 40

_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d([.]\d{1,6})?)?(?P<zone>Z|[-+]\d\d:\d\d)?)?", re.ASCII)
_BLANK_FOR_PLUS = re.compile(r".*T.* \d\d:\d\d", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,30}", re.ASCII)


def _time(written: object) -> datetime:
    """A moment, in UTC."""
    word = str(written)
    short = len(word) <= _LONGEST_TIME  # a long one would take the patterns seconds
    if short and _BLANK_FOR_PLUS.fullmatch(word):
        raise ValueError("the + of its offset came as a blank: write it as %2B, or the time with Z")
    if not short or not (found := _TIME.fullmatch(word)):
        raise ValueError("it is no time: write it like 2026-01-31T12:00:00Z, 2026-01-31T12:00:00%2B01:00 or 2026-01-31")
    if found[1] and not found["zone"]:
        raise ValueError("it does not say in which zone it is: write Z behind it for UTC, or an offset like %2B01:00")
    try:
        moment = datetime.fromisoformat(word)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("there is no such time: correct it") from None


def _whole(written: object) -> object:
    if isinstance(written, str) and not _WHOLE.fullmatch(written):
        raise ValueError("it is no whole number: write it in digits")
    return written


def _truth(written: object) -> object:
    if written not in ("true", "false", True, False):
        raise ValueError("it is neither true nor false: write one of these")
    return written in ("true", True)


def _address(written: str) -> str:
    if " " in written:
        raise ValueError("the + in it came as a blank: write it as %2B")
    return written


Time = Annotated[datetime, BeforeValidator(_time)]
TotaraId = Annotated[int, Field(ge=1, le=_LARGEST), BeforeValidator(_whole)]
Limit = Annotated[int, Field(ge=1, le=5000), BeforeValidator(_whole)]
Word = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(storable)]
Address = Annotated[Word, AfterValidator(_address)]
Truth = Annotated[bool, BeforeValidator(_truth)]
