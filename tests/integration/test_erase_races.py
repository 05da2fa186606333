"""Erasing a learner while others are at work: once, twice or not at all, and nobody waits for ever."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, Bridge
from tests.life import BUD, SETTINGS, ZOE, World, by_hand_all, dump, everything, named, of_learner
from totara_bridge.errors import LearnerBusy
from totara_bridge.settings import Settings
from totara_bridge.staging import completion, delivery, lease
from totara_bridge.staging.erased import WORDS_REMOVED


def test_a_dry_run_counts_the_same_and_changes_nothing(world: World) -> None:
    before = everything(world.bridge)
    asked = world.erase(dry_run=True)
    assert everything(world.bridge) == before
    assert asked.found > 0
    assert world.erase().counts() == asked.counts()


def test_run_twice_it_finds_nothing_the_second_time(world: World) -> None:
    world.erase()
    before = everything(world.bridge)
    world.bridge.later(hours=1)
    second = world.erase(by="bob")
    assert second.found == 0
    assert second.before is not None
    assert second.before.tombstone.erased_by == "ann"
    after = everything(world.bridge)
    written = [row for row in after.pop("audit_log") if row not in before["audit_log"]]
    assert [(row["actor"], row["action"]) for row in written] == [("bob", "erase")]
    before.pop("audit_log")
    assert after == before


def claim(world: World) -> Sequence[Any]:
    """A sender has taken what is due, for two minutes."""
    with world.bridge.staging.begin() as transaction:
        return lease.claim(
            transaction, destination="numbered", token=TOKEN, limit=100, now=world.bridge.now,
            lease_until=world.bridge.now + timedelta(minutes=2),
        )  # fmt: skip


TOKEN = uuid4()


@pytest.fixture
def claimed(world: World) -> World:
    """The world, where a sender has items of the learner in its hands."""
    with world.bridge.staging.begin() as transaction:
        lease.forget_shown(transaction, destination="numbered")
    assert {row.id for row in claim(world)} & {row["id"] for row in world.items(world.zoe)}
    return world


def test_while_something_is_sent_nothing_is_erased(claimed: World) -> None:
    before = everything(claimed.bridge)
    with pytest.raises(
        LearnerBusy, match=rf"^Of the learner {claimed.zoe} of site sbx, \d+ of \d+ items are being sent"
    ):
        claimed.erase()
    assert everything(claimed.bridge) == before
    assert claimed.erase(dry_run=True).found > 0
    assert everything(claimed.bridge) == before


def test_what_a_silent_sender_left_behind_is_erased(claimed: World) -> None:
    claimed.bridge.later(minutes=3)
    claimed.erase()
    items = claimed.items(claimed.zoe)
    assert {row["state"] for row in items} == {"sent", "cancelled"}
    assert named(dump(claimed.bridge)) == set()
    assert "sending" not in {row["state"] for row in claimed.items(claimed.bud)}


def test_an_answer_that_comes_after_the_erasure_says_only_that_the_destination_has_it(claimed: World) -> None:
    mine = [row["id"] for row in claimed.items(claimed.zoe) if row["state"] == "sending"]
    claimed.bridge.later(minutes=3)
    claimed.erase()
    with claimed.bridge.staging.begin() as transaction:
        references = dict.fromkeys(mine[:1], "SBX-1")
        assert delivery.acknowledge(transaction, TOKEN, references, log_id=1, now=claimed.bridge.now) == 1
        failure = delivery.Failure(mine[1], "busy", None, f"no {ZOE['lastname']}", 1, claimed.bridge.now)
        assert delivery.retry(transaction, TOKEN, [failure], log_id=2, now=claimed.bridge.now) == 0
        words = f"no {ZOE['lastname']}"
        delivery.note(transaction, TOKEN, mine[2:3], verb="release", words=words, log_id=3, now=claimed.bridge.now)
    row = next(row for row in claimed.items(claimed.zoe) if row["id"] == mine[0])
    assert (row["state"], row["reference"], row["payload"]) == ("sent", "SBX-1", "")
    assert claimed.bridge.rows("SELECT 1 AS one FROM bridge.delivery WHERE instance_id = :id", id=row["instance_id"])
    assert named(dump(claimed.bridge)) == set()
    assert by_hand_all(claimed) == 0


def test_a_sender_that_was_too_late_keeps_no_body(world: World) -> None:
    world.oracle.faults({"match": {"user_id": world.zoe}, "action": {"hang": "after"}})
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(world.bridge.push, world.oracle, settings=SETTINGS)
        world.oracle.wait(in_flight=1)
        world.bridge.now += timedelta(hours=1)  # its lease has run out, and it goes on
        try:
            world.erase()
        finally:
            world.oracle.faults()
            world.oracle.release()
        push.result()
    assert world.items(world.zoe)[0]["payload"] == ""
    assert of_learner(everything(world.bridge), world.zoe)["kept_body"] == []
    assert named(dump(world.bridge)) == set()


ERASE = """
import sys
from datetime import datetime
from totara_bridge.erase import erase
from totara_bridge.staging.engine import staging_engine
url, user, now = sys.argv[1:]
erase(staging_engine(url), site="sbx", user_id=int(user), by="ann", dry_run=False, now=datetime.fromisoformat(now))
"""


def test_killed_at_its_last_statement_it_has_done_nothing(
    world: World, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    bridge, before = world.bridge, everything(world.bridge)
    url = bridge.staging.url.render_as_string(hide_password=False)
    waiting = """
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO bridge.audit_log%'
    """
    with bridge.staging.begin() as blocker:
        blocker.execute(text("LOCK TABLE bridge.audit_log IN SHARE MODE"))
        command = [sys.executable, "-c", ERASE, url, str(world.zoe), bridge.now.isoformat()]
        with subprocess.Popen(command, env=os.environ.copy()) as program:
            wait_until(lambda: bool(bridge.rows(waiting)))
            program.send_signal(signal.SIGKILL)
            assert program.wait() == -signal.SIGKILL
    wait_until(lambda: bridge.rows("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'")[0]["n"] == 0)
    assert everything(bridge) == before
    assert world.erase().found > 0
    assert named(dump(bridge)) == set()


def test_senders_and_extracts_go_on_meanwhile(world: World) -> None:
    """Nothing waits for itself, and whoever is busy is erased a little later."""
    world.bridge.backfill()
    users = [row["user_id"] for row in world.bridge.rows("SELECT DISTINCT user_id FROM bridge.completion_instance")][
        :15
    ]
    ended = threading.Event()

    def work(what: Callable[[], object]) -> None:
        while not ended.is_set():
            what()

    with ThreadPoolExecutor(3) as pool:
        others = [
            pool.submit(work, lambda: world.bridge.push(world.oracle, settings=Settings(batch_size=10))),
            pool.submit(work, world.bridge.full_compare),
            pool.submit(work, world.bridge.backfill),
        ]
        try:
            for user in users:
                while not world.bridge.rows("SELECT 1 AS one FROM bridge.erased_learner WHERE user_id = :u", u=user):
                    with suppress(LearnerBusy):
                        world.erase(user)
        finally:
            ended.set()
        for other in others:
            other.result()
    world.bridge.later(days=1)
    world.bridge.push(world.oracle)
    assert not world.bridge.full_compare().changed
    states = world.bridge.rows("SELECT DISTINCT state FROM bridge.export_queue WHERE destination = 'oracle'")
    assert {row["state"] for row in states} <= {"sent", "cancelled", "held", "dead"}
    payloads = world.bridge.rows(
        """SELECT DISTINCT q.payload
           FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
           WHERE i.user_id = ANY(:users)""",
        users=users,
    )
    assert payloads == [{"payload": ""}]
    assert world.bridge.rows("SELECT 1 AS one FROM bridge.learner WHERE user_id = ANY(:users)", users=users) == []


# who waits for whom

WAITING = """
    SELECT query FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE :query
"""
WaitUntil = Callable[[Callable[[], bool]], None]


def waits(bridge: Bridge, query: str = "%") -> int:
    """How many transactions wait for a lock with such a statement."""
    return len(bridge.rows(WAITING, query=query))


@contextmanager
def paused(bridge: Bridge, lock: str) -> Iterator[None]:
    """Whoever gets to what is locked waits while the block runs."""
    with bridge.staging.connect() as blocker, blocker.begin():
        blocker.execute(text(lock))
        yield


PAUSE_BEFORE_FAILURES = """
    CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF current_query() LIKE '%SET state = ''failed''%' THEN PERFORM pg_advisory_xact_lock_shared(77); END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER pause BEFORE UPDATE ON bridge.export_queue FOR EACH STATEMENT EXECUTE FUNCTION pause();
"""


@pytest.mark.parametrize(("dry_run", "said"), [(True, "busy"), (False, "busy"), (False, "")])
def test_a_request_that_is_being_settled_and_an_erasure_never_wait_for_each_other(
    world: World, dry_run: bool, said: str, wait_until: WaitUntil
) -> None:
    """It has marked one item of the learner sent, and then marks an earlier one failed."""
    bridge = world.bridge
    bridge.push(world.oracle)  # what waits
    for course in (bridge.totara.new_course(), bridge.totara.new_course()):
        bridge.totara.enrol(world.zoe, course)
        bridge.totara.complete(world.zoe, course)
    assert bridge.extract().queued == 4, "two for each destination"
    first, _ = [r for r in world.items(world.zoe) if r["state"] == "queued" and r["destination"] == DESTINATION]
    world.oracle.faults({"match": {"key": first["idempotency_key"]}, "action": {"item": "retry", "message": said}})
    with bridge.staging.begin() as transaction:
        transaction.execute(text(PAUSE_BEFORE_FAILURES))
    with ThreadPoolExecutor(2) as pool:
        with paused(bridge, "SELECT pg_advisory_xact_lock(77)"):
            push = pool.submit(bridge.push, world.oracle)
            wait_until(lambda: waits(bridge) == 1)
            erasing: Future[Any] = pool.submit(world.erase, dry_run=dry_run)
            wait_until(lambda: erasing.done() or waits(bridge) == 2)
        assert push.result().sent > 0
    if said:  # what was said is written down first
        assert erasing.result().found > 0
    else:
        with pytest.raises(LearnerBusy, match=r"2 of \d+ items are being sent at this moment"):
            erasing.result()


def test_a_dry_run_waits_for_nobody(world: World, wait_until: WaitUntil) -> None:
    bridge = world.bridge
    with ThreadPoolExecutor(1) as pool, bridge.staging.connect() as other:
        with other.begin():
            completion.begin_merge(other)
            for table in ("export_queue", "mapping", "learner", "completion", "completion_instance", "kept_body"):
                other.execute(text(f"LOCK TABLE bridge.{table} IN EXCLUSIVE MODE"))
            asked = pool.submit(world.erase, dry_run=True)
            wait_until(lambda: asked.done() or waits(bridge) == 1)
            done = asked.done()
        assert asked.result().found > 0
    assert done, "it waited"


def test_nobody_waits_while_kept_bodies_are_searched_and_later_ones_are_found_too(
    world: World, wait_until: WaitUntil
) -> None:
    bridge = world.bridge
    # the lowest number, as of a request that was written down for long
    hide = """
        WITH logged AS (
            INSERT INTO bridge.export_log (id, batch, destination, at, duration_ms, items, outcome)
            OVERRIDING SYSTEM VALUE VALUES (-1, gen_random_uuid(), :destination, now(), 1, 1, 'sent') RETURNING id)
        INSERT INTO bridge.kept_body SELECT id, :destination, now(), :request, NULL FROM logged
    """
    values = {"destination": DESTINATION, "request": world.items(world.zoe)[0]["idempotency_key"]}
    searching, merging = "%FROM bridge.kept_body b%", "%pg_advisory_xact_lock%"
    with ThreadPoolExecutor(1) as pool, bridge.staging.connect() as other:
        with paused(bridge, "LOCK TABLE bridge.kept_body IN ACCESS EXCLUSIVE MODE"):
            erasing = pool.submit(world.erase)
            wait_until(lambda: waits(bridge, searching) == 1)
            assert bridge.rows("SELECT 1 AS one FROM pg_locks WHERE locktype = 'advisory'") == []
            other.begin()
            completion.begin_merge(other)
        wait_until(lambda: waits(bridge, merging) == 1)
        with bridge.staging.begin() as transaction:
            transaction.execute(text(hide), values)
        other.commit()
        erasing.result()
    assert of_learner(everything(bridge), world.zoe)["kept_body"] == []


def test_a_body_that_is_being_kept_while_the_learner_is_erased_goes_too(world: World, wait_until: WaitUntil) -> None:
    """The sender has looked whether the learner was erased, and is about to commit."""
    bridge = world.bridge
    world.oracle.faults({"match": {"user_id": world.zoe}, "action": {"hang": "after"}})
    with ThreadPoolExecutor(2) as pool:
        push = pool.submit(bridge.push, world.oracle, settings=SETTINGS)
        world.oracle.wait(in_flight=1)
        bridge.now += timedelta(hours=1)  # its lease has run out, and it goes on
        with paused(bridge, "LOCK TABLE bridge.delivery_hour IN EXCLUSIVE MODE"):
            world.oracle.faults()
            world.oracle.release()
            wait_until(lambda: waits(bridge) == 1)
            erasing = pool.submit(world.erase)
            wait_until(lambda: erasing.done() or waits(bridge) == 2)
        push.result()
        erasing.result()
    assert of_learner(everything(bridge), world.zoe)["kept_body"] == []
    assert named(dump(bridge)) == set()


def test_what_a_late_answer_says_of_the_request_is_not_written_down(world: World) -> None:
    answer = {"status": 503, "body": {"title": f"{BUD['lastname']} and the other one are locked"}}
    world.oracle.faults({"match": {"user_id": world.zoe}, "action": {"hang": "before"} | answer})
    [before] = world.bridge.rows("SELECT max(id) AS id FROM bridge.export_log")
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(world.bridge.push, world.oracle, settings=SETTINGS)
        world.oracle.wait(in_flight=1)
        world.bridge.now += timedelta(hours=1)
        try:
            world.erase()
        finally:
            world.oracle.release()
        push.result()
    said = world.bridge.rows("SELECT error FROM bridge.export_log WHERE id > :id", id=before["id"])
    assert WORDS_REMOVED in {row["error"] for row in said}
    assert not any("locked" in str(row["error"]) for row in said)
