"""A destination that says it is asked too fast is asked more slowly, by all drains together, and faster again."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.bridge import ALL, DESTINATION, Bridge
from totara_bridge.errors import OracleUnavailable
from totara_bridge.push.flow import FAILURES_TO_OPEN
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.staging import destination

SETTINGS = Settings(batch_size=25, requests_in_flight=4)
FEW = Settings(batch_size=40, requests_in_flight=4)
TOO_FAST: dict[str, Any] = {"match": {}, "action": {"status": 429}}


@pytest.fixture
def ten(bridge: Bridge) -> Bridge:
    """A bridge with ten items in its queue."""
    bridge.queue_new(10)
    return bridge


def run(bridge: Bridge, statement: str, **values: object) -> None:
    with bridge.staging.begin() as transaction:
        transaction.execute(text(statement), values)


def set_rate(bridge: Bridge, rate: float, *, next_turn: str = "0 s") -> None:
    """As if it had been lowered to this a while ago, with turns taken for so long."""
    run(
        bridge,
        """INSERT INTO bridge.destination_state (destination, rate, rate_lowered_at, next_request_at, changed_at)
           VALUES (:code, :rate, now() - interval '1 h', now() + cast(:next AS interval), now())""",
        code=DESTINATION,
        rate=rate,
        next=next_turn,
    )


def forget(bridge: Bridge, column: str) -> None:
    """From now on the database loses this column of the destination's state whenever it is written."""
    run(
        bridge,
        f"""
        CREATE FUNCTION bridge.forget() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.{column} := NULL; RETURN NEW; END';
        CREATE TRIGGER forget BEFORE INSERT OR UPDATE ON bridge.destination_state
            FOR EACH ROW EXECUTE FUNCTION bridge.forget()
        """,
    )


def state(bridge: Bridge) -> dict[str, Any]:
    [row] = bridge.rows("SELECT * FROM bridge.destination_state")
    return row


def share_refused(oracle: SandboxOracle, *, after: int) -> float:
    """Of the requests but the first so many, the share that was answered 429."""
    statuses = [request["status"] for request in reversed(oracle.requests(limit=10_000))][after:]
    return statuses.count(429) / len(statuses)


def queue_again(bridge: Bridge) -> None:
    """All items, as if none had been sent."""
    run(
        bridge,
        "UPDATE bridge.export_queue SET state = 'queued', failures = 0, sent_at = NULL, next_attempt_at = :now",
        now=bridge.now,
    )


def requests_per_second(bridge: Bridge) -> float:
    """How many this machine makes and answers now where nothing limits them; all items are queued again."""
    with SandboxOracle() as unlimited:
        begun = time.monotonic()
        requests = bridge.push(unlimited, settings=FEW).requests
        taken = time.monotonic() - begun
    queue_again(bridge)
    return requests / taken


def test_beyond_its_limit_all_arrive_with_few_refusals_and_no_attempts_used(
    queued: Bridge, oracle: SandboxOracle
) -> None:
    # a busy machine must go beyond it as well; at fewer than five in a second this would take too long
    oracle.settings(requests_per_second=min(8, max(5, requests_per_second(queued) // 8)))
    queued.push(oracle, settings=FEW)
    assert 0 < state(queued)["rate"] < destination.FASTEST
    while queued.states() != {"sent": ALL}:
        queued.later(hours=2)
        queued.push(oracle, settings=FEW)
    asked = oracle.requests(limit=10_000)
    adapted = share_refused(oracle, after=0)
    assert adapted > 0
    assert {row["attempts"] for row in queued.rows("SELECT attempts FROM bridge.export_queue")} == {0}
    assert len(oracle.stored_keys()) == len(set(oracle.stored_keys())) == ALL

    forget(queued, "rate")  # a bridge that does not adapt
    run(queued, "UPDATE bridge.destination_state SET rate = NULL")
    queue_again(queued)
    queued.push(oracle, settings=Settings(batch_size=10, requests_in_flight=4))
    assert share_refused(oracle, after=len(asked)) > 2 * adapted, (
        "it should be refused far more often than one that does"
    )


def test_a_refusal_halves_the_rate_and_a_good_request_raises_it_a_little(ten: Bridge, oracle: SandboxOracle) -> None:
    set_rate(ten, 20)
    oracle.faults({"match": {"next": 1}, "action": {"status": 429}})
    one_by_one = Settings(batch_size=5, requests_in_flight=1)
    drained = ten.push(oracle, settings=one_by_one)
    assert (drained.sent, drained.failed) == (5, 5)
    assert float(state(ten)["rate"]) == pytest.approx(10 + 0.5 / 10)
    rows = ten.rows("SELECT DISTINCT attempts, lane FROM bridge.export_queue WHERE state = 'failed'")
    assert rows == [{"attempts": 0, "lane": "retry"}]


def test_the_first_refusal_halves_what_was_measured(ten: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults({"match": {"nth": 2}, "action": {"status": 429}})
    ten.push(oracle, settings=Settings(batch_size=5, requests_in_flight=1))
    # two requests within a second or longer are at most two a second; the first one's answer may be written down last
    assert 0 < state(ten)["rate"] <= 1 + 0.5 / 1


def test_what_is_refused_together_counts_once_and_opens_no_breaker(queued: Bridge, oracle: SandboxOracle) -> None:
    set_rate(queued, 40)
    oracle.faults({"match": {"next": 4}, "action": {"hang": "before", "status": 429}})
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(queued.push, oracle, settings=SETTINGS, stop=stop)
        oracle.wait(in_flight=4)
        stop.set()
        oracle.release()
    assert pushed.result().counts() == {"sent": 0, "failed": 100, "dead": 0, "released": 0, "requests": 4}
    assert float(state(queued)["rate"]) == 20
    assert state(queued)["breaker_open_until"] is None


def test_a_destination_that_refuses_at_the_slowest_rate_is_down(queued: Bridge, oracle: SandboxOracle) -> None:
    set_rate(queued, destination.SLOWEST)
    forget(queued, "next_request_at")  # no turn is waited for: each would take ten seconds
    oracle.faults(TOO_FAST)
    with pytest.raises(OracleUnavailable, match="failed several times in a row, the last with: HTTP 429"):
        queued.push(oracle, settings=Settings(batch_size=10, requests_in_flight=1))
    # what began before the answer to the one before it was written down counts together with it
    assert FAILURES_TO_OPEN <= len(oracle.requests()) <= 2 * FAILURES_TO_OPEN
    assert float(state(queued)["rate"]) == destination.SLOWEST
    assert state(queued)["breaker_open_until"] is not None


def test_at_the_fastest_there_is_no_rate_any_more(ten: Bridge, oracle: SandboxOracle) -> None:
    set_rate(ten, destination.FASTEST - 0.001)
    assert ten.push(oracle).sent == 10
    assert (state(ten)["rate"], state(ten)["next_request_at"]) == (None, None)


@pytest.mark.parametrize(("rate", "after"), [(0.1, 0.2), (0.5, 1.0), (1, 1.5), (10, 10.05)])
def test_a_rate_creeps_up_by_half_a_request_for_each_second_but_doubles_at_most(
    bridge: Bridge, rate: float, after: float
) -> None:
    set_rate(bridge, rate)
    with bridge.staging.begin() as transaction:
        destination.raise_rate(transaction, DESTINATION)
    assert float(state(bridge)["rate"]) == pytest.approx(after)


def test_all_drains_share_the_turns(bridge: Bridge) -> None:
    set_rate(bridge, 4, next_turn="1 h")
    before = state(bridge)["next_request_at"]

    def reserve(_: int) -> float | None:
        with bridge.staging.begin() as transaction:
            return destination.reserve(transaction, DESTINATION, within=7200)

    with ThreadPoolExecutor(8) as pool:
        turns = list(pool.map(reserve, range(16)))
    assert all(turn is not None and turn > 0 for turn in turns)
    assert state(bridge)["next_request_at"] - before == timedelta(seconds=16 / 4)


def test_a_turn_that_comes_too_late_is_not_taken(ten: Bridge, oracle: SandboxOracle) -> None:
    set_rate(ten, 0.1, next_turn="1 h")
    before = state(ten)["next_request_at"]
    queue = ten.rows("SELECT * FROM bridge.export_queue ORDER BY id")
    assert ten.push(oracle).requests == 0
    assert state(ten)["next_request_at"] == before
    assert ten.rows("SELECT * FROM bridge.export_queue ORDER BY id") == queue
    assert oracle.received()["requests"] == 0


def test_a_wait_for_a_turn_ends_with_the_drain_and_returns_the_lease(
    ten: Bridge, oracle: SandboxOracle, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    set_rate(ten, 0.1, next_turn="200 s")
    before = state(ten)["next_request_at"]
    queue = ten.rows("SELECT * FROM bridge.export_queue ORDER BY id")
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(ten.push, oracle, stop=stop)
        wait_until(lambda: state(ten)["next_request_at"] != before)
        assert ten.states() == {"sending": 10}
        stop.set()
    assert pushed.result().requests == 0
    assert ten.rows("SELECT * FROM bridge.export_queue ORDER BY id") == queue


def test_a_drain_that_is_stopped_has_taken_one_turn_at_most(
    ten: Bridge, oracle: SandboxOracle, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    set_rate(ten, 0.1, next_turn="200 s")
    before, stop = state(ten)["next_request_at"], threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(ten.push, oracle, settings=Settings(batch_size=1, requests_in_flight=4), stop=stop)
        wait_until(lambda: ten.states().get("sending", 0) == 8)
        wait_until(lambda: state(ten)["next_request_at"] != before)
        stop.set()
    assert pushed.result().requests == 0
    assert state(ten)["next_request_at"] - before == timedelta(seconds=10)
    assert ten.states() == {"queued": 10}


def test_a_short_rest_is_waited_for_and_a_long_one_is_not(ten: Bridge, oracle: SandboxOracle) -> None:
    hours = timedelta(hours=6)  # or an item that failed might be due again in the same drain
    settings = Settings(batch_size=5, requests_in_flight=1, retry_first=hours, retry_longest=hours)
    for seconds, sent in (("1", 5), ("3600", 0)):
        oracle.faults({"match": {"next": 1}, "action": {"status": 429, "headers": {"Retry-After": seconds}}})
        run(ten, "UPDATE bridge.destination_state SET not_before = NULL")
        drained = ten.push(oracle, settings=settings, clock=lambda: datetime.now(UTC))
        assert (drained.failed, drained.sent) == (5, sent)
        run(ten, "UPDATE bridge.export_queue SET state = 'queued', sent_at = NULL, next_attempt_at = queued_at")
