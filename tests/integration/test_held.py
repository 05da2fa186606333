"""What cannot be sent yet is held, at no cost, and goes to the queue when nothing is missing any more."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, SITE, Bridge
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import completion, mapping
from totara_bridge.staging.mapping import Mapping, MappingKind
from totara_bridge.template import DEFAULT, Field, Template

pytestmark = pytest.mark.staging("has_read")

Pair = tuple[int, int]

NUMBERS = {
    "learner": Field(source="learner_number", required=True),
    "course.number": Field(source="course_number", required=True),
}


def numbered(version: int = 1, **fields: Field) -> Template:
    """The published contract with the destination's own numbers, or what is given instead of them."""
    return Template(name="numbered", version=version, fields=DEFAULT.fields | (fields or NUMBERS))


WANTS = Wants(DESTINATION, corrections=True, withdrawals=True, template=numbered())


@pytest.fixture
def bridge(bridge: Bridge) -> Bridge:
    """A bridge past its baseline, to a destination that has numbers of its own for learners and courses."""
    bridge.plan = replace(bridge.plan, destinations=[WANTS])
    return bridge


@pytest.fixture
def held(bridge: Bridge) -> Pair:
    """A completion that waits for both numbers."""
    pair = bridge.totara.pair_with(status=25)
    bridge.totara.complete(*pair)
    news = bridge.extract()
    assert (news.queued, news.held) == (0, 1)
    bridge.later(minutes=1)
    return pair


def give(bridge: Bridge, kind: MappingKind, totara_id: int, number: str) -> None:
    """Say what the destination calls a learner or a course."""
    with bridge.staging.begin() as transaction:
        mapping.put(
            transaction,
            Mapping(SITE, totara_id, number),
            destination=DESTINATION,
            kind=kind,
            by="ann",
            now=bridge.now,
        )


def number(bridge: Bridge, pair: Pair) -> None:
    """Give both numbers."""
    give(bridge, "learner", pair[0], "L-1")
    give(bridge, "course", pair[1], "C-1")


def look(bridge: Bridge, wants: Wants = WANTS) -> int:
    """Look whether held items can be sent."""
    return unhold(bridge.staging, wants, bridge.now)


def change(bridge: Bridge, statement: str) -> None:
    """Run a statement on staging, and commit."""
    with bridge.staging.begin() as transaction:
        transaction.execute(text(statement))


def items(bridge: Bridge) -> list[dict[str, Any]]:
    return bridge.rows("SELECT * FROM bridge.export_queue ORDER BY id")


def events(bridge: Bridge) -> list[tuple[str, str, str]]:
    found = bridge.rows("SELECT verb, actor, words FROM bridge.item_event ORDER BY id")
    return [(row["verb"], row["actor"], row["words"]) for row in found]


def test_a_held_item_is_never_claimed_and_uses_no_attempt(bridge: Bridge, held: Pair, oracle: SandboxOracle) -> None:
    assert bridge.push(oracle).requests == 0
    [item] = items(bridge)
    assert (item["state"], item["held_for"], item["held_at"]) == (
        "held",
        "course_number, learner_number",
        item["queued_at"],
    )
    assert (item["attempts"], item["failures"], item["template"]) == (0, 0, "numbered/1")
    assert [item["idempotency_key"]] == [instance["record_key"] for instance in bridge.instances(held)]
    assert events(bridge) == [
        ("hold", "extract", "the template numbered/1 needs what is missing: course_number, learner_number")
    ]


def test_it_is_queued_when_nothing_is_missing_any_more(bridge: Bridge, held: Pair, oracle: SandboxOracle) -> None:
    assert look(bridge) == 0
    give(bridge, "learner", held[0], "L-1")
    assert look(bridge) == 0
    [item] = items(bridge)
    assert (item["state"], item["held_for"], item["held_at"]) == ("held", "course_number", bridge.now)
    give(bridge, "course", held[1], "C-1")
    assert look(bridge) == 1
    assert look(bridge) == 0
    [item] = items(bridge)
    assert (item["state"], item["held_for"], item["next_attempt_at"]) == ("queued", None, bridge.now)
    assert events(bridge)[1:] == [("unhold", "unhold", "nothing is missing any more")]
    assert bridge.push(oracle).sent == 1
    [sent] = oracle.items()
    assert (sent["payload"]["learner"], sent["payload"]["course"]["number"]) == ("L-1", "C-1")


def test_a_mapping_of_another_site_learner_or_destination_helps_nobody(bridge: Bridge, held: Pair) -> None:
    give(bridge, "learner", held[1], "C-1")
    give(bridge, "course", held[0] + held[1] + 1, "C-2")
    with bridge.staging.begin() as transaction:
        for kind, totara_id in (("learner", held[0]), ("course", held[1])):
            mapping.put(
                transaction,
                Mapping(SITE, totara_id, "X"),
                destination="another",
                kind="learner" if kind == "learner" else "course",
                by="ann",
                now=bridge.now,
            )
    assert look(bridge) == 0
    assert [item["held_for"] for item in items(bridge)] == ["course_number, learner_number"]


def test_what_is_mapped_already_is_queued_at_once(bridge: Bridge) -> None:
    pair = bridge.totara.pair_with(status=25)
    number(bridge, pair)
    bridge.totara.complete(*pair)
    news = bridge.extract()
    assert (news.queued, news.held) == (1, 0)
    assert events(bridge) == []


def test_a_backfill_holds_too_and_what_it_held_keeps_its_lane(bridge: Bridge) -> None:
    dry = bridge.backfill(dry_run=True)
    assert (dry.queued, dry.held) == (0, 0)
    done = bridge.backfill()
    assert (done.queued, done.held) == (0, done.found.lacking)
    again = bridge.backfill()
    assert (again.queued, again.held) == (0, 0)
    first = items(bridge)[0]
    [who] = bridge.rows("SELECT * FROM bridge.completion_instance WHERE id = :id", id=first["instance_id"])
    number(bridge, (who["user_id"], who["course_id"]))
    assert look(bridge) >= 1
    assert {item["lane"] for item in items(bridge)} == {"backfill"}


def test_another_template_is_another_look(bridge: Bridge, held: Pair) -> None:
    assert look(bridge, replace(WANTS, template=numbered(2, learner=Field(source="learner_number")))) == 1
    [item] = items(bridge)
    assert (item["state"], item["template"]) == ("queued", "numbered/2")


def test_a_template_that_asks_for_less_still_holds_what_lacks_the_rest(bridge: Bridge, held: Pair) -> None:
    modest = replace(WANTS, template=numbered(2, learner=NUMBERS["learner"]))
    assert look(bridge, modest) == 0
    [item] = items(bridge)
    assert (item["state"], item["template"], item["held_for"]) == ("held", "numbered/2", "learner_number")
    assert look(bridge, modest) == 0


def test_a_template_that_changed_under_its_version_is_refused(bridge: Bridge, held: Pair) -> None:
    give(bridge, "learner", held[0], "L-1")
    with pytest.raises(ConfigurationInvalid, match="raise its version"):
        look(bridge, replace(WANTS, template=numbered(1, learner=NUMBERS["learner"])))


def test_a_revision_holds_what_was_queued_and_unholds_it_again(bridge: Bridge) -> None:
    pair = bridge.totara.pair_with(status=25)
    number(bridge, pair)
    bridge.totara.complete(*pair)
    assert bridge.extract().queued == 1
    change(bridge, "UPDATE bridge.export_queue SET shadowed_at = now()")
    give(bridge, "course", pair[1], "")
    bridge.later(minutes=1)
    bridge.totara.edit_date(*pair, at=1_600_000_000)
    assert bridge.extract().replaced == 1
    [item] = items(bridge)
    assert (item["state"], item["held_for"], item["revision"], item["shadowed_at"]) == (
        "held",
        "course_number",
        2,
        None,
    )
    give(bridge, "course", pair[1], "C-2")
    bridge.totara.edit_date(*pair, at=1_600_000_001)
    assert bridge.extract().replaced == 1
    [item] = items(bridge)
    assert (item["state"], item["revision"]) == ("queued", 3)
    assert '"number":"C-2"' in item["payload"]
    assert [(verb, actor) for verb, actor, _ in events(bridge)] == [("hold", "extract"), ("unhold", "extract")]


def test_what_totara_loses_is_cancelled_while_it_is_held(bridge: Bridge, held: Pair) -> None:
    bridge.totara.delete_completion(*held)
    assert bridge.extract().cancelled == 1
    number(bridge, held)
    assert look(bridge) == 0
    assert [(item["state"], item["held_for"]) for item in items(bridge)] == [("cancelled", None)]


@pytest.fixture
def sent(bridge: Bridge, held: Pair, oracle: SandboxOracle) -> Pair:
    """A completion that Oracle has, whose course it has then lost the number of."""
    number(bridge, held)
    look(bridge)
    assert bridge.push(oracle).sent == 1
    give(bridge, "course", held[1], "")
    bridge.later(minutes=1)
    return held


def test_corrections_are_held_and_keep_their_order_and_keys(bridge: Bridge, sent: Pair, oracle: SandboxOracle) -> None:
    for at in (1_600_000_000, 1_600_000_001):
        bridge.totara.edit_date(*sent, at=at)
        assert bridge.extract().corrections == 1
        bridge.later(minutes=1)
    keys = [item["idempotency_key"] for item in items(bridge)]
    give(bridge, "course", sent[1], "C-9")
    assert look(bridge) == 2
    assert [(item["kind"], item["revision"], item["state"]) for item in items(bridge)] == [
        ("completion", 1, "sent"),
        ("correction", 2, "queued"),
        ("correction", 3, "queued"),
    ]
    assert [item["idempotency_key"] for item in items(bridge)] == keys
    assert bridge.push(oracle).sent == 2
    assert [item["payload"]["revision"] for item in reversed(oracle.items())] == [1, 2, 3]


def test_a_withdrawal_is_held_for_numbers_only(bridge: Bridge, sent: Pair, oracle: SandboxOracle) -> None:
    known = numbered(2, **NUMBERS | {"idNumber": Field(source="user.id_number", required=True)})
    change(bridge, "UPDATE bridge.learner SET id_number = ''")
    bridge.plan = replace(bridge.plan, destinations=[replace(WANTS, template=known)])
    bridge.totara.delete_completion(*sent)
    assert bridge.extract().withdrawals == 1
    [_, withdrawal] = items(bridge)
    assert (withdrawal["state"], withdrawal["held_for"]) == ("held", "course_number")
    give(bridge, "course", sent[1], "C-9")
    assert look(bridge, replace(WANTS, template=known)) == 1
    assert bridge.push(oracle).sent == 1
    assert oracle.items()[0]["payload"]["kind"] == "withdrawal"


def test_looking_in_slices_two_at_a_time_queues_each_once(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totara_bridge.extract.unhold.SLICE", 50)
    held = bridge.backfill().held
    assert held > 200
    with bridge.staging.begin() as transaction:
        found = bridge.rows("SELECT DISTINCT user_id, course_id FROM bridge.completion_instance")
        for kind, name in (("learner", "user_id"), ("course", "course_id")):
            mapping.load(
                transaction,
                [Mapping(SITE, each, f"N-{each}") for each in {row[name] for row in found}],
                destination=DESTINATION,
                kind="learner" if kind == "learner" else "course",
                by="ann",
                now=bridge.now,
            )
    queued: list[int] = []
    looks = [threading.Thread(target=lambda: queued.append(look(bridge))) for _ in range(3)]
    for each in looks:
        each.start()
    for each in looks:
        each.join()
    assert sum(queued) == held
    assert bridge.states() == {"queued": held}
    assert len(bridge.rows("SELECT FROM bridge.item_event WHERE verb = 'unhold'")) == held


@pytest.fixture
def merging(bridge: Bridge) -> Iterator[None]:
    """An extract merges at this moment, and does not end."""
    with bridge.staging.begin() as transaction:
        completion.begin_merge(transaction)
        yield


def test_a_look_in_vain_waits_for_no_merge(bridge: Bridge, held: Pair, merging: None) -> None:
    give(bridge, "course", held[1], "C-1")
    change(bridge, "UPDATE bridge.export_queue SET held_for = 'learner_number'")
    assert look(bridge) == 0


def test_a_change_that_is_committed_late_with_an_early_time_is_seen(bridge: Bridge, held: Pair) -> None:
    """A load that began before a look, and was committed after it."""
    before = bridge.now
    bridge.later(hours=1)
    assert look(bridge) == 0
    bridge.now, now = before, bridge.now
    number(bridge, held)
    bridge.now = now
    assert look(bridge) == 1


def test_a_revision_of_what_is_dead_leaves_it_to_a_person(bridge: Bridge, held: Pair) -> None:
    change(
        bridge,
        "UPDATE bridge.export_queue SET state = 'dead', error_class = 'too_large', held_for = NULL, held_at = NULL",
    )
    bridge.totara.edit_date(*held, at=1_600_000_000)
    assert bridge.extract().replaced == 1
    assert [(item["state"], item["revision"]) for item in items(bridge)] == [("dead", 2)]


def test_a_withdrawal_is_cancelled_while_it_is_held_when_the_completion_is_back(bridge: Bridge, sent: Pair) -> None:
    bridge.totara.regress(*sent)
    assert bridge.extract().withdrawals == 1
    bridge.totara.complete(*sent)
    assert bridge.extract().cancelled == 1
    give(bridge, "course", sent[1], "C-9")
    look(bridge)
    assert [(item["kind"], item["state"]) for item in items(bridge)] == [
        ("completion", "sent"),
        ("withdrawal", "cancelled"),
        ("correction", "queued"),
    ]
