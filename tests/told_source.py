"""A source that is told what to say, at whatever precision: for what the merge makes of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from totara_bridge.completion import COMPLETION_COLUMNS, copy_lines
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.source import Dates, Gives, ReadFile, SourceKind, Window

#: What web services give, but for the progress.
YES_OR_NO = Gives(
    dates=Dates.NONE,
    history=False,
    row_ids=False,
    statuses=False,
    columns=frozenset({"user_id", "course_id", "status"}),
)

#: What a report gives, of which only the days are known.
BY_DAY = Gives(
    dates=Dates.DAY,
    history=False,
    row_ids=False,
    columns=frozenset(COMPLETION_COLUMNS) - {"row_id", "progress"},
)

#: The same with exact times.
BY_SECOND = Gives(dates=Dates.SECOND, history=False, row_ids=False, columns=BY_DAY.columns)


@dataclass(frozen=True)
class Said:
    """What the source says of one learner in one course."""

    user: int
    course: int
    status: str = "complete"
    day: str | None = None  #: of completion, in the zone, as 2026-03-08
    at: int | None = None  #: of completion, Unix seconds
    enrolled: int | None = None
    username: str | None = None
    email: str | None = None


@dataclass
class ToldSource:
    """A source, and the one snapshot that it ever has."""

    said: Sequence[Said]
    gives: Gives = YES_OR_NO
    kind: SourceKind = SourceKind.WEB_SERVICES
    whole: bool = False
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    bad: Sequence[tuple[str, int, int, int, str]] = ()
    fingerprint: int | None = None
    change_log: bool = False
    more: bool = False
    clock: int = 1_790_000_000
    newest_log_id: int = 0
    limited: bool = False
    query: str = ReadQuery().model_dump_json()

    @contextmanager
    def snapshot(self) -> Iterator["ToldSource"]:
        yield self

    def completions(self, window: Window | None) -> Iterator[bytes]:
        assert window is None
        return copy_lines(self._completion(place, each) for place, each in enumerate(self.said, start=2))

    def history(self, window: Window | None) -> Iterator[bytes]:
        return iter(())

    def learners(self, window: Window | None) -> Iterator[bytes]:
        return copy_lines((each.user, each.username, None, each.email, None, None, None, None) for each in self.said)

    def courses(self, window: Window | None) -> Iterator[bytes]:
        return copy_lines((each.course, None, None, None, None, None, None) for each in self.said)

    def changed_pairs(self, window: Window) -> Iterator[bytes]:
        raise AssertionError("a source without a change log is asked for a window")

    whole_courses = changed_pairs

    def present_pairs(self, window: Window | None) -> Iterator[bytes]:
        return iter(())

    def window(self, *, after: int, read_at: int, overlap: timedelta) -> Window:
        raise AssertionError("a source without a change log is asked for a window")

    def audiences(self, id_numbers: Sequence[str]) -> frozenset[str]:
        return frozenset()

    def audience_members(self, id_numbers: Sequence[str], window: Window | None) -> Iterator[bytes]:
        return iter(())

    def refused(self) -> Iterator[bytes]:
        return copy_lines(self.bad)

    def read_files(self) -> Sequence[ReadFile]:
        return ()

    def _completion(self, place: int, each: Said) -> tuple[object, ...]:
        time, until = each.at, None
        if each.day is not None:
            begins = datetime.fromisoformat(each.day).replace(tzinfo=self.zone)
            time, until = int(begins.timestamp()), int((begins + timedelta(days=1)).timestamp())
        return (place, each.user, each.course, each.status, None, None, None, each.enrolled, None, time, until)


def midnight(day: str) -> datetime:
    """When the day begins in UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)
