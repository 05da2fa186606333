"""What the bridge asks of a Totara, whichever way it is read: one consistent snapshot, record by record."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True)
class Window:
    """A part of Totara's change log: the rows whose id is above ``after`` and not above ``up_to``."""

    after: int
    up_to: int


class Snapshot(Protocol):
    """A Totara at one moment. Records are lines of COPY text, columns as in `totara_bridge.completion`.

    With a window, the records are those of the pairs of learner and course that it names, else of the whole site;
    in both cases those that the connection's query lets through.
    """

    fingerprint: int  #: when course 1 was made, Unix seconds: differs between any two sites
    clock: int  #: Totara's time, Unix seconds
    newest_log_id: int  #: 0 where the change log is empty
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


class Source(Protocol):
    """A way to read one Totara."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Totara as it is now.

        :raises TotaraUnavailable: no answer, or none now.
        :raises TotaraRefused: it may not be read.
        """
        ...
