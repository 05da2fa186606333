"""What the bridge asks of a Totara, whichever way it is read: one consistent snapshot, record by record."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from totara_bridge.completion import COMPLETION_COLUMNS, Crawled


class SourceKind(StrEnum):
    """The ways to read a Totara."""

    DATABASE = "database"
    WEB_SERVICES = "web_services"
    REPORT_QUERY = "report_query"
    REPORT_FILE = "report_file"


class Dates(StrEnum):
    """How exactly a source knows when something was completed."""

    SECOND = "second"
    DAY = "day"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Gives:
    """What a source can say of a completion.

    What it cannot say is as it was when another source said it, and is never invented.
    """

    dates: Dates = Dates.SECOND
    history: bool = True  #: archived completions; without it, nothing that was completed is ever taken for lost
    row_ids: bool = True  #: Totara's own; without them, ``row_id`` is the place of the row in what was read
    statuses: bool = True  #: recognition of prior learning apart from the usual, in progress apart from not started
    columns: frozenset[str] = frozenset(COMPLETION_COLUMNS)  #: of a completion; the others are ``\\N``


#: What Totara's own tables give.
EVERYTHING = Gives()


@dataclass(frozen=True)
class Window:
    """A part of Totara's change log: the rows whose id is above ``after`` and not above ``up_to``."""

    after: int
    up_to: int


class Snapshot(Protocol):
    """A Totara at one moment. Records are lines of COPY text, columns as in `totara_bridge.completion`.

    Of a learner or a course, what the source cannot say is ``\\N``: it stays as another source said it. Without a
    change log there are no windows: each read is of all that the source shows.

    With a window, the records are those of the pairs of learner and course that it names, else of the whole site;
    in both cases those that the connection's query lets through.
    """

    kind: SourceKind
    gives: Gives
    change_log: bool  #: whether it can say what changed since an earlier read
    whole: bool  #: whether a read without a window shows all that Totara has: what it does not show is gone
    more: bool  #: whether there is more to read already, in a snapshot of its own
    fingerprint: int | None  #: when course 1 was made, Unix seconds: differs between any two sites; none: not known
    clock: int  #: Totara's time, Unix seconds
    newest_log_id: int  #: 0 where the change log is empty, or there is none
    limited: bool  #: whether the connection's query leaves anything out
    query: str  #: the connection's query, as JSON

    def window(self, *, after: int, read_at: int, overlap: timedelta) -> Window:
        """The change log after ``after``, and before it as far back as ``overlap`` before ``read_at``.

        Log rows get their id before they are committed, so a row below the watermark may appear later.
        """
        ...

    def completions(self, window: Window | None) -> Iterator[bytes]: ...
    def history(self, window: Window | None) -> Iterator[bytes]: ...
    def learners(self, window: Window | None) -> Iterator[bytes]: ...
    def courses(self, window: Window | None) -> Iterator[bytes]: ...

    def changed_pairs(self, window: Window) -> Iterator[bytes]:
        """user_id and course_id of each pair that the window names."""
        ...

    def whole_courses(self, window: Window) -> Iterator[bytes]:
        """course_id of each course that was changed as a whole."""
        ...

    def present_pairs(self, window: Window | None) -> Iterator[bytes]:
        """user_id and course_id of each pair that Totara has, also those that the query leaves out."""
        ...

    def audiences(self, id_numbers: Sequence[str]) -> frozenset[str]:
        """Those of these audiences that Totara has, by their id numbers."""
        ...

    def audience_members(self, id_numbers: Sequence[str], window: Window | None) -> Iterator[bytes]:
        """Who is in these audiences; the query limits them only within a window, to the learners it gives."""
        ...

    def refused(self) -> Iterator[bytes]:
        """The rows that could not be understood while the completions were read: lines with `REFUSED_COLUMNS`."""
        ...

    def read_files(self) -> Sequence["ReadFile"]:
        """The files that were read whole: they are written down with what was in them, and not read again."""
        ...


@dataclass(frozen=True)
class ReadFile:
    """A file as it was read."""

    name: str
    digest: str  #: SHA-256 of its bytes, hexadecimal
    size: int  #: bytes
    rows: int  #: that were understood


class Source(Protocol):
    """A way to read one Totara."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Totara as it is now.

        :raises TotaraUnavailable: no answer, or none now.
        :raises TotaraRefused: it may not be read.
        """
        ...


class CrawlBook(Protocol):
    """What crawls have found so far: each entry is kept at once, so that one that was killed goes on from there."""

    def begin(self, now: int) -> int:
        """When the crawl began that goes on now: this one, or one that did not end; Unix seconds."""
        ...

    def end(self) -> None:
        """The crawl has come to its end: the next begins anew."""
        ...

    def found(self, course_id: int) -> Mapping[int, Crawled]:
        """What is known of a course's learners, by user id."""
        ...

    def write(self, course_id: int, found: Mapping[int, Crawled]) -> None:
        """Keep what was heard of some of a course's learners."""
        ...

    def forget(self, course_id: int, user_ids: Collection[int]) -> None:
        """They are enrolled there no more."""
        ...
