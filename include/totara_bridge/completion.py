"""The records that a Totara source gives: what a completion, an archived completion, a learner and a course are.

A source hands each record over as one line of PostgreSQL's COPY text format, its columns in the order given
here, so that the fastest source passes bytes through without making a Python object of a row. Numbers are
decimal digits, times are Unix seconds, nothing is ``\\N`` (0 is never used for "no time").
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Where a learner stands in a course; Totara's codes measured on 17.3 (0 can occur on raw rows)."""

    NOT_STARTED = "not_started"  #: 10, and 0
    IN_PROGRESS = "in_progress"  #: 25
    COMPLETE = "complete"  #: 50
    COMPLETE_RPL = "complete_rpl"  #: 75, recognition of prior learning


#: One learner's present state in one course.
COMPLETION_COLUMNS = (
    "row_id",  #: Totara's ``course_completions.id``; not stable: recertification makes a new one
    "user_id",
    "course_id",
    "status",  #: a `Status`
    "progress",  #: 0–100, the share of completion criteria met; none where it cannot be known
    "grade",  #: RPL grade, percent
    "rpl",  #: what was recognised, in the words of who recognised it
    "time_enrolled",
    "time_started",
    "time_completed",
    "time_completed_until",  #: only the day is known, and ends here: the moment lies in between; none: it is exact
)

#: One archived completion.
HISTORY_COLUMNS = (
    "history_id",  #: Totara's ``course_completion_history.id``
    "user_id",
    "course_id",
    "time_completed",
    "grade",
)

LEARNER_COLUMNS = (
    "user_id",
    "username",
    "id_number",
    "email",
    "first_name",
    "last_name",
    "suspended",  #: t or f
    "deleted",  #: t or f; Totara has then blanked the e-mail address and the id number
)

COURSE_COLUMNS = (
    "course_id",
    "category_id",
    "category_path",  #: ids from the top category to its own: ``/1/5``; empty where that cannot be known
    "short_name",
    "id_number",
    "full_name",
    "visible",  #: t or f
)

#: That a learner is in an audience.
AUDIENCE_MEMBER_COLUMNS = (
    "user_id",
    "audience",  #: its id number
)

#: A row that cannot be understood, with why; its neighbours are read without it.
REFUSED_COLUMNS = (
    "feed",  #: what it stood in, such as a file's name
    "place",  #: a number that a person finds it by there, such as its line
    "user_id",  #: 0 where that is not known
    "course_id",
    "reason",  #: one sentence
)


class Crawled(NamedTuple):
    """What was last heard of a learner in a course, who is enrolled there."""

    complete: bool
    progress: int | None  #: 0–100
    checked_at: int  #: Unix seconds


_NEVER_STORED = re.compile("[\0\ud800-\udfff]")

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": None})


def storable(words: str) -> str:
    """The text itself, which PostgreSQL can store.

    :raises ValueError: it cannot, as there is a NUL or half of a surrogate pair in it.
    """
    if _NEVER_STORED.search(words):
        raise ValueError("it holds a character that cannot be stored (NUL, or half of a pair): take it out")
    return words


def copy_line(values: Iterable[object]) -> bytes:
    """One line of COPY text from Python values.

    What PostgreSQL cannot store does not stop a read: NUL is dropped, and half of a surrogate pair is a ``?``.
    """
    return ("\t".join(_field(value) for value in values) + "\n").encode(errors="replace")


def copy_lines(rows: Iterable[Iterable[object]]) -> Iterator[bytes]:
    """Each row as one line of COPY text."""
    for row in rows:
        yield copy_line(row)


def _field(value: object) -> str:
    match value:
        case None:
            return "\\N"
        case bool():
            return "t" if value else "f"
        case _:
            return str(value).translate(_ESCAPES)
