"""What is finished goes when it is past its retention, nothing else does, and nothing is ever sent again for it."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url, text

from tests import old_rows
from tests.bridge import DESTINATION, SITE, Bridge
from tests.integration.test_claim_plan import nodes, plan, prepare
from tests.integration.test_states import INSTANCES, Life
from tests.items import NOW, Claim, Items, items_in
from totara_bridge import purge
from totara_bridge.config import BridgeConfig, Destination, Site
from totara_bridge.errors import Transient
from totara_bridge.extract import enqueue
from totara_bridge.extract.enqueue import Wants
from totara_bridge.purge import SLICE, Asked, Purged
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import completion, delivery, past, setting, trace
from totara_bridge.staging import purge as staged
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.past import Past
from totara_bridge.staging.purge import Cutoff, Stretch
from totara_bridge.staging.schema import Table
from totara_bridge.staging.session_lock import session_lock
from totara_bridge.staging.states import State
from totara_bridge.why_not import Why, why_not

BY_SCHEDULE = Asked("purge_completions", by_hand=False)

#: The same said in another way: by whole instances, and by table.
EXPECTED = """
    WITH gone AS (
        SELECT id FROM bridge.export_queue
        WHERE (destination, instance_id) NOT IN (
            SELECT destination, instance_id FROM bridge.export_queue
            WHERE state <> 'sent' OR sent_at >= :now - CASE destination WHEN 'archive' THEN :archive ELSE :sent END))
    SELECT (SELECT count(*) FROM gone) AS items,
           (SELECT count(*) FROM bridge.item_event JOIN gone ON gone.id = item_id) AS item_events,
           (SELECT count(*) FROM bridge.kept_body k JOIN bridge.export_log l ON l.id = k.export_log_id
            WHERE k.at < :now - CASE k.destination WHEN 'archive' THEN :archive_body ELSE :body END
               OR l.at < :now - cast(:log AS interval)) AS kept_bodies,
           (SELECT count(*) FROM bridge.export_log WHERE at < :now - cast(:log AS interval)) AS log_rows,
           (SELECT count(*) FROM bridge.acknowledgement WHERE acknowledged_at < :now - interval '400 days')
               AS acknowledgements,
           (SELECT count(*) FROM bridge.audit_log WHERE at < :now - interval '730 days') AS audit_rows,
           (SELECT count(*) FROM bridge.alert WHERE resolved_at < :now - interval '365 days') AS alerts,
           (SELECT count(*) FROM bridge.alert_notice JOIN bridge.alert a ON a.id = alert_id
            WHERE a.resolved_at < :now - interval '365 days') AS alert_notices
"""
TABLES = {
    "items": "export_queue",
    "item_events": "item_event",
    "kept_bodies": "kept_body",
    "log_rows": "export_log",
    "acknowledgements": "acknowledgement",
    "audit_rows": "audit_log",
    "alerts": "alert",
    "alert_notices": "alert_notice",
}


@pytest.fixture(scope="module")
def old_template(new_database: Callable[[str], str]) -> str:
    """A database of rows of all ages, to copy."""
    address = new_database("purge")
    with items_in(address) as items:
        items.instances(old_rows.COUNT)
        old_rows.fill(items.staging)
    return str(make_url(address).database)


@pytest.fixture
def old(copy_of: Callable[[str], Engine], old_template: str) -> Items:
    """Rows of all ages, in all states."""
    return Items(copy_of(old_template))


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for the tests with a few items of their own."""
    with items_in(new_database("purge_few")) as opened:
        yield opened


@pytest.fixture
def items(database: Items) -> Items:
    """An empty queue."""
    return database.emptied()


def run(
    items: Items, asked: Asked = BY_SCHEDULE, *, now: datetime = NOW, stop: threading.Event | None = None
) -> Purged:
    return purge.purge(items.staging, asked, now=now, stop=stop or threading.Event())


def expected(items: Items, **days: int) -> Mapping[str, int]:
    given = {"sent": 90, "archive": 90, "body": 14, "archive_body": 14, "log": 30} | days
    [row] = items.sql(EXPECTED, now=NOW, **{name: timedelta(days=number) for name, number in given.items()})
    return dict(row)


def rows(items: Items, table: str) -> int:
    return int(items.sql(f"SELECT count(*) AS rows FROM bridge.{table}")[0]["rows"])


def contents(items: Items, *but: str) -> dict[str, Any]:
    """Each table as one checksum; not that of counts, which has a row for each statement, whatever it moved."""
    return {
        table.name: items.sql(f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) AS md5 FROM {table.fullname} t")
        for table in Table.metadata.sorted_tables
        if table.name not in ("item_count", *but)
    }


def set_days(items: Items, scope: str, name: str, days: int) -> None:
    with items.staging.begin() as transaction:
        setting.write(transaction, scope=scope, name=name, value=f"P{days}D", by="ann", now=NOW)


# what goes


def test_what_goes_is_what_another_count_says_and_a_dry_run_says_it_before(old: Items) -> None:
    goes, before = expected(old), {table: rows(old, table) for table in TABLES.values()}
    assert all(0 < goes[name] < before[table] for name, table in TABLES.items()), (
        "each table has some to go and to stay"
    )
    untouched = contents(old)
    assert run(old, Asked("ann", by_hand=True, dry_run=True)) == Purged(goes, finished=True)
    assert contents(old) == untouched
    assert run(old) == Purged(goes, finished=True)
    audited = {"audit_log": 1}
    after = {table: before[table] - goes[name] + audited.get(table, 0) for name, table in TABLES.items()}
    assert {table: rows(old, table) for table in TABLES.values()} == after
    assert set(expected(old).values()) == {0}


def test_nothing_else_is_touched(old: Items) -> None:
    stays = """SELECT md5(string_agg(q::text, ' ' ORDER BY id)) FROM bridge.export_queue q
               WHERE state <> 'sent' OR sent_at >= cast(:now AS timestamptz) - interval '90 days'"""
    before, final = contents(old, *TABLES.values()), old.sql(stays, now=NOW)
    run(old)
    assert contents(old, *TABLES.values()) == before
    assert old.sql(stays, now=NOW) == final


def test_a_second_time_there_is_nothing_to_do(old: Items) -> None:
    run(old)
    before = contents(old)
    assert run(old) == Purged(dict.fromkeys(TABLES, 0), finished=True)
    assert contents(old) == before


def test_a_destination_may_keep_longer_or_shorter(old: Items) -> None:
    set_days(old, "archive", "sent_retention", 30)
    set_days(old, setting.EVERYWHERE, "sent_retention", 120)
    set_days(old, "archive", "body_retention", 2)
    set_days(old, setting.EVERYWHERE, "log_retention", 10)
    goes = expected(old, sent=120, archive=30, body=14, archive_body=2, log=10)
    assert run(old, Asked("ann", by_hand=True, dry_run=True)).counts == goes
    assert run(old).counts == goes


def test_days_that_are_asked_for_hold_for_every_destination(old: Items) -> None:
    set_days(old, "archive", "sent_retention", 3_000)
    goes = expected(old, sent=10, archive=10, log=5)
    assert run(old, Asked("ann", by_hand=True, sent_days=10, log_days=5)).counts == goes


@pytest.mark.parametrize(
    ("only", "go"),
    [
        ({"items"}, {"items", "item_events"}),
        ({"log_rows", "kept_bodies"}, {"log_rows", "kept_bodies"}),
        ({"acknowledgements", "alerts"}, {"acknowledgements", "alerts", "alert_notices"}),
    ],
)
def test_only_some_kinds_go_if_that_is_asked_for(old: Items, only: set[str], go: set[str]) -> None:
    goes = {name: number if name in go else 0 for name, number in expected(old).items()}
    asked = Asked("ann", by_hand=True, only=frozenset(only))
    before = contents(old, *(table for name, table in TABLES.items() if name in go), "audit_log")
    assert run(old, replace(asked, dry_run=True)).counts == goes
    with old.staging.connect() as look:
        assert purge.count(look, asked, now=NOW) == goes
    assert run(old, asked).counts == goes
    assert contents(old, *(table for name, table in TABLES.items() if name in go), "audit_log") == before


def test_who_had_it_done_is_written_down_once(old: Items) -> None:
    def audited() -> list[tuple[str, Any]]:
        found = old.sql("SELECT actor, details FROM bridge.audit_log WHERE action = 'purge' ORDER BY id")
        return [(row["actor"], row["details"]["before"]["items"]) for row in found]

    set_days(old, "archive", "sent_retention", 30)
    before = {"bridge": (NOW - timedelta(days=90)).isoformat(), "archive": (NOW - timedelta(days=30)).isoformat()}
    run(old, Asked("ann", by_hand=True, dry_run=True))
    assert audited() == []
    run(old)
    run(old)  # deletes nothing
    assert audited() == [("purge_completions", before)]
    run(old, Asked("ann", by_hand=True, sent_days=80))
    run(old, Asked("ann", by_hand=True, sent_days=80))
    bridge = {"bridge": (NOW - timedelta(days=80)).isoformat()}
    assert audited()[1:] == [("ann", bridge), ("ann", bridge)]


def test_an_old_row_far_behind_young_ones_costs_no_walk_through_them(old: Items) -> None:
    old.sql("UPDATE bridge.export_queue SET sent_at = cast(:now AS timestamptz) WHERE state = 'sent'", now=NOW)
    old.sql("UPDATE bridge.export_queue SET queued_at = :at", at=NOW - timedelta(days=1))
    looked: list[str] = []

    def look(_: object, __: object, statement: str, *___: object) -> None:
        looked.extend(
            table for table in ("export_queue", "export_log") if f"FROM bridge.{table} WHERE id >" in statement
        )

    event.listen(old.staging, "before_cursor_execute", look)
    run(old, Asked("ann", by_hand=False, log_days=190))
    event.remove(old.staging, "before_cursor_execute", look)
    assert rows(old, "export_queue") > 3 * SLICE
    # the log: one stretch with old rows, deleted from, and one that is young as a whole
    assert looked == ["export_queue", "export_log", "export_log", "export_log"]


# what stays


def sent(items: Items, instance: int, kind: str, *, days_ago: float, state: str = "sent") -> int:
    """An item of the instance, and its line in the ledger."""
    values = {"instance": instance, "kind": kind, "at": NOW - timedelta(days=days_ago), "state": state}
    [row] = items.sql(
        """
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
            next_attempt_at, payload, staged_at, queued_at, first_posted_at, sent_at, cancelled_by, error_class)
        VALUES ('oracle', :instance, :kind, 1, :kind || :instance, :state, 'fresh', :at, '{}', :at, :at, :at,
                CASE WHEN :state = 'sent' THEN cast(:at AS timestamptz) END,
                CASE WHEN :state = 'cancelled' THEN 'ann' END,
                CASE WHEN :state IN ('dead', 'failed') THEN 'rejected' END)
        RETURNING id
        """,
        **values,
    )
    if state == "sent":
        items.sql(
            """INSERT INTO bridge.delivery (destination, instance_id, kind, revision, sent_at)
               VALUES ('oracle', :instance, :kind, 1, :at)""",
            **values,
        )
    return int(row["id"])


def left(items: Items) -> list[int]:
    return [row["id"] for row in items.sql("SELECT id FROM bridge.export_queue ORDER BY id")]


def test_of_an_instance_all_goes_or_nothing(items: Items) -> None:
    [instance] = items.instances(1)
    both = [sent(items, instance, "completion", days_ago=100), sent(items, instance, "correction", days_ago=80)]
    run(items)
    assert left(items) == both
    run(items, now=NOW + timedelta(days=15))
    assert left(items) == []


@pytest.mark.parametrize("state", ["queued", "failed", "dead", "cancelled"])
@pytest.mark.parametrize("later", [False, True])
def test_it_stays_while_another_of_its_instance_is_not_sent(items: Items, state: str, later: bool) -> None:
    [instance] = items.instances(1)
    first = sent(items, instance, "completion", days_ago=300, state="sent" if later else state)
    second = sent(items, instance, "correction", days_ago=200, state=state if later else "sent")
    assert run(items, Asked("ann", by_hand=True, dry_run=True)).counts["items"] == 0
    run(items)
    assert left(items) == [first, second]


def test_another_destinations_item_of_the_instance_says_nothing(items: Items) -> None:
    [instance] = items.instances(1)
    sent(items, instance, "completion", days_ago=300)
    dead = sent(items, instance, "correction", days_ago=300, state="dead")
    items.sql("UPDATE bridge.export_queue SET destination = 'other' WHERE id = :dead", dead=dead)
    run(items)
    assert left(items) == [dead]


def test_what_the_ledger_does_not_know_stays(items: Items) -> None:
    stays, goes = (sent(items, instance, "completion", days_ago=300) for instance in items.instances(2))
    items.sql("DELETE FROM bridge.delivery WHERE instance_id = (SELECT min(instance_id) FROM bridge.delivery)")
    run(items)
    assert left(items) == [stays]
    assert goes


def test_what_is_sent_again_counts_from_then(items: Items) -> None:
    [instance] = items.instances(1)
    item = sent(items, instance, "completion", days_ago=300)
    items.sql("UPDATE bridge.export_queue SET sent_at = :now WHERE id = :item", now=NOW, item=item)
    run(items, now=NOW + timedelta(days=89))
    assert left(items) == [item]
    run(items, now=NOW + timedelta(days=91))
    assert left(items) == []


def test_what_follows_one_that_is_being_written_stays_too(items: Items) -> None:
    first, second = items.instances(2)
    written = sent(items, first, "completion", days_ago=300)
    follows = sent(items, first, "correction", days_ago=200)
    sent(items, second, "completion", days_ago=100)
    with items.staging.begin() as other:
        other.execute(text("SELECT FROM bridge.export_queue WHERE id = :id FOR UPDATE"), {"id": written})
        run(items)
        assert left(items) == [written, follows]
    run(items)
    assert left(items) == []


def test_of_many_items_of_an_instance_the_first_go_first(items: Items) -> None:
    [instance, *others] = items.instances(SLICE + 1)
    sent(items, instance, "completion", days_ago=300)
    items.sql(
        """
        WITH put AS (
            INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                             next_attempt_at, payload, staged_at, queued_at, sent_at)
            SELECT 'oracle', n, 'completion', 1, 'k' || n, 'sent', 'fresh', :at, '{}', :at, :at, :at
            FROM unnest(cast(:others AS bigint[])) n RETURNING instance_id)
        INSERT INTO bridge.delivery (destination, instance_id, kind, revision, sent_at)
        SELECT 'oracle', instance_id, 'completion', 1, :at FROM put
        """,
        others=others,
        at=NOW - timedelta(days=250),
    )
    sent(items, instance, "correction", days_ago=200)
    assert run(items, Asked("ann", by_hand=True, dry_run=True)).counts["items"] == SLICE + 2
    assert run(items).counts["items"] == SLICE + 2


# how it works


@pytest.fixture(scope="module")
def large(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A queue of 30 000 items and more."""
    with items_in(new_database("purge_large")) as opened:
        opened.instances(30_000)
        old_rows.fill(opened.staging, count=30_000)
        yield opened


@pytest.fixture
def connection(large: Items) -> Iterator[Connection]:
    """A new session, in which the driver prepares nothing by itself."""
    engine = create_engine(large.staging.url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as opened:
        yield opened


CUTOFF = Cutoff(NOW - timedelta(days=90), {"archive": NOW - timedelta(days=30)})
STRETCH = Stretch(500, 500 + SLICE, NOW)
ACKNOWLEDGED = partial(staged.ACKNOWLEDGEMENTS.purge, cutoff=Cutoff(NOW - timedelta(days=400)), limit=SLICE)
STATEMENTS: dict[str, Callable[[Connection], Any]] = {"acknowledgements": ACKNOWLEDGED}
for _name, _table in {"items": staged.ITEMS, "bodies": staged.KEPT_BODIES, "log": staged.LOG_ROWS}.items():
    STATEMENTS |= {
        f"{_name}_delete": partial(_table.purge, stretch=STRETCH, cutoff=CUTOFF, dry_run=False),
        f"{_name}_count": partial(_table.purge, stretch=STRETCH, cutoff=CUTOFF, dry_run=True),
        f"{_name}_next": partial(_table.next, after=500, size=SLICE),
    }


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_slice_reads_no_table_from_end_to_end(connection: Connection, name: str, mode: str) -> None:
    connection.execute(text(f"SET plan_cache_mode = {mode}"))
    found = plan(connection, prepare(connection, STATEMENTS[name]))
    read = {each["Relation Name"]: each["Node Type"] for each in nodes(found) if "Relation Name" in each}
    assert read
    assert "Seq Scan" not in read.values(), json.dumps(found, indent=1)


# stopped, killed, and beside others


def blocked_at(items: Items, number: int) -> Connection:
    """A session that holds an event of the item with that place among those that go: its deletion waits for it."""
    connection = items.staging.connect()
    found = connection.execute(
        text(
            """
            SELECT e.id FROM bridge.item_event e WHERE e.item_id = (
                SELECT id FROM bridge.export_queue
                WHERE state = 'sent' AND sent_at < :before AND id % 2 = 1 AND instance_id % 10 = 9
                ORDER BY id OFFSET :number LIMIT 1)
            FOR UPDATE
            """
        ),
        {"before": NOW - timedelta(days=90), "number": number},
    ).all()
    assert found
    return connection


def is_waiting(items: Items) -> bool:
    """Whether something waits for somebody else."""
    [row] = items.sql(
        """SELECT count(*) AS waiting FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    )
    return bool(row["waiting"])


PURGING = """
import sys, threading
from datetime import datetime
from sqlalchemy import create_engine
from totara_bridge.purge import Asked, purge
purge(create_engine(sys.argv[1]), Asked("purge_completions", by_hand=False), now=datetime.fromisoformat(sys.argv[2]),
      stop=threading.Event())
"""


@pytest.mark.parametrize("table", ["export_queue", "export_log", "acknowledgement"])
def test_killed_half_way_and_run_again_it_ends_the_same(
    old: Items,
    old_template: str,
    copy_of: Callable[[str], Engine],
    wait_until: Callable[[Callable[[], bool]], None],
    table: str,
) -> None:
    undisturbed = Items(copy_of(old_template))
    goes = run(undisturbed).counts
    with blocked_at(old, 100) if table == "export_queue" else old.staging.connect() as holder:
        if table != "export_queue":
            holder.execute(text(f"LOCK TABLE bridge.{table} IN SHARE MODE"))
        url = old.staging.url.render_as_string(False)
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", PURGING, url, NOW.isoformat()])
        wait_until(lambda: is_waiting(old))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert expected(old)["items"] < goes["items"], "it had done something"
    assert run(old).finished
    but = "audit_log"  # when it was purged, and by whom, stands there
    assert contents(old, but) == contents(undisturbed, but)
    assert rows(old, but) in (rows(undisturbed, but), rows(undisturbed, but) + 1)


def test_a_clean_stop_ends_between_two_slices(
    old: Items, old_template: str, copy_of: Callable[[str], Engine], wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    undisturbed = Items(copy_of(old_template))
    goes, stop, results = run(undisturbed).counts, threading.Event(), list[Purged]()
    with blocked_at(old, 20):
        thread = threading.Thread(target=lambda: results.append(run(old, stop=stop)))
        thread.start()
        wait_until(lambda: is_waiting(old))
        stop.set()
    thread.join()
    [stopped] = results
    assert not stopped.finished
    assert 0 < stopped.counts["items"] < goes["items"]
    rest = run(old)
    assert rest.finished
    assert {name: stopped.counts[name] + rest.counts[name] for name in goes} == goes


def test_what_keeps_other_purges_waiting_is_in_no_transaction_and_without_it_the_purge_stops(
    old: Items, old_template: str, copy_of: Callable[[str], Engine], wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    goes, errors = run(Items(copy_of(old_template))).counts, list[Transient]()

    def purging() -> None:
        with pytest.raises(Transient) as stopped:
            run(old)
        errors.append(stopped.value)

    mine = "datname = current_database() AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
    with blocked_at(old, 20):
        thread = threading.Thread(target=purging)
        thread.start()
        wait_until(lambda: is_waiting(old))
        assert old.sql(f"SELECT state, xact_start FROM pg_stat_activity WHERE {mine}") == [
            {"state": "idle", "xact_start": None}
        ]
        old.sql(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {mine}")
    thread.join()
    assert re.search(r"stopped after \d+ items; what is deleted is deleted: run it again", str(errors.pop()))
    left = expected(old)["items"]
    assert 0 < left < goes["items"]
    rest = run(old)
    assert (rest.finished, rest.counts["items"]) == (True, left)


def test_a_second_purge_waits_for_the_first(old: Items) -> None:
    results: list[Purged] = []
    with session_lock(old.staging, staged.LOCK) as first:
        assert first.take()
        stop = threading.Event()
        waiting = threading.Thread(target=lambda: results.append(run(old, stop=stop)))
        waiting.start()
        stop.set()
        waiting.join()
        assert results.pop() == Purged(dict.fromkeys(TABLES, 0), finished=False)
        waiting = threading.Thread(target=lambda: results.append(run(old)))
        waiting.start()
    waiting.join()
    assert results.pop().finished


def test_beside_drains_everything_is_sent_once(bridge: Bridge, oracle: SandboxOracle) -> None:
    items = Items(bridge.staging)
    bridge.extract()
    queued = bridge.backfill().queued
    before = bridge.now - timedelta(days=100)
    while bridge.states().get("sent", 0) < queued / 2:
        items.acknowledge(items.claim(100, now=bridge.now), now=before)
    old = len(items.sql("UPDATE bridge.export_queue SET queued_at = :at WHERE state = 'sent' RETURNING 1", at=before))
    purged: list[int] = []
    drained: list[int] = []
    stop = threading.Event()

    def keep_purging() -> None:
        while not stop.is_set() or not purged:
            purged.append(run(items, now=bridge.now).counts["items"])

    purging = threading.Thread(target=keep_purging)
    draining = [threading.Thread(target=lambda: drained.append(bridge.push(oracle).sent)) for _ in range(3)]
    for thread in (purging, *draining):
        thread.start()
    for thread in draining:
        thread.join()
    stop.set()
    purging.join()
    assert (sum(purged), sum(drained)) == (old, queued - old)
    assert bridge.states() == {"sent": queued - old}
    assert set(oracle.times_received().values()) == {1}
    assert len(oracle.stored_keys()) == sum(drained)


# nothing is ever sent again for it


def test_after_a_purge_nothing_is_queued_that_was_delivered(bridge: Bridge, oracle: SandboxOracle) -> None:
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, corrections=True, withdrawals=True)])
    bridge.queue_new(5)
    assert bridge.backfill().queued
    bridge.push(oracle)
    edited, lost = bridge.rows(
        """SELECT i.user_id, i.course_id FROM bridge.completion_instance i JOIN bridge.baseline b USING (site)
           WHERE i.id > b.instance_id ORDER BY i.id LIMIT 2"""
    )

    def after_a_hundred_days() -> None:
        bridge.later(days=100)
        told = oracle.times_received()
        assert run(Items(bridge.staging), now=bridge.now).counts["items"]
        assert bridge.states() == {}
        compared = bridge.full_compare()
        assert (compared.queued, compared.corrections, compared.withdrawals) == (0, 0, 0)
        assert bridge.backfill().queued == 0
        assert bridge.push(oracle).requests == 0
        assert oracle.times_received() == told
        assert set(told.values()) == {1}

    after_a_hundred_days()
    bridge.totara.edit_date(edited["user_id"], edited["course_id"], at=1_600_000_000)
    bridge.totara.delete_completion(lost["user_id"], lost["course_id"])
    told = bridge.extract()
    assert (told.corrections, told.withdrawals, told.queued) == (1, 1, 0)
    assert bridge.push(oracle).sent == 2
    after_a_hundred_days()


class PurgedLife(Life):
    """The life of a queue that is purged every now and then, of all that is not from this very moment."""

    purged: ClassVar[int]
    put_again: ClassVar[int]

    @rule(limit=st.integers(1, INSTANCES))
    def deliver(self, limit: int) -> None:
        self.claim_and_settle(limit, "sent")

    def settle(self, outcome: str, claim: Claim) -> None:
        """A positive answer may come for what was purged meanwhile."""
        if outcome != "sent":
            super().settle(outcome, claim)
            return
        unposted = self.database.sql("SELECT id FROM bridge.export_queue WHERE first_posted_at IS NULL")
        posted = dict.fromkeys(set(claim.ids) - {row["id"] for row in unposted})

        def act(transaction: Transaction) -> None:
            delivery.acknowledge(transaction, claim.token, posted, log_id=1, now=self.now)

        self.do({"acknowledge"}, act)

    @rule()
    def purge(self) -> None:
        self.now += timedelta(seconds=1)
        with self.database.staging.begin() as transaction:
            stretch = staged.ITEMS.next(transaction, after=0, size=100)
            done = stretch and staged.ITEMS.purge(transaction, stretch, Cutoff(self.now), dry_run=False)
        there = {row["id"] for row in self.database.sql("SELECT id FROM bridge.export_queue")}
        gone = self.states.keys() - there
        assert {self.states.pop(item) for item in gone} <= {State.SENT}
        assert len(gone) == (done["items"] if done else 0)
        type(self).purged += len(gone)

    @rule(place=st.integers(0, INSTANCES - 1))
    def deliver_purge_edit_and_cancel(self, place: int) -> None:
        """By chance it hardly ever comes in this order."""
        self.claim_and_settle(INSTANCES, "sent")
        self.purge()
        self.extract(place, "revised", dated=True)
        self.by_hand(None, "cancel")

    @rule()
    def resend_what_was_purged(self) -> None:
        def act(transaction: Transaction) -> None:
            completion.begin_merge(transaction)
            asked = Past(DESTINATION, ["sbx"], since=NOW - timedelta(days=1))
            before = self.now + timedelta(seconds=1)
            rows = past.resendable(transaction, asked, before=before, after=0, slice_size=INSTANCES)
            gone = [row for row in rows if row.item_id is None]
            again = enqueue.put_again(transaction, gone, self.wants, by="ann", now=self.now)
            type(self).put_again += again

        self.do({"enqueue"}, act)

    @invariant()
    def no_amendment_is_left_behind(self) -> None:
        """What follows an amendment in the queue is no older: it could not be sent any more, cancelled or not."""
        assert not self.database.sql(
            """
            SELECT q.id FROM bridge.export_queue q JOIN bridge.export_queue later USING (destination, instance_id)
            WHERE q.kind <> 'completion' AND later.id > q.id AND later.revision < q.revision
            """
        )

    @invariant()
    def nothing_follows_what_came_later(self) -> None:
        """What is on its way says nothing that a later delivery has overtaken; the ledger tells, purged or not."""
        assert not self.database.sql(
            """
            SELECT q.id FROM bridge.export_queue q JOIN bridge.delivery d USING (destination, instance_id)
            WHERE q.state IN ('queued', 'held', 'sending') AND d.revision > q.revision
            """
        )


def test_whatever_else_is_done_a_purge_makes_nothing_go_twice_or_late(database: Items) -> None:
    PurgedLife.database, PurgedLife.moved_by, PurgedLife.purged, PurgedLife.put_again = database, set(), 0, 0
    run_state_machine_as_test(
        PurgedLife,
        settings=settings(
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert PurgedLife.purged, "nothing was ever purged"
    assert PurgedLife.put_again, "nothing that was purged was ever sent again"


def test_what_was_purged_is_told_from_the_ledger(bridge: Bridge, oracle: SandboxOracle) -> None:
    bridge.queue_new(1)
    bridge.push(oracle)
    [item] = bridge.rows("SELECT * FROM bridge.export_queue JOIN bridge.completion_instance i ON i.id = instance_id")
    bridge.later(days=100)
    run(Items(bridge.staging), now=bridge.now)
    with bridge.staging.begin() as transaction:
        assert trace.items_of(transaction, item["record_key"]) == []
    config = BridgeConfig(
        sites=(Site(code=SITE, connection="totara_sandbox"),),
        destinations=(Destination(code=DESTINATION, connection="oracle_sandbox"),),
    )
    pair = {"site": SITE, "user_id": item["user_id"], "course_id": item["course_id"]}
    [answer] = why_not(bridge.staging, config, **pair, now=bridge.now)
    assert answer.why == Why.SENT
    assert "was sent on" in answer.sentence


def test_an_item_whose_request_is_purged_keeps_the_rest_of_its_trace(bridge: Bridge, oracle: SandboxOracle) -> None:
    bridge.queue_new(1)
    bridge.push(oracle)
    [item] = bridge.rows("SELECT id FROM bridge.export_queue")
    bridge.later(days=40)
    counts = run(Items(bridge.staging), now=bridge.now).counts
    assert (counts["items"], counts["log_rows"]) == (0, 1)
    with bridge.staging.begin() as transaction:
        found = trace.trace(transaction, item_id=item["id"])
    assert found is not None
    assert [(entry.what, entry.request) for entry in found.entries][-1] == ("acknowledge", None)
