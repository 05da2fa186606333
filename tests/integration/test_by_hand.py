"""What a person does to items, requeue, cancel, resend: each event says who, and nothing that is out of date goes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.items import DESTINATION, NOW, Claim, Items, a_new_item, items_in
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.staging import by_hand, completion, deliverable, queue
from totara_bridge.staging.by_hand import Done
from totara_bridge.staging.record_key import item_key
from totara_bridge.staging.states import Kind, Lane

LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("by_hand")) as opened:
        yield opened


@pytest.fixture
def items(database: Items) -> Items:
    """An empty queue."""
    database.emptied()
    with database.staging.begin() as transaction:
        deliverable.set_baseline(transaction, destination=DESTINATION, site="sbx", now=NOW)
    return database


def requeue(items: Items, *ids: int) -> Done:
    with items.staging.begin() as transaction:
        return by_hand.requeue(transaction, ids, by="ann", words="Oracle was repaired", now=LATER)


def cancel(items: Items, *ids: int) -> Done:
    with items.staging.begin() as transaction:
        return by_hand.cancel(transaction, ids, by="ann", words="a test user", now=LATER)


def resend(items: Items, *ids: int) -> Done:
    with items.staging.begin() as transaction:
        return by_hand.resend(transaction, ids, by="ann", now=LATER)


def look(items: Items) -> int:
    return unhold(items.staging, Wants(DESTINATION), LATER)


def put(items: Items, instance: int, kind: Kind = Kind.COMPLETION, **changes: Any) -> int:
    """Queue an item of the instance, with the key that it would get."""
    [row] = items.sql("SELECT record_key FROM bridge.completion_instance WHERE id = :id", id=instance)
    key = item_key(row["record_key"], kind, changes.get("revision", 1))
    new = a_new_item(instance, kind=kind, idempotency_key=key, payload="out of date", **changes)
    with items.staging.begin() as transaction:
        queue.enqueue(transaction, [new], destination=DESTINATION, lane=Lane.FRESH, now=NOW)
    return items.of_instances([instance])[-1]


def events(items: Items, item: int) -> list[tuple[Any, ...]]:
    found = items.sql(
        "SELECT verb, actor, words, export_log_id FROM bridge.item_event WHERE item_id = :item ORDER BY id", item=item
    )
    return [tuple(row.values()) for row in found]


def states(items: Items, ids: Sequence[int]) -> list[str]:
    return items.column("state", ids)


@pytest.fixture
def dead(items: Items) -> int:
    """An item that was tried once in vain and then refused."""
    [item] = items.queued()
    items.retry(items.claim())
    items.reject(items.claim())
    return item


# requeue


def test_a_dead_item_is_due_again_in_its_lane_with_its_attempts_counted_anew(items: Items, dead: int) -> None:
    before = items.row(dead)
    assert requeue(items, dead) == Done(done=1, refused=0)
    row = items.row(dead)
    assert (row["state"], row["lane"], row["next_attempt_at"]) == ("queued", "retry", LATER)
    assert (row["attempts"], row["failures"], row["error_words"], row["shadowed_at"]) == (0, 0, None, None)
    assert (row["payload"], row["first_posted_at"]) == (before["payload"], before["first_posted_at"])
    assert events(items, dead)[-1] == ("requeue", "ann", "Oracle was repaired", None)
    assert items.claim(now=LATER).ids == [dead]


def test_a_failed_item_need_not_wait(items: Items) -> None:
    [item] = items.queued()
    items.retry(items.claim(), next_attempt_at=NOW + timedelta(days=1))
    assert requeue(items, item).done == 1
    assert items.claim(now=LATER).ids == [item]


def test_what_is_queued_sending_sent_or_not_there_is_refused(items: Items) -> None:
    queued, sending, sent = (items.queued(), items.queued(), items.queued())
    items.acknowledge(Claim(sent, items.claim(3).token))
    items.release(
        Claim(
            queued,
            items.sql("SELECT claim_token FROM bridge.export_queue WHERE id = :id", id=queued[0])[0]["claim_token"],
        )
    )
    assert states(items, [*queued, *sending, *sent]) == ["queued", "sending", "sent"]
    assert requeue(items, *queued, *sending, *sent, 999, 999) == Done(done=0, refused=4)


def test_what_was_never_posted_is_made_anew_before_it_goes(items: Items) -> None:
    [instance] = items.instances(1)
    item = put(items, instance)
    cancel(items, item)
    items.sql("UPDATE bridge.completion_instance SET revision = 2")
    assert requeue(items, item).done == 1
    assert (items.row(item)["state"], items.row(item)["held_for"]) == ("held", "another look")
    assert items.claim(now=LATER).ids == []
    assert look(items) == 1
    row = items.row(item)
    assert (row["state"], row["revision"], row["cancelled_by"]) == ("queued", 2, None)
    assert '"revision":2' in row["payload"]
    assert [event[0] for event in events(items, item)] == ["cancel", "requeue", "unhold"]


def test_a_held_item_that_is_requeued_is_sent_only_if_nothing_is_missing(items: Items) -> None:
    items.sql("UPDATE bridge.completion_instance SET time_completed = NULL")
    instance, dated = items.instances(2)
    items.sql("UPDATE bridge.completion_instance SET time_completed = NULL WHERE id = :id", id=instance)
    waiting = put(items, instance, held_for="time_completed")
    ready = put(items, dated, held_for="something that no template names")
    assert requeue(items, waiting, ready).done == 2
    assert look(items) == 1
    assert states(items, [waiting, ready]) == ["held", "queued"]
    assert items.row(waiting)["held_for"] == "time_completed"
    assert items.claim(now=LATER).ids == [ready]


def test_a_cancelled_completion_does_not_come_back_beside_another(items: Items) -> None:
    [instance] = items.instances(1)
    first = put(items, instance)
    items.sql("UPDATE bridge.export_queue SET state = 'cancelled', cancelled_by = 'extract'")
    second = put(items, instance, revision=2)
    assert requeue(items, first) == Done(done=0, refused=1)
    cancel(items, second)
    assert requeue(items, first, second) == Done(done=1, refused=1)
    assert states(items, [first, second]) == ["cancelled", "held"]


def test_what_was_overtaken_or_is_no_more_true_stays_cancelled(items: Items) -> None:
    alive, ended = items.instances(2)
    overtaken, lost = put(items, alive), put(items, ended)
    cancel(items, overtaken, lost)
    put(items, alive, Kind.CORRECTION, revision=2)
    withdrawal = put(items, alive, Kind.WITHDRAWAL, revision=3)
    true_withdrawal = put(items, ended, Kind.WITHDRAWAL)
    items.sql("UPDATE bridge.completion_instance SET ended_at = now() WHERE id = :id", id=ended)
    cancel(items, withdrawal, true_withdrawal)
    assert requeue(items, overtaken, lost, withdrawal) == Done(done=0, refused=3)
    assert requeue(items, true_withdrawal) == Done(done=1, refused=0)
    assert look(items) == 1
    assert states(items, [overtaken, lost, withdrawal, true_withdrawal]) == ["cancelled"] * 3 + ["queued"]


def test_a_cancelled_item_that_was_posted_goes_as_it_was(items: Items, dead: int) -> None:
    cancel(items, dead)
    payload = items.row(dead)["payload"]
    assert requeue(items, dead).done == 1
    assert (items.row(dead)["state"], items.row(dead)["payload"]) == ("queued", payload)


def test_what_is_dead_and_no_more_true_stays_so(items: Items, dead: int) -> None:
    lost, back = items.column("instance_id", [dead])[0], items.instances(1)[0]
    withdrawal = put(items, back, Kind.WITHDRAWAL)
    items.reject(items.claim())
    items.sql("UPDATE bridge.completion_instance SET ended_at = now() WHERE id = :id", id=lost)
    assert requeue(items, dead, withdrawal) == Done(done=0, refused=2)
    assert states(items, [dead, withdrawal]) == ["dead", "dead"]


def test_a_held_withdrawal_of_what_is_back_gets_no_other_look(items: Items) -> None:
    withdrawal = put(items, items.instances(1)[0], Kind.WITHDRAWAL, held_for="learner_number")
    assert requeue(items, withdrawal) == Done(done=0, refused=1)
    assert items.row(withdrawal)["held_for"] == "learner_number"


def test_what_is_dead_goes_before_what_waits_for_it_and_never_after_what_was_posted(items: Items, dead: int) -> None:
    [instance] = items.column("instance_id", [dead])
    correction = put(items, instance, Kind.CORRECTION, revision=2)
    assert requeue(items, dead) == Done(done=1, refused=0)
    items.reject(items.claim(now=LATER), now=LATER)
    cancel(items, dead)
    assert items.claim(now=LATER).ids == [correction]
    items.sql(
        "UPDATE bridge.export_queue SET state = 'dead', error_class = 'x', cancelled_by = NULL WHERE id = :id", id=dead
    )
    assert requeue(items, dead) == Done(done=0, refused=1)


# cancel


def test_what_waits_is_cancelled_and_what_is_being_sent_is_not(items: Items, dead: int) -> None:
    [failed] = items.queued()
    items.retry(items.claim(), next_attempt_at=LATER)
    [sent] = items.queued()
    items.acknowledge(items.claim())
    [sending] = items.queued()
    items.claim()
    [queued] = items.queued()
    held = put(items, items.instances(1)[0], held_for="learner_number")
    items.sql("UPDATE bridge.export_queue SET shadowed_at = now() WHERE id = :id", id=queued)
    named = [queued, failed, dead, held, sending, sent]
    assert cancel(items, *named) == Done(done=4, refused=2)
    assert states(items, named) == ["cancelled"] * 4 + ["sending", "sent"]
    assert items.column("cancelled_by", named) == ["ann"] * 4 + [None] * 2
    assert [events(items, item)[-1] for item in named[:4]] == [("cancel", "ann", "a test user", None)] * 4
    assert items.claim(now=LATER).ids == []


def test_cancelling_twice_is_refused_the_second_time(items: Items) -> None:
    ids = items.queued(2)
    assert (cancel(items, *ids), cancel(items, *ids)) == (Done(2, 0), Done(0, 2))


# resend


def test_what_was_sent_is_sent_again_as_it_was_and_the_ledger_stays(items: Items) -> None:
    [item] = items.queued()
    items.acknowledge(items.claim(), reference="OLC1")
    before = items.sql("SELECT * FROM bridge.delivery")
    assert resend(items, item) == Done(done=1, refused=0)
    row = items.row(item)
    assert (row["state"], row["lane"], row["sent_at"], row["reference"]) == ("queued", "backfill", None, "OLC1")
    assert events(items, item) == [("resend", "ann", "to be sent again as it was", 1)]
    claim = items.claim(now=LATER)
    assert claim.ids == [item]
    assert items.acknowledge(claim, now=LATER) == 1
    assert items.row(item)["state"] == "sent"
    assert items.sql("SELECT * FROM bridge.delivery") == before


def test_what_was_not_sent_is_not_resent(items: Items, dead: int) -> None:
    [queued] = items.queued()
    assert resend(items, dead, queued) == Done(done=0, refused=2)


def test_a_resend_that_is_cancelled_is_still_delivered(items: Items) -> None:
    [item] = items.queued()
    items.acknowledge(items.claim())
    resend(items, item)
    cancel(items, item)
    assert len(items.sql("SELECT FROM bridge.delivery")) == 1
    assert requeue(items, item).done == 1
    assert items.row(item)["state"] == "queued"


@pytest.mark.parametrize("later", ["queued", "sending", "sent"])
def test_what_a_later_item_follows_is_not_resent(items: Items, later: str) -> None:
    [first] = items.queued()
    items.acknowledge(items.claim())
    [instance] = items.column("instance_id", [first])
    correction = put(items, instance, Kind.CORRECTION, revision=2)
    claimed = items.claim() if later != "queued" else None
    if claimed is not None and later == "sent":
        items.acknowledge(claimed)
    assert states(items, [first, correction]) == ["sent", later]
    assert resend(items, first) == Done(done=0, refused=1)
    if later == "sent":
        assert resend(items, correction) == Done(done=1, refused=0)


def test_what_is_no_more_true_is_not_resent(items: Items) -> None:
    [lost] = items.queued()
    items.acknowledge(items.claim())
    items.sql("UPDATE bridge.completion_instance SET ended_at = now()")
    assert resend(items, lost) == Done(done=0, refused=1)
    withdrawal = put(items, items.column("instance_id", [lost])[0], Kind.WITHDRAWAL)
    items.acknowledge(items.claim())
    assert resend(items, withdrawal) == Done(done=1, refused=0)
    assert items.row(lost)["state"] == "sent"


# what an extract does meanwhile


@pytest.mark.parametrize("verb", [requeue, cancel, resend])
def test_a_person_waits_for_a_merge_that_runs(
    items: Items, dead: int, wait_until: Callable[[Callable[[], bool]], None], verb: Callable[..., Done]
) -> None:
    [sent] = items.queued()
    items.acknowledge(items.claim())
    merging = items.staging.connect()
    completion.begin_merge(merging)
    done: list[Done] = []
    thread = threading.Thread(target=lambda: done.append(verb(items, dead, sent)))
    thread.start()
    wait_until(lambda: bool(done or items.sql("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")))
    assert done == []
    merging.close()
    thread.join()
    assert done == [Done(done=1, refused=1)]
