"""A drain that something happens to midway: what was posted stays posted, and what must end it does."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, SETTINGS, Bridge
from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.push.flow import FAILURES_TO_ISOLATE, FAILURES_TO_OPEN
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.staging import setting

pytestmark = pytest.mark.staging("has_read")

ALONE = Settings(batch_size=1, requests_in_flight=1)


@pytest.fixture
def ten(bridge: Bridge) -> Bridge:
    """A bridge with ten items in its queue."""
    bridge.queue_new(10)
    return bridge


@pytest.fixture
def hundred(queued: Bridge) -> Bridge:
    """A bridge with a hundred due items in its queue."""
    run(queued, "DELETE FROM bridge.export_queue WHERE id NOT IN (SELECT id FROM bridge.export_queue LIMIT 100)")
    return queued


@pytest.fixture
def hundred_alone(hundred: Bridge) -> Bridge:
    """The same, but each of them is sent alone."""
    run(hundred, f"UPDATE bridge.export_queue SET failures = {FAILURES_TO_ISOLATE}")
    return hundred


def run(bridge: Bridge, statement: str, **values: object) -> None:
    with bridge.staging.begin() as transaction:
        transaction.execute(text(statement), values)


def first_then(action: dict[str, Any]) -> list[dict[str, Any]]:
    """The first request goes well, and this happens to all others."""
    return [{"match": {"nth": 1}, "action": {}}, {"match": {}, "action": action}]


@pytest.mark.parametrize("status", [400, 413])
def test_what_was_in_a_split_request_when_the_drain_was_stopped_stays_posted(
    hundred: Bridge, oracle: SandboxOracle, status: int
) -> None:
    oracle.faults({"match": {"next": 1}, "action": {"hang": "before", "status": status, "store": True}})
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(
            hundred.push, oracle, settings=Settings(request_bytes=10_000, requests_in_flight=1), stop=stop
        )
        oracle.wait(in_flight=1)
        stop.set()
        oracle.release()
    assert pushed.result().requests == 1
    [request] = oracle.requests()
    rows = hundred.rows(
        """SELECT q.idempotency_key, q.state, q.claim_token, q.first_posted_at, i.user_id, i.course_id
           FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id"""
    )
    assert {(row["state"], row["claim_token"]) for row in rows} == {("queued", None)}
    assert {row["idempotency_key"] for row in rows if row["first_posted_at"] is not None} == set(request["keys"])
    for posted in (True, False):
        row = next(row for row in rows if (row["first_posted_at"] is not None) == posted)
        hundred.totara.edit_date(row["user_id"], row["course_id"], at=1_600_000_000)
    assert hundred.extract().replaced == 1, "only what was never posted gets a later payload"


def test_an_outage_that_begins_midway_opens_the_breaker_also_for_items_that_are_alone(
    ten: Bridge, oracle: SandboxOracle
) -> None:
    oracle.faults(*first_then({"status": 502}))
    with pytest.raises(OracleUnavailable, match="failed several times in a row"):
        ten.push(oracle, settings=ALONE.model_copy(update={"max_attempts": 1}))
    threads = 2
    assert len(oracle.requests()) <= 1 + FAILURES_TO_OPEN + threads
    assert ten.states()["dead"] <= FAILURES_TO_OPEN + threads - 1
    assert ten.rows("SELECT FROM bridge.destination_state WHERE breaker_open_until IS NOT NULL")


def test_items_that_are_put_off_one_by_one_open_no_breaker(ten: Bridge, oracle: SandboxOracle) -> None:
    keys = [row["idempotency_key"] for row in ten.rows("SELECT * FROM bridge.export_queue ORDER BY id")]
    locked = {"item": "retry", "message": "locked"}
    oracle.faults(*[{"match": {"key": key}, "action": locked} for key in keys[1:]])
    drained = ten.push(oracle, settings=ALONE)
    assert (drained.sent, drained.failed) == (1, 9)
    assert not ten.rows("SELECT FROM bridge.destination_state WHERE breaker_open_until IS NOT NULL")


def test_an_outage_kills_nothing_where_fewer_attempts_are_allowed_than_before(
    ten: Bridge, oracle: SandboxOracle
) -> None:
    run(ten, "UPDATE bridge.export_queue SET attempts = 5")
    oracle.faults({"match": {}, "action": {"status": 503}})
    assert ten.push(oracle, settings=Settings(max_attempts=3, requests_in_flight=1)).counts() | {"requests": 0} == {
        "sent": 0, "failed": 10, "dead": 0, "released": 0, "requests": 0,
    }  # fmt: skip


def test_an_absurd_retry_after_loses_no_answer(ten: Bridge, oracle: SandboxOracle) -> None:
    header = {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}
    oracle.faults({"match": {}, "action": {"status": 200, "store": True, "body": "", "headers": header}})
    assert ten.push(oracle).sent == 10
    assert set(oracle.times_received().values()) == {1}


def test_a_redirect_to_an_address_that_cannot_be_is_a_problem_of_the_destination(
    ten: Bridge, oracle: SandboxOracle
) -> None:
    oracle.faults({"match": {}, "action": {"status": 302, "headers": {"Location": "http://[oracle/"}}})
    with pytest.raises(OracleRefused, match="answered 302"):
        ten.push(oracle)
    assert ten.states() == {"queued": 10}


def rest(bridge: Bridge) -> None:
    """As another drain does that was asked to."""
    run(
        bridge,
        """INSERT INTO bridge.destination_state (destination, not_before, reason, changed_at)
           VALUES (:code, :now + interval '1 h', 'asked to be left alone', :now)""",
        code=DESTINATION,
        now=bridge.now,
    )


def shadow_on(bridge: Bridge) -> None:
    """As a person does for one destination."""
    with bridge.staging.begin() as transaction:
        setting.write(transaction, scope=DESTINATION, name="shadow", value=True, by="ann", now=bridge.now)


def all_off(bridge: Bridge) -> None:
    """As a person does for everything."""
    with bridge.staging.begin() as transaction:
        setting.write(transaction, name="enabled", value=False, by="ann", now=bridge.now)


@pytest.mark.parametrize("happens", [rest, shadow_on, all_off])
def test_a_drain_that_has_requests_in_hand_sees_that_they_may_not_go(
    hundred_alone: Bridge, oracle: SandboxOracle, happens: Callable[[Bridge], None]
) -> None:
    oracle.faults({"match": {}, "action": {"delay": 0.05}})
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(hundred_alone.push, oracle, settings=SETTINGS.model_copy(update={"requests_in_flight": 1}))
        oracle.wait(keys_stored=1)
        assert hundred_alone.states().get("queued", 0) == 0, "all are in hand"
        happens(hundred_alone)
    sent = pushed.result().sent
    assert 0 < sent < 100
    rows = hundred_alone.rows("SELECT state, first_posted_at IS NULL AS never, count(*) AS items "
                              "FROM bridge.export_queue GROUP BY 1, 2 ORDER BY 1")  # fmt: skip
    assert rows == [{"state": "queued", "never": True, "items": 100 - sent},
                    {"state": "sent", "never": False, "items": sent}]  # fmt: skip
