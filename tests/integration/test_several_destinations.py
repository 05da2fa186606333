"""Several destinations: each has its own status, settings, route, template and baseline, and none waits for another."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.bridge import DESTINATION, SETTINGS, Bridge
from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import by_hand, setting
from totara_bridge.staging.trace import items_of, trace
from totara_bridge.template import DEFAULT, Field, Template

OTHER = "other"
SMALL = SETTINGS.model_copy(update={"batch_size": 2, "requests_in_flight": 2})


@pytest.fixture
def other() -> Iterator[SandboxOracle]:
    """The second destination's sandbox."""
    with SandboxOracle() as running:
        yield running


@pytest.fixture
def two(bridge: Bridge) -> Bridge:
    """A bridge past its baselines at two destinations."""
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION), Wants(OTHER)])
    bridge.extract()
    bridge.later(minutes=1)
    return bridge


def complete(bridge: Bridge, count: int = 1) -> None:
    """That many learners complete a course, and it is extracted."""
    for _ in range(count):
        bridge.totara.complete(*bridge.totara.pair_with(status=25))
    bridge.extract()
    bridge.later(minutes=1)


def states(bridge: Bridge, destination: str) -> dict[str, int]:
    """How many of its items are in each state."""
    found = bridge.rows(
        "SELECT state, count(*) AS items FROM bridge.export_queue WHERE destination = :it GROUP BY state",
        it=destination,
    )
    return {row["state"]: row["items"] for row in found}


def queue_of(bridge: Bridge, destination: str) -> list[dict[str, Any]]:
    """All that is known of its items, but for what only tells them from those of others."""
    return bridge.rows("SELECT * FROM bridge.export_queue WHERE destination = :it ORDER BY id", it=destination)


def test_each_instance_has_its_own_status_at_each(two: Bridge, oracle: SandboxOracle, other: SandboxOracle) -> None:
    complete(two)
    [key] = {str(row["idempotency_key"]) for at in (DESTINATION, OTHER) for row in queue_of(two, at)}
    other.faults({"match": {"key": key}, "action": {"item": "rejected", "code": "X", "message": "No."}})
    assert two.push(oracle).sent == 1
    assert two.push(other, destination=OTHER).dead == 1
    assert (states(two, DESTINATION), states(two, OTHER)) == ({"sent": 1}, {"dead": 1})
    assert [row["destination"] for row in two.rows("SELECT * FROM bridge.delivery")] == [DESTINATION]
    [item] = [row["id"] for row in queue_of(two, OTHER)]
    before = queue_of(two, DESTINATION)
    with two.staging.begin() as transaction:
        assert by_hand.requeue(transaction, [item], by="ann", words=None, now=two.now).done == 1
    other.faults()
    assert two.push(other, destination=OTHER).sent == 1
    assert queue_of(two, DESTINATION) == before
    assert (oracle.times_received(), other.times_received()) == ({key: 1}, {key: 2})
    with two.staging.connect() as transaction:
        traces = [trace(transaction, item_id=each) for each in items_of(transaction, key)]
    stories = {each.destination: [entry.what for entry in each.entries] for each in traces if each is not None}
    assert stories == {
        DESTINATION: ["extract", "enqueue", "acknowledge"],
        OTHER: ["extract", "enqueue", "reject", "requeue", "acknowledge"],
    }


def test_two_drains_at_the_same_time_send_everything_once_to_each(
    two: Bridge, oracle: SandboxOracle, other: SandboxOracle
) -> None:
    queued = two.backfill().queued
    assert two.backfill(destination=OTHER).queued == queued
    together = threading.Barrier(2)

    def push(to: SandboxOracle, destination: str) -> int:
        together.wait()
        return two.push(to, destination=destination, settings=SMALL).sent

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(push, (oracle, other), (DESTINATION, OTHER))) == [queued] * 2
    for each in (oracle, other):
        assert set(each.times_received().values()) == {1}
        assert len(each.stored_keys()) == queued


def test_one_that_hangs_does_not_hold_up_the_other(two: Bridge, oracle: SandboxOracle, other: SandboxOracle) -> None:
    complete(two, 6)
    other.faults({"action": {"hang": "before"}})
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(two.push, other, destination=OTHER, settings=SMALL, timeout=300)
        other.wait(in_flight=2)
        assert two.push(oracle, settings=SMALL).sent == 6
        complete(two, 2)
        assert two.push(oracle, settings=SMALL).sent == 2
        assert states(two, DESTINATION) == {"sent": 8}
        assert other.received()["in_flight"] == 2
        assert states(two, OTHER) == {"sending": 6, "queued": 2}  # a third batch is claimed ahead
        assert not hanging.done()
        other.faults()
        other.release()
        assert hanging.result().sent == 8
    assert set(other.times_received().values()) == {1}


def test_one_that_is_down_changes_nothing_for_the_other(
    two: Bridge, oracle: SandboxOracle, other: SandboxOracle
) -> None:
    complete(two, 6)
    other.faults({"action": {"status": 503}})
    with pytest.raises(OracleUnavailable, match=f"destination {OTHER} failed several times"):
        two.push(other, destination=OTHER, settings=SMALL)
    assert two.push(oracle, settings=SMALL).sent == 6
    assert [row["destination"] for row in two.rows("SELECT * FROM bridge.destination_state")] == [OTHER]
    complete(two, 1)
    assert two.push(oracle).sent == 1
    assert "sent" not in states(two, OTHER)
    other.faults()
    assert two.push_later(oracle).requests == 0
    assert two.push(other, destination=OTHER).sent == 7
    assert {row["attempts"] for row in queue_of(two, OTHER)} == {0}


@pytest.mark.parametrize(
    ("action", "stops"),
    [({"status": 429, "headers": {"Retry-After": "3600"}}, None), ({"status": 403}, OracleRefused)],
)
def test_one_that_wants_to_be_left_alone_or_refuses_speaks_for_itself_only(
    two: Bridge, oracle: SandboxOracle, other: SandboxOracle, action: dict[str, object], stops: type[Exception] | None
) -> None:
    complete(two)
    other.faults({"action": action})
    if stops is None:
        two.push(other, destination=OTHER)
    else:
        with pytest.raises(stops):
            two.push(other, destination=OTHER)
    assert two.push(oracle).sent == 1
    assert "sent" not in states(two, OTHER)


def test_each_has_its_own_settings(two: Bridge, oracle: SandboxOracle, other: SandboxOracle) -> None:
    complete(two, 3)
    with two.staging.begin() as transaction:
        setting.write(transaction, scope=OTHER, name="batch_size", value=1, by="ann", now=two.now)
        settings = {each: setting.read(transaction, each) for each in (DESTINATION, OTHER)}
    assert two.push(oracle, settings=settings[DESTINATION]).requests == 1
    assert two.push(other, destination=OTHER, settings=settings[OTHER]).requests == 3


def test_each_has_its_own_template_and_route(bridge: Bridge, oracle: SandboxOracle, other: SandboxOracle) -> None:
    template = Template(name="hr", version=3, fields=DEFAULT.fields | {"origin": Field(constant="totara")})
    bridge.extract()
    open_pairs = bridge.rows(
        """
        SELECT DISTINCT ON (c.course_id) c.user_id, c.course_id
        FROM bridge.completion c JOIN bridge.learner l USING (site, user_id)
        WHERE c.status IN ('in_progress', 'not_started') AND l.deleted_at IS NULL ORDER BY c.course_id, c.user_id
        """
    )
    pairs = [(row["user_id"], row["course_id"]) for row in open_pairs]
    assert len(pairs) > 1
    chosen = pairs[0][1]
    [course] = bridge.rows("SELECT short_name FROM bridge.course WHERE course_id = :it", it=chosen)
    route = Route(courses=(course["short_name"],))
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION), Wants(OTHER, template=template, route=route)])
    bridge.extract()
    bridge.later(minutes=1)
    for pair in pairs:
        bridge.totara.complete(*pair)
    bridge.extract()
    assert bridge.push(oracle).sent == len(pairs)
    assert bridge.push(other, destination=OTHER).sent == 1
    assert {item["payload"]["courseId"] for item in other.items()} == {chosen}
    assert {item["payload"]["origin"] for item in other.items()} == {"totara"}
    assert all("origin" not in item["payload"] for item in oracle.items())
    assert {row["template"] for row in queue_of(bridge, OTHER)} == {"hr/3"}
    assert {row["template"] for row in queue_of(bridge, DESTINATION)} == {DEFAULT.label}


def test_one_that_is_added_later_begins_with_a_baseline(
    bridge: Bridge, oracle: SandboxOracle, other: SandboxOracle
) -> None:
    bridge.extract()
    bridge.later(minutes=1)
    complete(bridge, 2)
    assert bridge.push(oracle).sent == 2
    before = queue_of(bridge, DESTINATION)
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION), Wants(OTHER)])
    added = bridge.extract()
    assert (added.baseline, added.queued) == ((OTHER,), 0)
    bridge.later(minutes=1)
    past = bridge.rows("SELECT user_id, course_id FROM bridge.completion_instance ORDER BY id DESC LIMIT 1")[0]
    bridge.totara.edit_date(past["user_id"], past["course_id"], at=1_600_000_000)
    assert bridge.extract().queued == 0
    assert queue_of(bridge, OTHER) == []
    bridge.later(minutes=1)
    complete(bridge)
    assert (states(bridge, DESTINATION), states(bridge, OTHER)) == ({"sent": 2, "queued": 1}, {"queued": 1})
    assert bridge.push(other, destination=OTHER).sent == 1
    assert bridge.backfill(destination=OTHER).queued > 2
    assert queue_of(bridge, DESTINATION)[:2] == before
    assert bridge.push(other, destination=OTHER).sent > 2
    assert set(other.times_received().values()) == {1}
    [edited] = [
        item["payload"]
        for item in other.items(limit=1000)
        if (item["payload"]["userId"], item["payload"]["courseId"]) == (past["user_id"], past["course_id"])
        and item["payload"]["revision"] == 2
    ]
    assert edited["timecompleted"] == "2020-09-13T12:26:40Z"


def test_each_wants_to_know_of_changes_or_not(bridge: Bridge, oracle: SandboxOracle, other: SandboxOracle) -> None:
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, corrections=True), Wants(OTHER)])
    bridge.extract()
    bridge.later(minutes=1)
    pair = bridge.totara.pair_with(status=25)
    bridge.totara.complete(*pair)
    bridge.extract()
    bridge.push(oracle)
    bridge.push(other, destination=OTHER)
    bridge.later(minutes=1)
    bridge.totara.edit_date(*pair, at=1_600_000_000)
    news = bridge.extract()
    assert (news.corrections, news.reported) == (1, 1)
    assert [row["kind"] for row in queue_of(bridge, DESTINATION)] == ["completion", "correction"]
    assert [row["kind"] for row in queue_of(bridge, OTHER)] == ["completion"]
