"""What gets into the queue gets in once, as it was given; what was never posted may still change or be withdrawn."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.items import DESTINATION, NOW, Items, a_new_item, items_in
from totara_bridge.route import Route
from totara_bridge.staging import deliverable, past, queue
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.past import Past, PastCount
from totara_bridge.staging.queue import NewItem
from totara_bridge.staging.states import Kind, Lane

PAST = Past(DESTINATION, ["sbx"], since=datetime(1970, 1, 1, tzinfo=UTC))
LATER = NOW + timedelta(minutes=5)


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("queue")) as opened:
        yield opened


@pytest.fixture
def items(database: Items) -> Items:
    """An empty queue of a destination that wants everything."""
    database.emptied()
    with database.staging.begin() as transaction:
        deliverable.set_baseline(transaction, destination=DESTINATION, site="sbx", now=NOW)
    return database


def enqueue(items: Items, new: Sequence[NewItem], *, destination: str = DESTINATION, lane: Lane = Lane.FRESH) -> int:
    """Queue them, and commit."""
    with items.staging.begin() as transaction:
        return queue.enqueue(transaction, new, destination=destination, lane=lane, now=NOW).queued


def touch(transaction: Transaction, instances: Sequence[int], change: str) -> None:
    """Say that the merge of this transaction did this to these instances."""
    transaction.execute(text("CREATE TEMPORARY TABLE touched_instance (id bigint, change text) ON COMMIT DROP"))
    transaction.execute(
        text("INSERT INTO touched_instance SELECT id, :change FROM unnest(cast(:ids AS bigint[])) id"),
        {"ids": list(instances), "change": change},
    )


def replace(items: Items, instance: int, *, destination: str = DESTINATION) -> int:
    """Give the instance's item the payload of revision 2."""
    new = a_new_item(instance, revision=2, payload='{"revision": 2}')
    with items.staging.begin() as transaction:
        return queue.replace_payloads(transaction, [new], destination=destination, by="extract", now=NOW).replaced


def cancel(items: Items, instances: Sequence[int], change: str = "lost") -> int:
    """Totara has these no more, or changed them."""
    with items.staging.begin() as transaction:
        touch(transaction, instances, change)
        return queue.cancel_untrue(transaction, now=NOW)


# enqueue


def test_an_item_is_queued_as_given_and_due_at_once(items: Items) -> None:
    [instance] = items.instances(1)
    staged = NOW - timedelta(days=2)
    new = a_new_item(instance, kind=Kind.WITHDRAWAL, revision=3, payload='{"a": 1}', staged_at=staged)
    assert enqueue(items, [new], lane=Lane.BACKFILL) == 1
    row = items.row(*items.of_instances([instance]))
    assert {name: row[name] for name in vars(new)} == vars(new)
    assert (row["state"], row["lane"], row["attempts"], row["failures"]) == ("queued", "backfill", 0, 0)
    assert (row["next_attempt_at"], row["queued_at"], row["first_posted_at"]) == (NOW, NOW, None)


def test_queueing_twice_queues_nothing_more(items: Items) -> None:
    new = [a_new_item(instance) for instance in items.instances(3)]
    assert enqueue(items, new) == 3
    before = items.sql("SELECT * FROM bridge.export_queue ORDER BY id")
    changed = [a_new_item(each.instance_id, payload="another") for each in new]
    assert enqueue(items, changed, lane=Lane.BACKFILL) == 0
    assert items.sql("SELECT * FROM bridge.export_queue ORDER BY id") == before


def test_the_same_item_twice_in_one_call_is_one_item(items: Items) -> None:
    [instance] = items.instances(1)
    assert enqueue(items, [a_new_item(instance), a_new_item(instance)]) == 1


def test_two_calls_in_one_transaction_do_not_mix(items: Items) -> None:
    first, second = items.instances(2)
    with items.staging.begin() as transaction:
        for instance, destination in ((first, "east"), (second, "west")):
            queue.enqueue(transaction, [a_new_item(instance)], destination=destination, lane=Lane.FRESH, now=NOW)
    found = items.sql("SELECT instance_id, destination FROM bridge.export_queue ORDER BY 1")
    assert [tuple(row.values()) for row in found] == [(first, "east"), (second, "west")]


def test_a_second_completion_of_an_instance_is_not_queued_beside_the_first(items: Items) -> None:
    [instance] = items.instances(1)
    enqueue(items, [a_new_item(instance)])
    assert enqueue(items, [a_new_item(instance, revision=2)]) == 0
    cancel(items, [instance])
    assert enqueue(items, [a_new_item(instance)]) == 0
    assert enqueue(items, [a_new_item(instance, revision=2)]) == 1


def test_each_destination_gets_its_own_item(items: Items) -> None:
    [instance] = items.instances(1)
    assert enqueue(items, [a_new_item(instance)], destination="east") == 1
    assert enqueue(items, [a_new_item(instance)], destination="west") == 1


def test_a_payload_is_stored_to_the_character(items: Items) -> None:
    payload = '{"a": "tab\t back\\slash \\t newline\n return\r quote\\" Zoë 李 🎓 \\N"}'
    [instance] = items.instances(1)
    enqueue(items, [a_new_item(instance, payload=payload)])
    assert items.row(*items.of_instances([instance]))["payload"] == payload


def test_nothing_to_queue_is_no_error(items: Items) -> None:
    assert enqueue(items, []) == 0


# what a destination lacks


def test_what_was_delivered_is_not_lacking_after_a_purge(items: Items) -> None:
    instances = items.instances(3)
    delivered = instances[:2]
    enqueue(items, [a_new_item(instance) for instance in delivered])
    assert items.acknowledge(items.claim()) == 2
    items.sql("DELETE FROM bridge.export_queue")
    with items.staging.begin() as transaction:
        touch(transaction, instances, "revised")
        slices = list(
            deliverable.touched(transaction, destination=DESTINATION, route=Route(), site="sbx", slice_size=10)
        )
        assert [row.instance_id for rows in slices for row in rows] == [instances[2]]
        found = past.lacking(transaction, PAST, after=0, slice_size=10)
        assert [row.instance_id for row in found] == [instances[2]]
        assert past.count(transaction, PAST) == PastCount(lacking=1, delivered=2, queued=0, cancelled=0, withheld=0)
        amended = deliverable.amended(transaction, destination=DESTINATION, change="revised", slice_size=1)
        assert [row.instance_id for rows in amended for row in rows] == delivered


@pytest.mark.parametrize(("change", "found"), [("revised", True), ("archived", True), ("found", True), ("lost", False)])
def test_an_item_that_says_less_than_its_instance_is_found_whatever_touches_it(
    items: Items, change: str, found: bool
) -> None:
    instances = items.instances(2)
    enqueue(items, [a_new_item(instance) for instance in instances])
    items.sql("UPDATE bridge.completion_instance SET revision = 2 WHERE id = :id", id=instances[0])
    items.sql("UPDATE bridge.completion_instance SET ended_at = now() WHERE :lost", lost=change == "lost")
    with items.staging.begin() as transaction:
        touch(transaction, instances, change)
        slices = deliverable.revised(transaction, destination=DESTINATION, slice_size=10)
        assert [row.instance_id for rows in slices for row in rows] == instances[:1] * found


def test_what_is_delivered_to_one_destination_is_lacking_at_another(items: Items) -> None:
    instances = items.instances(2)
    enqueue(items, [a_new_item(instance) for instance in instances])
    items.acknowledge(items.claim())
    elsewhere = Past("other", ["sbx"], since=PAST.since)
    with items.staging.connect() as transaction:
        assert past.count(transaction, elsewhere).lacking == 2
        assert past.count(transaction, PAST).lacking == 0


def test_past_comes_in_slices_without_gaps(items: Items) -> None:
    instances = items.instances(5)
    found: list[int] = []
    with items.staging.connect() as transaction:
        while rows := past.lacking(transaction, PAST, after=max(found, default=0), slice_size=2):
            assert len(rows) <= 2
            found += [row.instance_id for row in rows]
    assert found == instances


def test_touched_begins_above_the_baseline(items: Items) -> None:
    before = items.instances(2)
    with items.staging.begin() as transaction:
        assert deliverable.set_baseline(transaction, destination="other", site="sbx", now=NOW)
        assert not deliverable.set_baseline(transaction, destination="other", site="sbx", now=LATER)
    after = items.instances(3)
    with items.staging.begin() as transaction:
        touch(transaction, [*before, *after], "new")
        slices = list(deliverable.touched(transaction, destination="other", route=Route(), site="sbx", slice_size=2))
    assert [[row.instance_id for row in rows] for rows in slices] == [after[:2], after[2:]]


# replace_payload


def test_a_payload_that_was_never_posted_is_replaced(items: Items) -> None:
    [item] = items.queued()
    [instance] = items.column("instance_id", [item])
    assert replace(items, instance, destination="other") == 0
    assert replace(items, instance) == 1
    row = items.row(item)
    assert (row["payload"], row["revision"], row["state"]) == ('{"revision": 2}', 2, "queued")


def test_a_payload_is_replaced_again_once_its_claim_went_back_unposted(items: Items) -> None:
    [item] = items.queued()
    [instance] = items.column("instance_id", [item])
    claim = items.claim()
    assert replace(items, instance) == 0
    items.release(claim, posted=False)
    assert replace(items, instance) == 1


@pytest.mark.parametrize("became", ["release", "retry", "reject", "acknowledge"])
def test_a_payload_that_was_posted_never_changes(items: Items, became: str) -> None:
    [item] = items.queued()
    [instance] = items.column("instance_id", [item])
    getattr(items, became)(items.claim())
    assert replace(items, instance) == 0
    assert (items.row(item)["payload"], items.row(item)["revision"]) == ("{}", 1)


# cancel_untrue


def test_what_was_never_posted_is_cancelled_with_its_reason(items: Items) -> None:
    ours, held, other = items.queued(3)
    items.sql(
        "UPDATE bridge.export_queue SET state = 'held', held_for = 'no course', held_at = queued_at WHERE id = :item",
        item=held,
    )
    lost = items.column("instance_id", [ours, held])
    assert cancel(items, lost) == 2
    assert items.column("state", [ours, held, other]) == ["cancelled", "cancelled", "queued"]
    assert (items.row(held)["held_for"], items.row(held)["cancelled_by"]) == (None, "extract")
    events = items.sql("SELECT item_id, verb, actor, words FROM bridge.item_event ORDER BY item_id")
    assert [row["item_id"] for row in events] == [ours, held]
    assert {(row["verb"], row["actor"]) for row in events} == {("cancel", "extract")}
    assert all("Totara" in row["words"] for row in events)
    assert items.claim().ids == [other]


def test_what_changed_otherwise_is_not_cancelled(items: Items) -> None:
    [item] = items.queued()
    assert cancel(items, items.column("instance_id", [item]), change="revised") == 0
    assert items.row(item)["state"] == "queued"


@pytest.mark.parametrize("became", ["nothing", "release", "retry", "reject", "acknowledge"])
def test_what_may_have_been_posted_is_not_cancelled(items: Items, became: str) -> None:
    [item] = items.queued()
    claim = items.claim()
    if became != "nothing":
        getattr(items, became)(claim)
    before = items.row(item)
    assert cancel(items, [before["instance_id"]]) == 0
    assert items.row(item) == before


def test_a_withdrawal_that_was_never_posted_is_cancelled_when_its_completion_is_back(items: Items) -> None:
    back, gone = items.instances(2)
    for instance in (back, gone):
        enqueue(items, [a_new_item(instance, kind=Kind.WITHDRAWAL)])
    assert cancel(items, [back], change="revised") == 1
    assert cancel(items, [gone]) == 0
    [cancelled], [waiting] = items.of_instances([back]), items.of_instances([gone])
    assert items.column("state", [cancelled, waiting]) == ["cancelled", "queued"]
    [event] = items.sql("SELECT * FROM bridge.item_event")
    assert (event["item_id"], event["actor"]) == (cancelled, "extract")
    assert event["words"] == "Totara has this completion again; it was never posted"
