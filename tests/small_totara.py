"""A small Totara to which all may happen that happens to a Totara, and what it has then, read without the bridge.

Its clock stands still but for what a test lets pass: a change, an extract and a late commit are then as far apart as
the test says.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from tests.short_lived import STRATEGY
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.database.source import DatabaseSnapshot

#: When it begins: three in the morning of a Sunday in March, UTC, half an hour after the full compare.
BEGINNING = 1_772_334_000
LEARNERS, COURSES = 3, 3

Pair = tuple[int, int]
#: The times of a pair's completions, and whether they are archived.
Times = Counter[tuple[int | None, bool]]


class Origin(NamedTuple):
    """Which completing a completion is of: the row that became complete, and how many completings there were then."""

    row: int
    turn: int


@dataclass
class Known:
    """What the tables do not say of themselves: it goes back with a backup."""

    current: dict[Pair, Origin] = field(default_factory=dict)  #: of rows that are complete
    archived: dict[int, tuple[Pair, Origin]] = field(default_factory=dict)  #: by the id of the history row

    def copy(self) -> "Known":
        return Known(dict(self.current), dict(self.archived))


class Late:
    """A transaction in Totara's database that is committed later; `acts` happen in it."""

    def __init__(self, engine: Engine, now: int) -> None:
        self.logged_at = now
        self._connection = engine.connect()
        self.acts = TotaraActs(cast("Engine", self), clock=lambda: now)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """As an engine does it, but without a commit."""
        yield self._connection

    connect = begin

    def end(self, *, commit: bool) -> None:
        """Let it be seen, or not."""
        if commit:
            self._connection.commit()
        self._connection.close()


class Clocked(DatabaseSource):
    """The database of a Totara where it is this late."""

    def __init__(self, connection: TotaraConnection, now: int) -> None:
        super().__init__(connection)
        self._now = now

    @contextmanager
    def snapshot(self) -> Iterator[DatabaseSnapshot]:
        with super().snapshot() as snapshot:
            snapshot.clock = self._now
            yield snapshot


class Databases:
    """Copies of databases in one server."""

    def __init__(self, administrator: psycopg.Connection, url: str) -> None:
        """:param url: of a database of the server, with ``{}`` for its name."""
        self._administrator, self._url, self._made = administrator, url, 0

    def engine(self, name: str) -> Engine:
        """An engine that keeps no connection, so that the database can be copied."""
        return create_engine(self._url.format(name), poolclass=NullPool)

    def copy(self, template: str, name: str | None = None) -> str:
        """Copy a database; the copy's name."""
        self._made += 1
        name = name or f"{template}_life_{self._made}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}")
        self._administrator.execute(statement.format(*map(sql.Identifier, (name, template, STRATEGY))))
        return name

    def drop(self, name: str) -> None:
        """Remove a database."""
        self._administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def make(engine: Engine) -> None:
    """A Totara of some learners in some courses: of each course the first learner has completed it long ago.

    The second completed it, was archived and began again; the last course has two criteria.
    """
    schema.create(engine)
    acts = TotaraActs(engine, clock=lambda: BEGINNING - 86_400)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ttr_course (id, fullname, containertype, timecreated) VALUES (1, 'A', 'container_site', 1)"
            )
        )
        connection.execute(text("SELECT setval('ttr_course_id_seq', 1)"))
        connection.execute(text("SELECT setval('ttr_user_id_seq', 2)"))
        connection.execute(text("INSERT INTO ttr_course_categories (name, path) VALUES ('All', '/1')"))
    courses = [acts.new_course(criteria=1 + (number == COURSES - 1)) for number in range(COURSES)]
    for place, learner in enumerate([acts.new_user() for _ in range(LEARNERS)]):
        for course in courses:
            acts.enrol(learner, course)
            if place < 2:
                acts.complete(learner, course, at=BEGINNING - 86_400 * (place + 2) - course)
            if place == 1:
                acts.archive(learner, course)
                acts.recreate(learner, course)


class Has(NamedTuple):
    """A current completion."""

    row: int
    status: str
    time_completed: int | None
    rpl: str | None
    progress: int | None

    @property
    def is_complete(self) -> bool:
        return self.status.startswith("complete")


def completions(engine: Engine) -> dict[Pair, Has]:
    """Each pair's row, in the bridge's words."""
    rows = _rows(
        engine,
        """SELECT c.*, (SELECT count(*) FROM ttr_course_completion_criteria k WHERE k.course = c.course) AS criteria,
                  (SELECT count(*) FROM ttr_course_completion_crit_compl m
                   WHERE m.course = c.course AND m.userid = c.userid AND m.timecompleted IS NOT NULL) AS met
           FROM ttr_course_completions c""",
    )
    return {(row["userid"], row["course"]): _has(row) for row in rows}


def times(engine: Engine) -> dict[Pair, Times]:
    """When each pair was completed, and whether that is archived."""
    found: dict[Pair, Times] = {}
    for pair, has in completions(engine).items():
        if has.is_complete:
            found.setdefault(pair, Counter())[has.time_completed, False] += 1
    for row in _rows(engine, "SELECT userid, courseid, timecompleted FROM ttr_course_completion_history"):
        found.setdefault((row["userid"], row["courseid"]), Counter())[row["timecompleted"], True] += 1
    return found


def deleted_learners(engine: Engine) -> set[int]:
    """Whose account is deleted, of those with a completion or an archived one."""
    pairs = {*completions(engine), *times(engine)}
    gone = {row["id"] for row in _rows(engine, "SELECT id FROM ttr_user WHERE deleted = 1")}
    return gone & {learner for learner, _ in pairs}


def _has(row: dict[str, Any]) -> Has:
    at = row["timecompleted"] or None
    progress: int | None = 100
    if at or row["status"] in (50, 75):
        status = "complete_rpl" if row["rpl"] or row["status"] == 75 else "complete"
    else:
        status = "in_progress" if row["status"] == 25 or row["timestarted"] else "not_started"
        progress = min(100, round(100 * row["met"] / row["criteria"])) if row["criteria"] else None
    return Has(row["id"], status, at, row["rpl"] or None, progress)


def _rows(engine: Engine, statement: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(statement)).mappings()]
