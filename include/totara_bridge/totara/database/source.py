"""A Totara read through its database, in one read-only transaction that sees one moment.

PostgreSQL hands the records over by COPY, as text that is passed on as it is: no Python object is made of a row.
MySQL and MariaDB have no such thing; their rows are streamed and written as the same text.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from totara_bridge.completion import copy_lines
from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.answers import explain, place
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database.catalogue import Catalogue
from totara_bridge.totara.database.read_only import only_read
from totara_bridge.totara.database.refusal import readable
from totara_bridge.totara.database.statements import Changes, Statement, Statements
from totara_bridge.totara.source import EVERYTHING, Gives, ReadFile, SourceKind, Window

_ROWS_AT_ONCE = 2_000
_BYTES_AT_ONCE = 1 << 17

#: The columns of a completion that may be absent, and what they are called here.
_COLUMNS = {
    "rpl": "rpl",
    "rplgrade": "grade",
    "timeenrolled": "time_enrolled",
    "timestarted": "time_started",
}


class DatabaseSource:
    """One Totara's database."""

    def __init__(self, connection: TotaraConnection) -> None:
        self._connection = connection

    @contextmanager
    def snapshot(self) -> Iterator["DatabaseSnapshot"]:
        """Totara as it is now; see `totara_bridge.totara.source.Source`."""
        engine = self._connection.engine()
        try:
            try:
                database = engine.connect().execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            except DBAPIError as error:
                raise explain(error, self._connection.database_url) from error
            with database:
                self._only_read(database)
                yield DatabaseSnapshot(database, self._connection)
        finally:
            engine.dispose()

    def _only_read(self, database: sa.Connection) -> None:
        try:
            only_read(database)
        except DBAPIError as error:
            raise explain(error, self._connection.database_url) from error


class DatabaseSnapshot:
    """A Totara at one moment; see `totara_bridge.totara.source.Snapshot`."""

    kind = SourceKind.DATABASE
    whole = True
    more = False

    def __init__(self, database: sa.Connection, connection: TotaraConnection) -> None:
        self._database = database
        self._url = connection.database_url
        try:
            catalogue = readable(database, connection)
        except DBAPIError as error:
            raise explain(error, self._url) from error
        self._statements = Statements(catalogue, connection.query)
        self.change_log = catalogue.has("course_completion_log")
        self.gives = _gives(catalogue)
        self._known: dict[Window, Changes] = {}
        self.query = connection.query.model_dump_json()
        self.limited = not connection.query.reads_everything
        self.fingerprint: int | None = self._fingerprint()
        self.clock = self._number(sa.text(f"SELECT {self._seconds_now()}"))
        self.newest_log_id = self._number(self._statements.newest_log_id())

    def window(self, *, after: int, read_at: int, overlap: timedelta) -> Window:
        """The change log after ``after``, and somewhat before it."""
        since = read_at - int(overlap.total_seconds())
        before = self._number(self._statements.log_id_before(since, up_to=after))
        return Window(after=before, up_to=self.newest_log_id)

    def completions(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `COMPLETION_COLUMNS`."""
        return self._lines(self._statements.completions(self._changes(window)))

    def history(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `HISTORY_COLUMNS`."""
        return self._lines(self._statements.history(self._changes(window)))

    def learners(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `LEARNER_COLUMNS`."""
        return self._lines(self._statements.learners(self._changes(window)))

    def courses(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `COURSE_COLUMNS`."""
        return self._lines(self._statements.courses(self._changes(window)))

    def changed_pairs(self, window: Window) -> Iterator[bytes]:
        """user_id and course_id of each pair that the window names."""
        return self._lines(self._statements.changed_pairs(window))

    def whole_courses(self, window: Window) -> Iterator[bytes]:
        """course_id of each course that was changed as a whole."""
        return self._lines(self._statements.whole_courses(window))

    def present_pairs(self, window: Window | None) -> Iterator[bytes]:
        """user_id and course_id of each pair, whatever the connection's query says."""
        return self._lines(self._statements.present_pairs(self._changes(window)))

    def audiences(self, id_numbers: Sequence[str]) -> frozenset[str]:
        """Those of these audiences that Totara has."""
        found = {row[0] for row in self._rows(self._statements.audiences(id_numbers))}
        return frozenset(found.intersection(id_numbers))  # MySQL compares without case

    def audience_members(self, id_numbers: Sequence[str], window: Window | None) -> Iterator[bytes]:
        """Lines with `AUDIENCE_MEMBER_COLUMNS`."""
        return self._lines(self._statements.audience_members(id_numbers, self._changes(window)))

    def refused(self) -> Iterator[bytes]:
        """Nothing: the tables' columns have types."""
        return iter(())

    def read_files(self) -> Sequence[ReadFile]:
        """None."""
        return ()

    def _changes(self, window: Window | None) -> Changes | None:
        """What the window names; asked once, as the snapshot does not change."""
        if window is None:
            return None
        if window not in self._known:
            courses = self._rows(self._statements.whole_courses(window))
            self._known[window] = Changes(window, tuple(row[0] for row in courses))
        return self._known[window]

    def _fingerprint(self) -> int:
        found = self._scalar(self._statements.fingerprint())
        if found is None:
            raise TotaraRefused(
                f"The table course in the database {self._url.database} at {place(self._url)} has no course 1, "
                "which every Totara has: correct the database's name or the table prefix."
            )
        return int(found)

    def _seconds_now(self) -> str:
        if self._database.dialect.name == "postgresql":
            return "extract(epoch FROM now())::bigint"
        return "unix_timestamp()"

    def _number(self, statement: Statement | sa.TextClause) -> int:
        return int(self._scalar(statement) or 0)

    def _scalar(self, statement: Statement | sa.TextClause) -> int | None:
        rows = self._rows(statement)
        return cast("int | None", rows[0][0]) if rows else None

    def _rows(self, statement: Statement | sa.TextClause) -> Sequence[sa.Row[Any]]:
        try:
            return self._database.execute(statement).all()
        except DBAPIError as error:
            raise explain(error, self._url) from error

    def _lines(self, statement: Statement) -> Iterator[bytes]:
        if self._database.dialect.name == "postgresql":
            return self._copied(statement)
        return self._streamed(statement)

    def _copied(self, statement: Statement) -> Iterator[bytes]:
        dialect = self._database.dialect
        # it is compiled as for execution with parameters: each % is doubled
        select = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})).replace("%%", "%")
        driver = cast("psycopg.Connection[tuple[object, ...]]", self._database.connection.driver_connection)
        try:
            with driver.cursor() as cursor, cursor.copy(f"COPY ({select}) TO STDOUT".encode()) as copy:
                lines: list[bytes | bytearray | memoryview] = []
                size = 0
                for line in copy:
                    lines.append(line)
                    size += len(line)
                    if size > _BYTES_AT_ONCE:
                        yield b"".join(lines)
                        lines, size = [], 0
                yield b"".join(lines)
        except psycopg.Error as error:
            raise explain(DBAPIError("COPY", None, error), self._url) from error

    def _streamed(self, statement: Statement) -> Iterator[bytes]:
        try:
            options = {"stream_results": True, "yield_per": _ROWS_AT_ONCE}
            for rows in self._database.execute(statement, execution_options=options).partitions():
                yield b"".join(copy_lines(rows))
        except DBAPIError as error:
            raise explain(error, self._url) from error


def _gives(catalogue: Catalogue) -> Gives:
    absent = {ours for column, ours in _COLUMNS.items() if not catalogue.has("course_completions", column)}
    return replace(EVERYTHING, history=catalogue.has("course_completion_history"), columns=EVERYTHING.columns - absent)
