"""The rows of a queried report as what they mean; a row that says what cannot be is a `RowRefused`."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from totara_bridge.completion import Status, copy_line
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report import ColumnName
from totara_bridge.totara.report_query.reading import Row
from totara_bridge.totara.report_row import Pair, RowRefused, pair_of, percent_of, zone_of
from totara_bridge.totara.report_values import day_of, grade_of, quoted, status_of

_NOTHING = {"", "-", "0"}
_SECONDS = re.compile(r"\d{8,18}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")


class Person(NamedTuple):
    """What a report says of a learner; nothing where it has no such column."""

    username: str | None
    id_number: str | None
    email: str | None
    first_name: str | None
    last_name: str | None

    @property
    def deleted(self) -> bool | None:
        """True where it shows: Totara renames a deleted user and blanks these two (measured on 17.3)."""
        return ((self.username or "").startswith("deleted_") and not (self.id_number or self.email)) or None


def is_exact(text: str) -> bool:
    """Whether a cell shows a moment, and not only its day."""
    return bool(text in _NOTHING or _SECONDS.fullmatch(text) or _MOMENT.fullmatch(text))


class RowReader:
    """Reads the rows of one report."""

    def __init__(self, places: Mapping[ColumnName, int], connection: TotaraConnection) -> None:
        """:param places: where each column is."""
        self._places = places
        self._query = connection.query
        self._zone = connection.zone
        self._of_learner = connection.days_of == "learner"
        self._status = lru_cache(1_000)(partial(status_of, report=connection.report))
        self._day = lru_cache(50_000)(partial(day_of, report=connection.report))

    def pair(self, row: Row) -> Pair:
        """Who and which course is meant.

        :raises RowRefused: that cannot be told.
        """
        return pair_of(self._cell(row, "user_id"), self._cell(row, "course_id"))

    def is_wanted(self, row: Row) -> bool:
        """Whether the connection's query lets it through; raises what `pair` raises."""
        courses, learners = self._query.course_ids, self._query.learner_idnumbers
        return (not courses or self.pair(row)[1] in courses) and (
            not learners or self._cell(row, "id_number").strip() in learners
        )

    def completion(self, row: Row, place: int) -> bytes:
        """The line with `COMPLETION_COLUMNS`.

        :param place: of the row in the report.
        :raises RowRefused: it cannot be understood.
        """
        pair = self.pair(row)
        try:
            status = self._status(self._cell(row, "status"))
            zone = self._zone_of(row)
            enrolled, started, completed = (
                self._time(self._cell(row, name).strip(), zone)
                for name in ("time_enrolled", "time_started", "time_completed")
            )
            grade = self._grade(row, status)
        except ValueError as error:
            raise RowRefused(str(error), pair) from error
        percent = percent_of(self._cell(row, "progress"))
        rpl = self._cell(row, "rpl") or None
        return copy_line((place, *pair, status, percent, grade, rpl, _exact(enrolled), _exact(started), *completed))

    def person(self, row: Row) -> Person:
        """What it says of the learner."""
        said = Person(
            self._said(row, "username"),
            self._said(row, "id_number"),
            self._said(row, "email"),
            self._said(row, "first_name"),
            self._said(row, "last_name"),
        )
        # an address that its owner hides shows as words about that
        return said if not said.email or "@" in said.email else said._replace(email=None)

    def course(self, row: Row) -> bytes:
        """The line with `COURSE_COLUMNS`; of a course that is gone, only its id: it stays as it was."""
        _, course = self.pair(row)
        short, number, full = (self._said(row, name) for name in ("short_name", "course_id_number", "full_name"))
        if not (short or full):
            number = number or None
        return copy_line((course, None, None, short or None, number, full or None, None))

    def _time(self, text: str, zone: ZoneInfo) -> tuple[int | None, int | None]:
        """The moment, or the first second of the day and that of the next."""
        if text in _NOTHING:
            return None, None
        if _SECONDS.fullmatch(text):
            return int(text), None
        if _MOMENT.fullmatch(text):
            return _moment(text, zone), None
        return self._day(text, zone=zone) or (None, None)

    def _grade(self, row: Row, status: Status) -> Decimal | None:
        """Of recognised prior learning: of others the column shows the course's grade, which is another thing."""
        return grade_of(self._cell(row, "grade")) if status is Status.COMPLETE_RPL else None

    def _zone_of(self, row: Row) -> ZoneInfo:
        return zone_of(self._cell(row, "time_zone") if self._of_learner else "", self._zone)

    def _cell(self, row: Row, name: ColumnName) -> str:
        return self._said(row, name) or ""

    def _said(self, row: Row, name: ColumnName) -> str | None:
        place = self._places.get(name)
        return None if place is None else row.cells[place]


def _exact(time: tuple[int | None, int | None]) -> int | None:
    """The moment; none where only its day is known."""
    return time[0] if time[1] is None else None


def _moment(text: str, zone: ZoneInfo) -> int:
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError) as error:
        raise ValueError(f"there is no moment {quoted(text)}: correct it in Totara") from error
