"""What a push does with every answer: nothing lost, nothing twice, and the reason written down."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.bridge import ALL, DESTINATION, FOUR_IN_FLIGHT, SETTINGS, Bridge
from totara_bridge.errors import CredentialsRefused, OracleRefused, OracleUnavailable
from totara_bridge.push.flow import FAILURES_TO_ISOLATE, wait_before_retry
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings

pytestmark = pytest.mark.staging("has_read")

FIRST: dict[str, object] = {"next": 1}
ALWAYS: dict[str, object] = {}


@pytest.fixture
def one(bridge: Bridge) -> Bridge:
    """A bridge with one item in its queue."""
    bridge.queue_new(1)
    return bridge


@pytest.fixture
def ten(bridge: Bridge) -> Bridge:
    """A bridge with ten items in its queue."""
    bridge.queue_new(10)
    return bridge


def fault(match: dict[str, object], **action: object) -> dict[str, object]:
    """An order for the sandbox Oracle."""
    return {"match": match, "action": action}


def item(bridge: Bridge) -> dict[str, object]:
    [row] = bridge.rows("SELECT * FROM bridge.export_queue")
    return dict(row)


def test_everything_is_delivered_once(queued: Bridge, oracle: SandboxOracle) -> None:
    drained = queued.push(oracle)
    assert (drained.sent, drained.failed, drained.dead, drained.released) == (ALL, 0, 0, 0)
    assert queued.states() == {"sent": ALL}
    keys = oracle.stored_keys()
    assert len(keys) == len(set(keys)) == ALL
    assert set(oracle.times_received().values()) == {1}
    assert set(keys) == {
        row["record_key"]
        for row in queued.rows(
            "SELECT i.record_key FROM bridge.delivery d JOIN bridge.completion_instance i ON i.id = d.instance_id"
        )
    }


def test_a_push_again_sends_nothing(queued: Bridge, oracle: SandboxOracle) -> None:
    queued.push(oracle)
    assert queued.push(oracle).counts() == {"sent": 0, "failed": 0, "dead": 0, "released": 0, "requests": 0}
    assert set(oracle.times_received().values()) == {1}


def test_what_was_delivered_is_known_after_a_purge(queued: Bridge, oracle: SandboxOracle) -> None:
    queued.push(oracle)
    with queued.staging.begin() as transaction:
        transaction.execute(text("DELETE FROM bridge.export_queue"))
    assert not queued.full_compare().changed
    assert queued.backfill().queued == 0
    assert queued.push(oracle).sent == 0
    assert set(oracle.times_received().values()) == {1}


def test_the_log_has_a_row_per_request_and_no_names(queued: Bridge, oracle: SandboxOracle) -> None:
    drained = queued.push(oracle)
    logged = queued.rows("SELECT * FROM bridge.export_log")
    assert len(logged) == drained.requests == len(oracle.requests(limit=1000))
    assert sum(row["items"] for row in logged) == ALL
    assert {row["http_status"] for row in logged} == {200}
    words = str([dict(row) for row in logged])
    assert "example.com" not in words


def test_an_edit_and_a_loss_after_sending_are_reported(one: Bridge, oracle: SandboxOracle) -> None:
    one.push(oracle)
    [sent] = one.rows(
        """SELECT i.user_id, i.course_id
           FROM bridge.delivery d JOIN bridge.completion_instance i ON i.id = d.instance_id"""
    )
    pair = sent["user_id"], sent["course_id"]
    one.totara.edit_date(*pair, at=1_600_000_000)
    edited = one.extract()
    assert (edited.instances.revised, edited.reported, edited.queued) == (1, 1, 0)
    one.totara.delete_completion(*pair)
    lost = one.extract()
    assert (lost.instances.lost, lost.reported, lost.cancelled) == (1, 1, 0)
    assert one.push(oracle).sent == 0


# the table of answers, row by row


def test_empty_body_means_all_sent(ten: Bridge, oracle: SandboxOracle) -> None:
    oracle.settings(empty_answers=True)
    assert ten.push(oracle).sent == 10
    assert ten.states() == {"sent": 10}


def test_results_decide_each_item_by_its_own(ten: Bridge, oracle: SandboxOracle) -> None:
    keys = [row["idempotency_key"] for row in ten.rows("SELECT * FROM bridge.export_queue ORDER BY id")]
    oracle.faults(
        fault({"key": keys[0]}, item="rejected", code="E1", message="no such course"),
        fault({"key": keys[1]}, item="retry", message="locked"),
        fault({"key": keys[2]}, item="missing"),
    )
    drained = ten.push(oracle)
    assert (drained.sent, drained.dead, drained.failed) == (7, 1, 2)
    by_key = {row["idempotency_key"]: row for row in ten.rows("SELECT * FROM bridge.export_queue")}
    assert by_key[keys[0]]["state"] == "dead"
    assert (by_key[keys[0]]["error_code"], by_key[keys[0]]["error_words"]) == ("E1", "no such course")
    assert (by_key[keys[1]]["state"], by_key[keys[1]]["lane"], by_key[keys[1]]["attempts"]) == ("failed", "retry", 1)
    assert (by_key[keys[2]]["state"], by_key[keys[2]]["attempts"]) == ("failed", 0)
    events = {row["verb"] for row in ten.rows("SELECT verb FROM bridge.item_event")}
    assert events == {"retry", "reject"}
    oracle.faults()
    assert ten.push_later(oracle).sent == 2


def test_duplicate_counts_as_sent(one: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault(FIRST, close="after"))
    assert one.push(oracle).failed == 1
    assert one.push_later(oracle).sent == 1
    assert len(oracle.stored_keys()) == 1
    assert set(oracle.times_received().values()) == {2}
    assert item(one)["state"] == "sent"


@pytest.mark.parametrize("action", [{"html": True, "store": True}, {"truncate": 20}])
def test_an_unreadable_answer_is_not_success(one: Bridge, oracle: SandboxOracle, action: dict[str, object]) -> None:
    oracle.faults(fault(FIRST, **action))
    assert one.push(oracle).failed == 1
    assert one.push_later(oracle).sent == 1
    assert len(oracle.stored_keys()) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_batch_refused_whole_is_split_until_the_bad_item_stands_alone(
    queued: Bridge, oracle: SandboxOracle, status: int
) -> None:
    bad = queued.rows("SELECT idempotency_key FROM bridge.export_queue WHERE id % 100 = 42 AND id < 300 ORDER BY id")
    keys = [row["idempotency_key"] for row in bad]
    words = {"error": {"code": "C", "message": "bad shape"}}
    oracle.faults(*[fault({"key": key}, status=status, body=words) for key in keys])
    drained = queued.push(oracle)
    assert (drained.sent, drained.dead, drained.failed) == (ALL - len(keys), len(keys), 0)
    dead = queued.rows(
        "SELECT idempotency_key, error_code, error_words, attempts FROM bridge.export_queue "
        "WHERE state = 'dead' ORDER BY id"
    )
    assert [row["idempotency_key"] for row in dead] == keys
    assert {(row["error_code"], row["error_words"]) for row in dead} == {("C", "bad shape")}
    assert drained.requests <= 10 + len(keys) * 14


def test_one_bad_item_in_500_costs_at_most_18_requests_more(queued: Bridge, oracle: SandboxOracle) -> None:
    [bad] = queued.rows("SELECT idempotency_key FROM bridge.export_queue ORDER BY id OFFSET 77 LIMIT 1")
    oracle.faults(fault({"key": bad["idempotency_key"]}, status=400))
    settings = Settings(batch_size=500, requests_in_flight=1)
    drained = queued.push(oracle, settings=settings)
    assert (drained.sent, drained.dead) == (ALL - 1, 1)
    assert drained.requests <= 2 + 18


def test_a_wrong_contract_kills_no_item(queued: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault(ALWAYS, status=400, body={"error": {"code": "C", "message": "unknown field items"}}))
    with pytest.raises(OracleRefused, match=r"in the same way \(C: unknown field items\), so the contract is wrong"):
        queued.push(oracle)
    rows = queued.rows("SELECT DISTINCT state, lane, attempts, failures, claim_token FROM bridge.export_queue")
    assert [tuple(row.values()) for row in rows] == [("queued", "backfill", 0, 0, None)]
    assert len(oracle.requests(limit=1000)) < 100
    oracle.faults()
    assert queued.push(oracle).sent == ALL


def test_a_single_item_that_is_refused_waits_until_others_show_whose_fault_it_is(
    one: Bridge, oracle: SandboxOracle
) -> None:
    key = str(item(one)["idempotency_key"])
    oracle.faults(fault({"key": key}, status=400, body={"error": {"code": "C", "message": "bad shape"}}))
    assert one.push(oracle).failed == 1
    assert (item(one)["state"], item(one)["attempts"]) == ("failed", 0)
    one.totara.complete(*one.totara.pair_with(status=25))
    assert one.extract().queued == 1
    drained = one.push_later(oracle)
    assert (drained.sent, drained.dead) == (1, 1)


def test_too_large_is_split_without_an_attempt(ten: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault({"over_bytes": 1200}, status=413))
    drained = ten.push(oracle)
    assert (drained.sent, drained.failed, drained.dead) == (10, 0, 0)
    assert {row["http_status"] for row in ten.rows("SELECT http_status FROM bridge.export_log")} == {200, 413}
    assert {row["attempts"] for row in ten.rows("SELECT attempts FROM bridge.export_queue")} == {0}


def test_a_single_item_that_is_too_large_is_dead(one: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault({"over_bytes": 100}, status=413))
    assert one.push(oracle).dead == 1
    assert item(one)["error_class"] == "too_large"


def test_a_refused_token_is_replaced_once(ten: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault(FIRST, status=401))
    assert ten.push(oracle).sent == 10
    assert {row["attempts"] for row in ten.rows("SELECT attempts FROM bridge.export_queue")} == {0}


@pytest.mark.parametrize(
    ("status", "words"), [(401, "scope"), (403, "let the client"), (404, "path"), (302, "path"), (418, "path")]
)
def test_a_destination_problem_returns_the_items_untouched(
    ten: Bridge, oracle: SandboxOracle, status: int, words: str
) -> None:
    oracle.faults(fault(ALWAYS, status=status))
    with pytest.raises(OracleRefused, match=f"{DESTINATION} cannot be used.*{status}.*{words}") as refused:
        ten.push(oracle)
    # who is let in but may not use the endpoint has good credentials
    assert isinstance(refused.value, CredentialsRefused) == (status == 401)
    rows = ten.rows("SELECT DISTINCT state, lane, attempts, failures, claim_token FROM bridge.export_queue")
    assert [tuple(row.values()) for row in rows] == [("queued", "fresh", 0, 0, None)]
    oracle.faults()
    assert ten.push(oracle).sent == 10


def test_conflict_is_tried_later_under_the_same_key(one: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault(FIRST, status=409))
    assert one.push(oracle).failed == 1
    assert item(one)["attempts"] == 0
    assert one.push_later(oracle).sent == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_an_outage_uses_no_attempts(ten: Bridge, oracle: SandboxOracle, status: int) -> None:
    oracle.faults(fault(FIRST, status=status))
    assert ten.push(oracle).failed == 10
    rows = ten.rows("SELECT DISTINCT state, lane, attempts, failures FROM bridge.export_queue")
    assert [tuple(row.values()) for row in rows] == [("failed", "retry", 0, 1)]
    assert ten.push_later(oracle).sent == 10


def test_retry_after_is_honoured_by_all(ten: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault(FIRST, status=429, headers={"Retry-After": "120"}))
    assert ten.push(oracle).failed == 10
    ten.later(seconds=119)
    assert ten.push(oracle).requests == 0
    ten.later(seconds=2)
    with ten.staging.begin() as transaction:  # as if half of them had never failed
        transaction.execute(
            text(
                """UPDATE bridge.export_queue
                   SET next_attempt_at = CASE id % 2 WHEN 0 THEN queued_at ELSE next_attempt_at + interval '1 h' END"""
            )
        )
    assert ten.push(oracle).sent == 5
    assert ten.push_later(oracle).sent == 5


def test_a_destination_that_is_down_is_left_alone_for_a_while(queued: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault(ALWAYS, status=503))
    with pytest.raises(OracleUnavailable, match=r"failed several times in a row.*503.*Nothing is lost"):
        queued.push(oracle, settings=FOUR_IN_FLIGHT)
    asked = len(oracle.requests(limit=1000))
    assert asked < 3 + 2 * FOUR_IN_FLIGHT.requests_in_flight
    assert queued.push(oracle).requests == 0
    oracle.faults()
    queued.later(minutes=3)
    assert queued.push(oracle).sent == ALL


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_closed_connection_sends_again_under_the_same_key(one: Bridge, oracle: SandboxOracle, when: str) -> None:
    oracle.faults(fault(FIRST, close=when))
    assert one.push(oracle).failed == 1
    assert one.push_later(oracle).sent == 1
    assert len(oracle.stored_keys()) == 1


def test_a_timeout_sends_again_under_the_same_key(one: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault(FIRST, hang="after"))
    assert one.push(oracle, timeout=0.5).failed == 1
    oracle.wait(keys_stored=1)  # what it has not stored yet would hang after the release
    oracle.release()
    assert one.push_later(oracle).sent == 1
    assert len(oracle.stored_keys()) == 1


def test_out_of_attempts_is_dead_with_the_last_words(ten: Bridge, oracle: SandboxOracle) -> None:
    [key] = [row["idempotency_key"] for row in ten.rows("SELECT idempotency_key FROM bridge.export_queue LIMIT 1")]
    oracle.faults(fault({"key": key}, item="retry", message="locked"))
    settings = Settings(max_attempts=1)
    drained = ten.push(oracle, settings=settings)
    assert (drained.sent, drained.dead) == (9, 1)
    [dead] = ten.rows("SELECT * FROM bridge.export_queue WHERE state = 'dead'")
    assert dead["error_words"] == "out of attempts (1); the last: locked"


def test_what_failed_often_is_sent_alone(ten: Bridge, oracle: SandboxOracle) -> None:
    for _ in range(FAILURES_TO_ISOLATE):
        oracle.faults(fault(FIRST, status=500))
        ten.push_later(oracle)
    before = len(oracle.requests(limit=1000))
    assert ten.push_later(oracle).sent == 10
    assert len(oracle.requests(limit=1000)) - before == 10


def test_waits_double_up_to_the_longest_and_are_random() -> None:
    settings = Settings(retry_first=timedelta(seconds=10), retry_longest=timedelta(minutes=1))
    waits = [wait_before_retry(settings, failures=n, retry_after=None) for n in range(1, 60) for _ in range(20)]
    assert max(waits[:20]) <= timedelta(seconds=10)
    assert timedelta(seconds=10) < max(waits) <= timedelta(minutes=1)
    assert len(set(waits)) > 100
    assert wait_before_retry(settings, failures=1, retry_after=300) >= timedelta(minutes=5)


def test_a_clean_stop_returns_the_leases(queued: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults(fault(ALWAYS, hang="before"))
    stop = threading.Event()
    result: list[dict[str, int]] = []

    def push() -> None:
        result.append(queued.push(oracle, settings=FOUR_IN_FLIGHT, stop=stop).counts())

    thread = threading.Thread(target=push)
    thread.start()
    oracle.wait(in_flight=FOUR_IN_FLIGHT.requests_in_flight)
    stop.set()
    oracle.faults()
    oracle.release()
    thread.join()
    sent = result[0]["sent"]
    assert 0 < sent < ALL
    assert queued.states() == {"sent": sent, "queued": ALL - sent}
    assert queued.push(oracle).sent == ALL - sent


KILLED = """
import sys
from sqlalchemy import create_engine
from tests.bridge import FOUR_IN_FLIGHT, Bridge
bridge = Bridge(create_engine(sys.argv[1], pool_size=8), create_engine(sys.argv[2]))
class Oracle: url, token_url, client_id, client_secret = sys.argv[3:7]
bridge.push(Oracle, settings=FOUR_IN_FLIGHT)
"""


def test_killed_while_a_request_is_open_it_loses_and_doubles_nothing(
    queued: Bridge, oracle: SandboxOracle, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    oracle.faults(fault(FIRST, hang="after"))
    urls = [queued.staging.url.render_as_string(False), queued.totara.engine.url.render_as_string(False)]
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, *urls, oracle.url, oracle.token_url, oracle.client_id,
         oracle.client_secret],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    ) as process:  # fmt: skip
        try:
            oracle.wait(in_flight=1)
            wait_until(lambda: queued.states().get("sent", 0) == ALL - SETTINGS.batch_size)
            assert queued.states()["sending"] == SETTINGS.batch_size
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    oracle.release()
    assert queued.push(oracle).sent == 0, "the lease still runs"
    queued.later(minutes=5)
    assert queued.push(oracle).sent == SETTINGS.batch_size
    assert queued.states() == {"sent": ALL}
    assert len(oracle.stored_keys()) == ALL
    assert max(oracle.times_received().values()) == 2


def test_two_drains_at_once_send_nothing_twice(queued: Bridge, oracle: SandboxOracle) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(queued.push(oracle).sent)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(results) == ALL
    assert set(oracle.times_received().values()) == {1}
