"""A completion that was sent and is then edited or lost: the destination is told, if it wants to know."""

from base64 import b32encode
from dataclasses import replace
from hashlib import sha256

import pytest

from tests.bridge import DESTINATION, Bridge
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle

pytestmark = pytest.mark.staging("has_read")

Pair = tuple[int, int]
MOVED = 1_600_000_000


@pytest.fixture
def delivered(bridge: Bridge, oracle: SandboxOracle) -> Pair:
    """A completion that Oracle has, which wants corrections and withdrawals."""
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, corrections=True, withdrawals=True)])
    pair = bridge.totara.pair_with(status=25)
    bridge.totara.complete(*pair)
    assert bridge.extract().queued == 1
    assert bridge.push(oracle).sent == 1
    bridge.later(minutes=1)
    return pair


def items(bridge: Bridge) -> list[tuple[str, int, str]]:
    return [
        (row["kind"], row["revision"], row["state"])
        for row in bridge.rows("SELECT kind, revision, state FROM bridge.export_queue ORDER BY id")
    ]


def test_an_edit_is_a_correction_sent_once(bridge: Bridge, delivered: Pair, oracle: SandboxOracle) -> None:
    bridge.totara.edit_date(*delivered, at=MOVED)
    news = bridge.extract()
    assert (news.corrections, news.reported, news.queued) == (1, 0, 0)
    assert not bridge.full_compare().changed
    assert bridge.push(oracle).sent == 1
    assert bridge.push(oracle).sent == 0
    assert items(bridge) == [("completion", 1, "sent"), ("correction", 2, "sent")]
    [instance] = bridge.instances(delivered)
    key = "TB" + b32encode(sha256(f"{instance['record_key']}:correction:2".encode()).digest()).decode()[:26]
    assert set(oracle.stored_keys()) == {instance["record_key"], key}
    [correction] = oracle.items(key=key)
    assert (correction["payload"]["kind"], correction["payload"]["revision"]) == ("correction", 2)
    assert correction["payload"]["timecompleted"] == "2020-09-13T12:26:40Z"


@pytest.mark.parametrize("loss", ["delete_completion", "regress"])
def test_a_loss_is_a_withdrawal_and_coming_back_a_correction(
    bridge: Bridge, delivered: Pair, oracle: SandboxOracle, loss: str
) -> None:
    getattr(bridge.totara, loss)(*delivered)
    news = bridge.extract()
    assert (news.withdrawals, news.reported, news.cancelled) == (1, 0, 0)
    assert bridge.push(oracle).sent == 1
    assert items(bridge) == [("completion", 1, "sent"), ("withdrawal", 1, "sent")]
    if loss == "regress":
        bridge.totara.complete(*delivered, at=MOVED)
        assert bridge.extract().corrections == 1
        assert bridge.push(oracle).sent == 1
        assert items(bridge)[-1] == ("correction", 2, "sent")


def test_a_correction_that_was_not_posted_is_cancelled_by_a_loss(bridge: Bridge, delivered: Pair) -> None:
    bridge.totara.edit_date(*delivered, at=MOVED)
    bridge.extract()
    bridge.totara.delete_completion(*delivered)
    news = bridge.extract()
    assert (news.cancelled, news.withdrawals) == (1, 1)
    assert items(bridge)[1:] == [("correction", 2, "cancelled"), ("withdrawal", 2, "queued")]


def test_amendments_are_sent_in_their_order(bridge: Bridge, delivered: Pair, oracle: SandboxOracle) -> None:
    for at in (MOVED, MOVED + 1):
        bridge.totara.edit_date(*delivered, at=at)
        bridge.extract()
    [second] = bridge.rows("SELECT idempotency_key FROM bridge.export_queue WHERE revision = 2")
    oracle.faults({"match": {"key": second["idempotency_key"]}, "action": {"item": "retry"}})
    assert bridge.push(oracle).failed == 1
    assert items(bridge)[1:] == [("correction", 2, "failed"), ("correction", 3, "queued")]
    oracle.faults()
    assert bridge.push_later(oracle).sent == 2
    assert [item["payload"]["revision"] for item in reversed(oracle.items())] == [1, 2, 3]


def test_what_is_not_wanted_is_reported(bridge: Bridge, delivered: Pair) -> None:
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION)])
    bridge.totara.edit_date(*delivered, at=MOVED)
    assert (bridge.extract().reported, bridge.states()) == (1, {"sent": 1})


@pytest.mark.parametrize("corrections", [True, False])
def test_a_withdrawal_that_was_not_posted_is_cancelled_when_the_completion_is_back(
    bridge: Bridge, delivered: Pair, oracle: SandboxOracle, corrections: bool
) -> None:
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, corrections=corrections, withdrawals=True)])
    bridge.totara.regress(*delivered)
    assert bridge.extract().withdrawals == 1
    bridge.totara.complete(*delivered)
    assert bridge.extract().cancelled == 1
    assert bridge.push(oracle).sent == int(corrections)
    assert "withdrawal" not in {item["payload"]["kind"] for item in oracle.items()}
    bridge.totara.regress(*delivered)
    assert bridge.extract().withdrawals == 1
    assert bridge.push(oracle).sent == 1
    assert items(bridge)[-1] == ("withdrawal", 2, "sent")


def test_a_destination_whose_route_takes_the_site_no_more_hears_of_what_it_has_and_gets_nothing_new(
    bridge: Bridge, delivered: Pair, oracle: SandboxOracle
) -> None:
    others = [bridge.totara.pair_with(status=25, nth=nth) for nth in (0, 20)]
    queued, new = others
    bridge.totara.complete(*queued)
    bridge.extract()
    bridge.later(minutes=1)
    elsewhere = Wants(DESTINATION, corrections=True, withdrawals=True, route=Route(sites=("other",)))
    bridge.plan = replace(bridge.plan, destinations=[elsewhere])
    bridge.totara.edit_date(*delivered, at=MOVED)
    bridge.totara.edit_date(*queued, at=MOVED)
    bridge.totara.complete(*new)
    news = bridge.extract()
    assert (news.instances.new, news.queued, news.corrections, news.replaced) == (1, 0, 1, 1)
    assert bridge.push(oracle).sent == 2
    assert {item["payload"]["timecompleted"] for item in oracle.items()[:2]} == {"2020-09-13T12:26:40Z"}
    bridge.totara.delete_completion(*delivered)
    assert bridge.extract().withdrawals == 1


@pytest.mark.staging("empty")
def test_a_destination_whose_route_never_took_the_site_gets_no_baseline_there(bridge: Bridge) -> None:
    elsewhere = Wants("elsewhere", route=Route(sites=("other",), audiences=("nowhere",)))
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION), elsewhere])
    assert bridge.plan.audiences == frozenset()
    assert bridge.extract().baseline == (DESTINATION,)
    assert [row["destination"] for row in bridge.rows("SELECT * FROM bridge.baseline")] == [DESTINATION]
