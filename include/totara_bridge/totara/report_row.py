"""What is alike in the rows of all reports, queried or in files: who is meant, whose days, and why a row is refused."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from totara_bridge.totara.report_values import quoted

_ID = re.compile(r"[1-9][0-9]{0,17}")
_PERCENT = re.compile(r"(100|[0-9]{1,2})\s?%?")  # PostgreSQL knows no other digits
#: Totara's word for the time zone of the server, which is the site's.
_SERVER_ZONE = {"", "-", "99"}
_LINES_AT_ONCE = 500


class Pair(NamedTuple):
    """A learner in a course."""

    user_id: int
    course_id: int


class RowRefused(Exception):
    """It says what cannot be; its pair is that of no learner where that is not known."""

    def __init__(self, reason: str, pair: Pair | None = None) -> None:
        super().__init__(reason)
        self.pair = pair or Pair(0, 0)


def pair_of(user: str, course: str) -> Pair:
    """Who and which course is meant.

    :raises RowRefused: that cannot be told.
    """
    for words, text in (("the learner's id", user.strip()), ("the course's id", course.strip())):
        if not _ID.fullmatch(text):
            # what stands there instead may be anybody's name
            raise RowRefused(f"{words} is no number: let the report show the id as it is")
    return Pair(int(user), int(course))


def percent_of(text: str) -> str | None:
    """The progress that a cell shows; none: no number from 0 to 100."""
    found = _PERCENT.fullmatch(text.strip())
    return found[1] if found else None


def zone_of(text: str, site: ZoneInfo) -> ZoneInfo:
    """The learner's time zone, or the site's.

    :raises ValueError: there is none of that name.
    """
    name = text.strip()
    return site if name in _SERVER_ZONE else _zone(name)


def joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines, many at once, without the empty ones."""
    some: list[bytes] = []
    for line in filter(None, lines):
        some.append(line)
        if len(some) == _LINES_AT_ONCE:
            yield b"".join(some)
            some = []
    if some:
        yield b"".join(some)


@lru_cache(1_000)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError) as error:
        raise ValueError(
            f"the time zone {quoted(name)} is not known: let the column show names such as Europe/Berlin, or take the "
            "days for the site's"
        ) from error
