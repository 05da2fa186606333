"""The rows of a report as lines of COPY text; a row that says what cannot be is set aside, and no other with it."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from itertools import islice
from zoneinfo import ZoneInfo

from totara_bridge.completion import Status, copy_line
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report import ColumnName
from totara_bridge.totara.report_columns import needed
from totara_bridge.totara.report_file.columns import columns_of, gives
from totara_bridge.totara.report_file.records import Record
from totara_bridge.totara.report_file.text import ReportText
from totara_bridge.totara.report_row import Pair, RowRefused, joined, pair_of, percent_of, zone_of
from totara_bridge.totara.report_values import day_of, grade_of, status_of


class Table:
    """A report's rows, read anew for each question; what is kept in memory is the ids of learners or of courses."""

    def __init__(self, text: ReportText, header: Sequence[str], connection: TotaraConnection) -> None:
        """:raises ReportUnreadable: a column that is needed is not there."""
        self.name = text.name
        self._text = text
        self._columns = columns_of(header, connection.report, needed(connection), name=text.name)
        self._query = connection.query
        self._zone = connection.zone
        self._of_learner = connection.days_of == "learner"
        self.gives = gives(self._columns)
        self._status: Callable[[str], Status] = lru_cache(1_000)(partial(status_of, report=connection.report))
        self._day: Callable[..., tuple[int, int] | None] = lru_cache(50_000)(partial(day_of, report=connection.report))
        self.understood = 0  #: rows, once the completions were read
        self.misunderstood = 0
        self.left_out = 0  #: by the connection's query

    def learners(self) -> Iterator[bytes]:
        """Lines with `LEARNER_COLUMNS`; who is suspended a report does not say."""
        seen: set[int] = set()
        return joined(self._learner(cells, seen) for cells, _ in self._wanted())

    def courses(self) -> Iterator[bytes]:
        """Lines with `COURSE_COLUMNS`; categories and visibility a report does not say."""
        seen: set[int] = set()
        return joined(self._course(cells, seen) for cells, _ in self._wanted())

    def completions(self) -> Iterator[bytes]:
        """Lines with `COMPLETION_COLUMNS`, each row known by its line in the file."""
        self.understood = self.misunderstood = self.left_out = 0
        return joined(self._completions())

    def try_rows(self, most: int) -> tuple[int, int]:
        """How many of the first rows can be understood, and how many cannot."""
        misunderstood = rows = 0
        for record in islice(self._text.rows(), most):
            rows += 1
            try:
                self._completion(record)
            except RowRefused:
                misunderstood += 1
        return rows - misunderstood, misunderstood

    def pairs(self) -> Iterator[bytes]:
        """user_id and course_id of each row, also of those that the query leaves out."""
        return joined(copy_line(pair) for _, pair in self._paired())

    def refused(self) -> Iterator[bytes]:
        """Lines with `REFUSED_COLUMNS`."""
        return joined(copy_line((self.name, place, *each.pair, f"{each}.")) for place, each in self._refused())

    def first_refused(self) -> str:
        """Where the first of them is, and why."""
        place, refused = next(self._refused())
        return f"line {place}: {refused}"

    def _completions(self) -> Iterator[bytes]:
        for record in self._text.rows():
            try:
                line = self._completion(record)
            except RowRefused:
                self.misunderstood += 1
                continue
            self.understood += bool(line)
            self.left_out += not line
            if line:
                yield line

    def _refused(self) -> Iterator[tuple[int, RowRefused]]:
        for record in self._text.rows():
            try:
                self._completion(record)
            except RowRefused as refused:
                yield record.place, refused

    def _completion(self, record: Record) -> bytes:
        """The line of a row; nothing where the query leaves it out."""
        cells, pair = self._read(record)
        if not self._is_wanted(cells, pair):
            return b""
        try:
            status = self._status(self._cell(cells, "status"))
            zone = self._zone_of(cells)
            enrolled, started, completed = (
                self._day(self._cell(cells, name), zone=zone) or (None, None)
                for name in ("time_enrolled", "time_started", "time_completed")
            )
            grade = self._grade(cells, status)
        except ValueError as error:
            raise RowRefused(str(error), pair) from error
        progress = percent_of(self._cell(cells, "progress"))
        rpl = self._cell(cells, "rpl") or None
        values = (
            record.place,
            *pair,
            status,
            progress,
            grade,
            rpl,
            enrolled[0],
            started[0],
            *completed,
        )
        return copy_line(values)

    def _wanted(self) -> Iterator[tuple[list[str], Pair]]:
        return (row for row in self._paired() if self._is_wanted(*row))

    def _paired(self) -> Iterator[tuple[list[str], Pair]]:
        """The rows of which it is known who and which course is meant."""
        for record in self._text.rows():
            try:
                yield self._read(record)
            except RowRefused:
                continue

    def _read(self, record: Record) -> tuple[list[str], Pair]:
        if record.cells is None:
            raise RowRefused("the row has not as many columns as the header: export the report again")
        return record.cells, pair_of(*(self._cell(record.cells, name) for name in ("user_id", "course_id")))

    def _is_wanted(self, cells: list[str], pair: Pair) -> bool:
        courses, learners = self._query.course_ids, self._query.learner_idnumbers
        return (not courses or pair.course_id in courses) and (
            not learners or self._cell(cells, "id_number").strip() in learners
        )

    def _zone_of(self, cells: list[str]) -> ZoneInfo:
        return zone_of(self._cell(cells, "time_zone") if self._of_learner else "", self._zone)

    def _grade(self, cells: list[str], status: Status) -> Decimal | None:
        """Of recognised prior learning: of others the column shows the course's grade, which is another thing."""
        return grade_of(self._cell(cells, "grade")) if status is Status.COMPLETE_RPL else None

    def _learner(self, cells: list[str], seen: set[int]) -> bytes:
        user = int(self._cell(cells, "user_id"))
        if user in seen:
            return b""
        seen.add(user)
        username, id_number, email, first, last = (
            self._said(cells, name) for name in ("username", "id_number", "email", "first_name", "last_name")
        )
        # measured: Totara gives a deleted user such a name, and blanks these two
        deleted = (username or "").startswith("deleted_") and not (id_number or email)
        hidden = None if email == "-" else email
        return copy_line((user, username, id_number, hidden, first, last, None, True if deleted else None))

    def _course(self, cells: list[str], seen: set[int]) -> bytes:
        course = int(self._cell(cells, "course_id"))
        if course in seen:
            return b""
        seen.add(course)
        short, number, full = (self._said(cells, name) for name in ("short_name", "course_id_number", "full_name"))
        return copy_line((course, None, None, short, number, full, None))

    def _cell(self, cells: list[str], name: ColumnName) -> str:
        place = self._columns.get(name)
        return "" if place is None else cells[place]

    def _said(self, cells: list[str], name: ColumnName) -> str | None:
        """What stands in a column; none: the report has no such column."""
        place = self._columns.get(name)
        return None if place is None else cells[place]
