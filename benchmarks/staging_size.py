"""What a completion costs in staging from its first load to its purge: bytes on the disk and in the log, and time.

In a server of its own, with autovacuum as PostgreSQL has it: what updates leave behind is part of a table's size.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from benchmarks import bridge, push_rate, report, server
from benchmarks.bridge import DESTINATION, SITE
from benchmarks.report import Line
from benchmarks.server import Server
from totara_bridge import backfill, purge, requeue
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.run import ExtractPlan
from totara_bridge.reconcile import ReconcilePlan, reconcile_site
from totara_bridge.route import Route
from totara_bridge.staging.engine import staging_engine
from totara_bridge.staging.past import FOREVER, Past
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.staging.states import State
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource

Result = TypeVar("Result")

_TASKS = 2
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

#: In the order in which a completion goes through them.
_STEPS = ("first load", "backfill", "push", "full compare, nothing changed", "reconcile", "purge")


@dataclass(frozen=True)
class _Took:
    """What a step took."""

    rows: int  #: that went through it
    seconds: float
    logged: int  #: bytes of PostgreSQL's write-ahead log
    spilled: int  #: bytes of temporary files


@dataclass
class _Life:
    """A site's whole life in staging."""

    server: Server
    completions: int
    steps: dict[str, _Took] = field(default_factory=dict)
    bytes_a_row: dict[str, float] = field(default_factory=dict)  #: by what is measured, indexes included
    per_hundred: float = 0.0  #: instances for each hundred completions

    @property
    def totara(self) -> str:
        return self.server.totara(self.completions)

    @property
    def staging(self) -> str:
        return f"size_{self.completions}"

    def live(self) -> None:
        """Live it."""
        _ = self.totara  # making it is no part of a step
        self.server.copy(self.server.staging(), self.staging)
        self.step("first load", self._load)
        self.server.settle(self.staging)
        for table in ("completion", "completion_instance", "learner"):
            self.measure(table, table)
        self.per_hundred = 100 * self.rows("completion_instance") / self.rows("completion")
        self.step("backfill", self._backfill)
        self.server.settle(self.staging)
        self.measure("item that waits", "export_queue")
        self._cancelled_and_requeued()
        self.step("push", self._push, of="export_queue")
        self.server.settle(self.staging)
        self.measure("item that was sent, and what updating it left", "export_queue")
        self.measure("delivery", "delivery")
        self.measure("request in the export log", "export_log")
        self.step("full compare, nothing changed", self._load)
        self.step("reconcile", self._reconcile)
        self.step("purge", self._purge, of="export_queue")

    def step(self, name: str, work: Callable[[], int], *, of: str = "") -> None:
        """Do it, and see what it took; what earlier steps left is written out first.

        :param of: the table all of whose rows must go through it.
        """
        self.server.settle(self.staging)
        there = self.rows(of) if of else 0
        logged, spilled, begun = self._logged(), self._spilled(), time.perf_counter()
        rows = work()
        seconds = time.perf_counter() - begun
        if of and rows != there:
            raise SystemExit(f"{name}: {rows} of {there} rows went through it.")
        self.steps[name] = _Took(rows, seconds, self._logged() - logged, self._spilled() - spilled)

    def measure(self, what: str, table: str, database: str | None = None) -> None:
        """The bytes of a row, with its share of the indexes and of what is free."""
        with self.server.engine(database or self.staging).connect() as connection:
            size = connection.execute(sa.select(sa.func.pg_total_relation_size(f"bridge.{table}"))).scalar_one()
        self.bytes_a_row[what] = size / self.rows(table, database)

    def rows(self, table: str, database: str | None = None) -> int:
        """How many there are."""
        with self.server.engine(database or self.staging).connect() as connection:
            counted = sa.select(sa.func.count()).select_from(sa.table(table, schema="bridge"))
            return int(connection.execute(counted).scalar_one())

    def _load(self) -> int:
        _, extracted = bridge.extract(self.server, totara=self.totara, staging=self.staging, full_compare=True)
        return extracted.read

    def _backfill(self) -> int:
        now = datetime.now(UTC)
        past = Past(DESTINATION, [SITE], _BEGINNING, FOREVER, Route(), Route())
        asked = backfill.Asked(past, "benchmark", now, dry_run=False)
        return self._in_staging(lambda engine: backfill.backfill(engine, Wants(DESTINATION), asked, now=now).queued)

    def _cancelled_and_requeued(self) -> None:
        """Each item by a person, in a copy: that writes two events of each."""
        copied = self.server.copy(self.staging, f"{self.staging}_by_hand")
        engine = staging_engine(self.server.url(copied).render_as_string())
        for action, state in ((Action.CANCEL, State.QUEUED), (Action.REQUEUE, State.CANCELLED)):
            requeue.carry_out(
                engine,
                action,
                Selection(destinations=(DESTINATION,), states=(state,)),
                by="benchmark",
                words="measured",
                dry_run=False,
                now=datetime.now(UTC),
            )
        engine.dispose()
        self.server.settle(copied)
        self.measure("event of an item", "item_event", copied)
        self.server.drop(copied)

    def _push(self) -> int:
        with push_rate.endpoint(0.0) as address:
            return push_rate.together(self.server, self.staging, "push", address, tasks=_TASKS).items

    def _reconcile(self) -> int:
        plan = ExtractPlan(
            site=SITE,
            connection="totara_sandbox",
            destinations=[Wants(DESTINATION)],
            overlap=timedelta(minutes=10),
            full_compare_at=datetime.now(UTC).time(),
        )
        source = DatabaseSource(TotaraConnection(url=self.server.url(self.totara)))
        whole = ReconcilePlan(plan, zone="UTC", by="benchmark")
        done = self._in_staging(lambda engine: reconcile_site(engine, source, whole, clock=lambda: datetime.now(UTC)))
        if done.found.differences:
            raise SystemExit(f"A reconcile of what is just alike found differences: {done.counts()}.")
        return done.totals["completed"]

    def _purge(self) -> int:
        asked, later = purge.Asked("benchmark", by_hand=False), datetime.now(UTC) + timedelta(days=100)
        done = self._in_staging(lambda engine: purge.purge(engine, asked, now=later, stop=threading.Event()))
        return done.counts["items"]

    def _in_staging(self, work: Callable[[sa.Engine], Result]) -> Result:
        engine = staging_engine(self.server.url(self.staging).render_as_string())
        try:
            return work(engine)
        finally:
            engine.dispose()  # a session that ends has told the server what it counted

    def _logged(self) -> int:
        with self.server.engine("postgres").connect() as connection:
            return int(connection.execute(sa.text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")).scalar_one())

    def _spilled(self) -> int:
        told = sa.text("SELECT temp_bytes FROM pg_stat_database WHERE datname = :name")
        with self.server.engine("postgres").connect() as connection:
            return int(connection.execute(told, {"name": self.staging}).scalar_one())


def sizes(large: int) -> Iterator[Line]:
    """A large site next to one with a tenth of its completions: what each row and each step costs."""
    with server.running(autovacuum="on") as running:
        small_life, large_life = (_Life(running, size) for size in (large // 10, large))
        for life in (small_life, large_life):
            life.live()
    at = f"of {large // 10:,}".replace(",", " ")
    yield report.fact(f"instances in {large:,}".replace(",", " "), f"{large_life.per_hundred:.1f} per 100 completions")
    for what, of_large in large_life.bytes_a_row.items():
        yield report.each(f"bytes a row: {what}", of_large, small_life.bytes_a_row[what], at=at)
    for name in _STEPS:
        yield from _lines(name, large_life.steps[name], small_life.steps[name], at)


def _lines(name: str, of_large: _Took, of_small: _Took, at: str) -> Iterator[Line]:
    if of_large.rows < 10 * of_small.rows * 0.9:
        raise SystemExit(f"{name}: {of_large.rows} rows against {of_small.rows}: not all went through it.")
    rows = f"{of_large.rows:,}".replace(",", " ")
    yield report.growth(
        f"{name}, {rows} rows", [of_large.seconds], [of_small.seconds * 10], at=f"{at}, ten times", at_most=None
    )
    yield report.each(
        f"{name}, bytes of log a row", of_large.logged / of_large.rows, of_small.logged / of_small.rows, at=at
    )
    yield report.fact(f"{name}, temporary files", f"{of_large.spilled / 2**20:.0f} MiB")
