"""What a reconcile finds that destinations were not told, and what a repair makes of all that it finds."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, Bridge
from tests.reconciled import all_else, differences, numbers, reconcile
from totara_bridge.errors import DeletionsUnconfirmed
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import by_hand

NONE = (0, 0, 0, 0)
MOVED = 1_600_000_000
ALL = Wants(DESTINATION, corrections=True, withdrawals=True)


def change(bridge: Bridge, statement: str, **values: object) -> int:
    with bridge.staging.begin() as transaction:
        return transaction.execute(text(statement), values).rowcount


def long_ago(bridge: Bridge) -> None:
    """What has happened in Totara happened so long ago that the next extract does not read it again."""
    with bridge.totara.engine.begin() as connection:
        connection.execute(text("UPDATE ttr_course_completion_log SET timemodified = timemodified - 86400"))
    bridge.later(hours=1)


@pytest.fixture
def queued(bridge: Bridge) -> Bridge:
    """Three completions wait for a destination that wants to know everything."""
    bridge.plan = replace(bridge.plan, destinations=[ALL])
    bridge.queue_new(3)
    long_ago(bridge)
    return bridge


@pytest.fixture
def delivered(queued: Bridge, oracle: SandboxOracle) -> Bridge:
    """It has them."""
    assert queued.push(oracle).sent == 3
    return queued


def told(bridge: Bridge) -> list[tuple[object, ...]]:
    return [(row["kind"], row["place"], row["here"]) for row in differences(bridge)]


def test_what_waits_or_was_delivered_is_no_difference(queued: Bridge, oracle: SandboxOracle) -> None:
    assert numbers(reconcile(queued)) == NONE
    queued.push(oracle)
    assert numbers(reconcile(queued)) == NONE
    change(queued, "DELETE FROM bridge.export_queue")  # purged
    assert numbers(reconcile(queued)) == NONE


def test_an_item_that_is_gone_is_missing_and_a_repair_queues_it_once(queued: Bridge, oracle: SandboxOracle) -> None:
    change(queued, "DELETE FROM bridge.export_queue WHERE id = (SELECT min(id) FROM bridge.export_queue)")
    before = all_else(queued)
    assert numbers(reconcile(queued)) == (1, 0, 0, 0)
    assert told(queued) == [("missing", DESTINATION, "not delivered, and nothing says why")]
    assert all_else(queued) == before
    repaired = reconcile(queued, repair=True)
    assert (numbers(repaired), repaired.repaired.queued) == (NONE, 1)
    lanes = queued.rows("SELECT lane, state FROM bridge.export_queue ORDER BY id")
    assert lanes[-1] == {"lane": "backfill", "state": "queued"}
    assert queued.rows("SELECT missing, repaired FROM bridge.reconciliation ORDER BY id") == [
        {"missing": 1, "repaired": False}, {"missing": 1, "repaired": False}, {"missing": 0, "repaired": True},
    ]  # fmt: skip
    again = reconcile(queued, repair=True)
    assert (numbers(again), again.repaired.queued) == (NONE, 0)
    queued.push(oracle)
    assert set(oracle.times_received().values()) == {1}
    assert len(oracle.stored_keys()) == 3


def test_what_the_ledger_does_not_have_is_missing_and_is_not_sent_again(
    delivered: Bridge, oracle: SandboxOracle
) -> None:
    change(delivered, "DELETE FROM bridge.delivery WHERE instance_id = (SELECT min(instance_id) FROM bridge.delivery)")
    assert numbers(reconcile(delivered)) == (1, 0, 0, 0)
    change(delivered, "UPDATE bridge.baseline SET instance_id = (SELECT max(id) FROM bridge.completion_instance)")
    assert numbers(reconcile(delivered)) == (1, 0, 0, 0), "also of what a backfill had queued"
    assert numbers(reconcile(delivered, repair=True)) == (1, 0, 0, 0)
    assert delivered.states() == {"sent": 3}


def test_each_place_where_a_completion_is_gone_is_a_difference_by_itself(delivered: Bridge) -> None:
    first, second, third = delivered.rows(
        """SELECT i.id, i.user_id, i.course_id, i.row_id FROM bridge.completion_instance i
           JOIN bridge.delivery d ON d.instance_id = i.id ORDER BY i.id"""
    )
    change(delivered, "DELETE FROM bridge.delivery WHERE instance_id = :id", id=first["id"])
    change(
        delivered, "DELETE FROM bridge.completion WHERE user_id = :user AND course_id = :course",
        user=second["user_id"], course=second["course_id"],
    )  # fmt: skip
    with delivered.totara.engine.begin() as connection:
        connection.execute(text("DELETE FROM ttr_course_completions WHERE id = :row_id"), {"row_id": third["row_id"]})
    assert numbers(reconcile(delivered)) == (2, 1, 0, 0)
    found = [(row["kind"], row["place"], (row["user_id"], row["course_id"])) for row in differences(delivered)]
    assert found == [
        ("missing", "staging", (second["user_id"], second["course_id"])),
        ("extra", "staging", (third["user_id"], third["course_id"])),
        ("missing", DESTINATION, (first["user_id"], first["course_id"])),
    ]


@pytest.mark.parametrize(
    ("act", "kind", "difference"), [("edit", "correction", "different"), ("delete", "withdrawal", "extra")]
)
def test_an_amendment_that_is_gone_is_a_difference_and_a_repair_queues_it(
    delivered: Bridge, oracle: SandboxOracle, act: str, kind: str, difference: str
) -> None:
    [row] = delivered.rows(
        """SELECT user_id, course_id FROM bridge.completion_instance
           WHERE id = (SELECT min(instance_id) FROM bridge.delivery)"""
    )
    pair = (row["user_id"], row["course_id"])
    if act == "edit":
        delivered.totara.edit_date(*pair, at=MOVED)
    else:
        delivered.totara.delete_completion(*pair)
    delivered.extract()
    long_ago(delivered)
    assert numbers(reconcile(delivered)) == NONE
    assert change(delivered, "DELETE FROM bridge.export_queue WHERE kind = :kind", kind=kind) == 1
    found = reconcile(delivered).found
    assert getattr(found, difference) == found.differences == 1
    [(said, place, here)] = told(delivered)
    assert (said, place) == (difference, DESTINATION)
    assert str(here).endswith(f"no {kind} is queued")
    delivered.plan = replace(delivered.plan, destinations=[Wants(DESTINATION)])
    assert numbers(reconcile(delivered)) == NONE  # who does not want to know
    delivered.plan = replace(delivered.plan, destinations=[ALL])
    repaired = reconcile(delivered, repair=True)
    assert (numbers(repaired), repaired.repaired.queued) == (NONE, 1)
    assert delivered.push(oracle).sent == 1
    assert numbers(reconcile(delivered)) == NONE
    change(delivered, "DELETE FROM bridge.delivery WHERE kind = :kind", kind=kind)
    assert reconcile(delivered).found.differences == 1


def test_what_is_explained_is_no_difference(queued: Bridge) -> None:
    [first, second, third] = [row["id"] for row in queued.rows("SELECT id FROM bridge.export_queue ORDER BY id")]
    with queued.staging.begin() as transaction:
        by_hand.cancel(transaction, [first], by="ann", words="no", now=queued.now)
    change(queued, "DELETE FROM bridge.export_queue WHERE id = :id", id=second)
    queued.plan = replace(queued.plan, destinations=[replace(ALL, route=Route(courses=("none",)))])
    assert numbers(reconcile(queued)) == NONE
    queued.plan = replace(queued.plan, destinations=[replace(ALL, route=Route(sites=("uk",)))])
    assert numbers(reconcile(queued)) == NONE
    queued.plan = replace(queued.plan, destinations=[Wants("another")])  # which has no baseline
    assert numbers(reconcile(queued, repair=False)) == NONE
    queued.plan = replace(queued.plan, destinations=[ALL])
    assert numbers(reconcile(queued)) == (1, 0, 0, 0)
    assert third in [row["id"] for row in queued.rows("SELECT id FROM bridge.export_queue")]


def test_a_repair_makes_staging_equal_to_totara(queued: Bridge) -> None:
    pair = queued.totara.pair_with(status=50, nth=4)
    queued.totara.sql_update_without_log(*pair, at=MOVED)
    change(queued, "DELETE FROM bridge.completion WHERE row_id = (SELECT min(row_id) FROM bridge.completion)")
    with queued.totara.engine.begin() as connection:
        least = "SELECT min(id) FROM ttr_course_completion_history"
        connection.execute(text(f"DELETE FROM ttr_course_completion_history WHERE id = ({least})"))
    assert numbers(reconcile(queued)) == (1, 1, 1, 0)
    assert numbers(reconcile(queued, repair=True)) == NONE
    assert not queued.full_compare().changed


def test_deletions_beyond_belief_are_confirmed_in_a_repair_too(queued: Bridge) -> None:
    with queued.totara.engine.begin() as connection:
        connection.execute(text("DELETE FROM ttr_course_completions WHERE id % 2 = 0"))
    with pytest.raises(DeletionsUnconfirmed):
        reconcile(queued, repair=True)
    [made] = queued.rows("SELECT extra, repaired FROM bridge.reconciliation")
    assert made["extra"] > 100
    queued.plan = replace(queued.plan, confirm_deletions=True, by="ann")
    assert numbers(reconcile(queued, repair=True)) == NONE
    [audited] = queued.rows("SELECT DISTINCT actor FROM bridge.audit_log WHERE action = 'confirm_deletions'")
    assert audited == {"actor": "ann"}


RECONCILE = """
import sys
from datetime import datetime
from sqlalchemy import create_engine
from tests.bridge import Bridge
from tests.integration.test_reconcile_delivery import ALL
from tests.reconciled import reconcile
from dataclasses import replace
bridge = Bridge(create_engine(sys.argv[1], connect_args={"application_name": "killed"}), create_engine(sys.argv[2]))
bridge.now = datetime.fromisoformat(sys.argv[3])
bridge.plan = replace(bridge.plan, destinations=[ALL])
reconcile(bridge, repair=True)
"""


@pytest.mark.parametrize("waits_for", ["bridge.reconciled_count", "bridge.completion", "bridge.export_queue"])
def test_killed_half_way_and_run_again_it_ends_as_if_it_had_not_been(
    queued: Bridge, oracle: SandboxOracle, wait_until: Callable[[Callable[[], bool]], None], waits_for: str
) -> None:
    """While it writes what it found, while it extracts, and while it queues."""
    change(queued, "DELETE FROM bridge.export_queue WHERE id = (SELECT min(id) FROM bridge.export_queue)")
    addresses = [engine.url.render_as_string(False) for engine in (queued.staging, queued.totara.engine)]

    def blocked() -> bool:
        waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'killed' AND wait_event_type = 'Lock'"
        return bool(queued.rows(waiting))

    with queued.staging.connect() as blocking:
        # what reads goes on, and what writes waits
        blocking.execute(text(f"LOCK TABLE {waits_for} IN SHARE MODE"))
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RECONCILE, *addresses, queued.now.isoformat()],
            env=os.environ | {"PYTHONPATH": os.getcwd()},
        )
        try:
            wait_until(lambda: blocked() or process.poll() is not None)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        finally:
            process.kill()
        with queued.staging.begin() as transaction:
            transaction.execute(
                text("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'killed'")
            )
    assert queued.states() == {"queued": 2}
    repaired = reconcile(queued, repair=True)
    assert (numbers(repaired), repaired.repaired.queued) == (NONE, 1)
    queued.push(oracle)
    assert set(oracle.times_received().values()) == {1}
    assert len(oracle.stored_keys()) == 3
