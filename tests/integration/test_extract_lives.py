"""Whatever happens in a Totara, and whenever it is extracted or an extract is killed: all is found, and comes once.

`EXAMPLES=` lets so many lives be lived at random; without it they are always the same.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.bridge import DESTINATION, Bridge
from tests.forked import Forked
from tests.killed_extract import KilledExtract, extract
from tests.small_totara import Clocked, Databases, Origin, Pair, Times, completions, deleted_learners, make, times
from tests.totara_turns import ACTS, LOGGED, PAIRS, RARE, UNLOGGED, Turns
from totara_bridge.errors import SiteBusy
from totara_bridge.extract.run import Extracted, extract_site
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.oracle.server import SandboxOracle

OVERLAP = timedelta(minutes=10)
EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
NUMBER = st.integers(0, 200)
_NUMBERS = count(1)


class Life(RuleBasedStateMachine):
    """A Totara and the bridge that extracts it.

    ``unseen`` holds the pairs of which the change log does not tell, or told too late: only these may be staged
    otherwise than they are, and only until everything is compared.
    """

    databases: Databases
    oracle: SandboxOracle
    happened: ClassVar[Counter[str]]  #: in all examples

    def __init__(self) -> None:
        super().__init__()
        self.totara = Turns(self.databases)
        self.staging = self.databases.copy("staging_template")
        self.bridge = Bridge(self.databases.engine(self.staging), self.totara.engine)
        self.bridge.plan = replace(self.bridge.plan, site=_new_site(), overlap=OVERLAP)
        self.unseen: set[Pair] = set()
        self.read_at = 0
        self.past: set[Origin] | None = None  #: what was completed before the first extract
        self.past_rows: set[tuple[Pair, int]] = set()
        self.seen_current: set[Origin] = set()
        self.sound = True

    @initialize()
    def begin(self) -> None:
        self.run()
        known = self.totara.known
        self.past = {*known.current.values(), *(origin for _, origin in known.archived.values())}
        self.past_rows = {(pair, origin.row) for pair, origin in known.current.items()}

    def teardown(self) -> None:
        try:
            if self.sound:
                self.commit({*PAIRS}, seen=True)
                self.compare()
                self.push()
                self.each_key_came_once()
        finally:
            self.happened.update(self.totara.happened)
            self.totara.close()
            self.databases.drop(self.staging)

    # Totara

    @rule(
        changes=st.lists(st.tuples(NUMBER, st.booleans()), min_size=1, max_size=4),
        seen=st.booleans(),
    )
    def something_is_logged(self, changes: list[tuple[int, bool]], seen: bool) -> None:
        for number, late in changes:
            self.totara.happen(LOGGED, number, late=late)
        if seen:
            self.run()

    @rule(number=NUMBER)
    def something_is_not_logged(self, number: int) -> None:
        self.totara.happen(UNLOGGED, number)

    @rule(number=NUMBER, chance=st.booleans())
    def something_rare(self, number: int, chance: bool) -> None:
        if chance:
            self.totara.happen(RARE, number)

    @rule(seconds=st.sampled_from([30, 300, 900, 3_600, 40_000]))
    def time_passes(self, seconds: int) -> None:
        self.totara.now += seconds

    @rule(some=st.sets(st.sampled_from(PAIRS), min_size=3), seen=st.booleans())
    @precondition(lambda self: self.totara.late)
    def commit(self, some: set[Pair], seen: bool) -> None:
        for pair in [each for each in self.totara.late if each in some]:
            if self.totara.commit(pair) < self.read_at - OVERLAP.total_seconds():
                self.unseen.add(pair)
                self.happened["commit after the overlap"] += 1
        if seen:
            self.run()

    @rule(restore=st.booleans())
    @precondition(lambda self: not self.totara.late)
    def back_up_or_restore(self, restore: bool) -> None:
        if not (restore and self.totara.restore()):
            self.totara.back_up()

    # the bridge

    @rule(statement=st.none() | st.integers(0, 60), compare=st.sampled_from([False, False, True]))
    def extract(self, statement: int | None, compare: bool) -> None:
        if statement is not None:
            self.is_killed(statement, compare)
        self.run()

    def compare(self) -> None:
        assert self.run(force_full_compare=True).full_compare
        again = self.run(force_full_compare=True)
        assert not again.changed, again.counts()
        there = {learner for learner, _ in (*completions(self.totara.engine), *times(self.totara.engine))}
        gone = self.bridge.rows("SELECT user_id FROM bridge.learner WHERE deleted_at IS NOT NULL")
        assert {row["user_id"] for row in gone} & there == deleted_learners(self.totara.engine)

    @rule()
    def push(self) -> None:
        self.bridge.now = self.moment
        drained = self.bridge.push(self.oracle)
        assert (drained.failed, drained.dead) == (0, 0)

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.totara.now, UTC)

    def run(self, **changes: Any) -> Extracted:
        """Extract, and look at what came of it."""
        self.totara.now += 1
        before, newest = self.watermark("log_id") or 0, self.totara.acts.last_log_id()
        source, plan = Clocked(self.bridge.connection, self.totara.now), replace(self.bridge.plan, **changes)
        while True:
            with suppress(SiteBusy):  # the server may not have noticed yet that an extract was killed
                extracted = extract_site(self.bridge.staging, source, plan, now=self.moment)
                break
        assert extracted.full_compare or newest >= before, "Totara was restored, and that was not noticed"
        self.happened["full compare" if extracted.full_compare else "extract"] += 1
        self.look(whole=extracted.full_compare)
        return extracted

    def is_killed(self, statement: int, compare: bool) -> None:
        """Extract in a process that is killed before this statement of its own, unless it has not so many."""
        self.totara.now += 1
        before = self.everything()
        plan = replace(self.bridge.plan, force_full_compare=compare)
        address = self.bridge.staging.url.render_as_string(hide_password=False)
        process = Forked(extract, KilledExtract(address, self.bridge.connection, plan, self.moment, statement))
        ended = process.wait()
        process.close()
        if ended == -signal.SIGKILL:
            self.happened["killed"] += 1
            assert self.everything() == before
        else:
            assert ended == 0
            self.look(whole=self.watermark("compared_at") == self.moment)

    # what must be so

    def look(self, *, whole: bool) -> None:
        """The bridge has just read Totara."""
        self.unseen |= self.totara.unlogged
        self.totara.unlogged = set()
        if whole:
            self.unseen = set()
        self.read_at = self.totara.now
        self.sound = False
        self.staging_is_as_totara()
        self.queue_has_each_once()
        self.nothing_new_is_missing()
        hidden = {*self.totara.late, *self.unseen}
        self.seen_current |= {origin for pair, origin in self.totara.known.current.items() if pair not in hidden}
        self.sound = True

    def staging_is_as_totara(self) -> None:
        rows = self.bridge.rows("SELECT * FROM bridge.completion WHERE deleted_at IS NULL")
        staged: dict[Pair, Any] = {
            (row["user_id"], row["course_id"]): (
                row["row_id"],
                row["status"],
                _seconds(row["time_completed"]),
                row["rpl"],
                row["progress"],
            )
            for row in rows
        }
        assert self.seen(staged) == self.seen(completions(self.totara.engine))
        alive: dict[Pair, Times] = {}
        for row in self.bridge.rows("SELECT * FROM bridge.completion_instance WHERE ended_at IS NULL"):
            found = alive.setdefault((row["user_id"], row["course_id"]), Counter())
            found[_seconds(row["time_completed"]), row["archived_at"] is not None] += 1
        assert self.seen(alive) == self.seen(times(self.totara.engine))

    def queue_has_each_once(self) -> None:
        """Of what is past the baseline and not lost, one item; of what was lost, only what had been posted."""
        rows = self.bridge.rows(_ITEMS)
        assert len({row["record_key"] for row in rows}) == len(rows)
        for row in rows:
            is_past = row["id"] <= row["baseline"] or row["after_deletion"]
            assert row["items"] == (0 if is_past else 1 if row["alive"] else row["posted"]), row
            assert row["items"] <= 1, row

    def nothing_new_is_missing(self) -> None:
        """As many items as Totara has completions that were not there at first, by what happened in it."""
        if self.past is None or self.totara.late:
            return
        known = self.totara.known
        must, may = Counter[Pair](), Counter[Pair]()
        for pair, origin in (*known.current.items(), *known.archived.values()):
            is_current = known.current.get(pair) == origin
            # where several came and went between two reads, the tables do not tell which one was archived
            certain = (is_current or origin in self.seen_current) and (pair, origin.row) not in self.past_rows
            if origin not in self.past:
                (must if certain else may)[pair] += 1
        queued = Counter[Pair]()
        for row in self.bridge.rows(_ITEMS):
            queued[row["user_id"], row["course_id"]] += row["items"] if row["alive"] else 0
        for pair in PAIRS:
            if pair not in self.unseen and pair[0] not in self.totara.ever_deleted:
                found = must[pair], queued[pair], must[pair] + may[pair]
                assert sorted(found) == [*found], (pair, found)

    def each_key_came_once(self) -> None:
        """What is sent came to Oracle once, what was only ever cancelled never, and nothing else is left.

        One that was cancelled because Totara had it no more, and has it again, is another item of the same key.
        """
        received = self.oracle.times_received()
        sent = Counter[str]()
        for row in self.bridge.rows("SELECT idempotency_key, state FROM bridge.export_queue"):
            sent[row["idempotency_key"]] += {"sent": 1, "cancelled": 0}[row["state"]]
        assert {key: received.get(key, 0) for key in sent} == dict(sent)

    def seen(self, found: dict[Pair, Any]) -> dict[Pair, Any]:
        return {pair: what for pair, what in found.items() if pair not in self.unseen}

    def watermark(self, column: str) -> Any:
        rows = self.bridge.rows(f"SELECT {column} FROM bridge.watermark")
        return rows[0][column] if rows else None

    def everything(self) -> dict[str, Any]:
        return {
            table: self.bridge.rows(f"SELECT to_jsonb(t) AS row FROM bridge.{table} t ORDER BY t::text")
            for table in ("completion", "completion_instance", "learner", "course", "export_queue", "watermark")
        }


def _new_site() -> str:
    """A code of its own for each life: its keys are new to Oracle."""
    number = next(_NUMBERS)
    return "".join(chr(ord("a") + number // 26**place % 26) for place in range(4))


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


_ITEMS = f"""
    SELECT i.id, i.user_id, i.course_id, i.record_key, i.after_deletion, i.ended_at IS NULL AS alive,
           (SELECT b.instance_id FROM bridge.baseline b WHERE b.destination = '{DESTINATION}') AS baseline,
           count(q.id) FILTER (WHERE q.state <> 'cancelled') AS items,
           count(q.id) FILTER (WHERE q.state <> 'cancelled' AND q.first_posted_at IS NOT NULL) AS posted
    FROM bridge.completion_instance i
    LEFT JOIN bridge.export_queue q ON q.instance_id = i.id AND q.kind = 'completion'
    GROUP BY i.id
"""


@pytest.fixture(scope="module")
def databases(postgres: EmbeddedPostgres, administrator: psycopg.Connection, staging_template: str) -> Databases:
    """What a life begins with a copy of: a small Totara and an empty staging database, whose name is fixed."""
    assert staging_template == "staging_template"
    address = postgres.ensure_database("small_totara").replace("postgresql://", "postgresql+psycopg://", 1)
    copies = Databases(administrator, address.replace("small_totara", "{}"))
    make(copies.engine("small_totara"))
    return copies


@pytest.fixture(scope="module")
def receiver() -> Iterator[SandboxOracle]:
    """The Oracle of all lives."""
    with SandboxOracle() as running:
        yield running


def test_all_is_found_and_comes_once(databases: Databases, receiver: SandboxOracle) -> None:
    Life.databases, Life.oracle, Life.happened = databases, receiver, Counter()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES or 9,
            stateful_step_count=30,
            deadline=None,
            derandomize=not EXAMPLES,
            database=None,
            phases=[Phase.generate],  # to find a shorter life that fails as well would take minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
    happened = {what.removesuffix(" late") for what in Life.happened}
    assert {*ACTS, "extract", "full compare", "killed", "restore", "commit"} <= happened
    assert len([what for what in Life.happened if what.endswith(" late")]) > len(LOGGED) / 2
