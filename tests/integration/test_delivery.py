"""What became of an item is written down once, by whoever may say so, and counted in the same transaction."""

import math
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.items import DESTINATION, LEASE, NOW, Claim, Items, a_failure, items_in
from totara_bridge.staging import delivery, lease
from totara_bridge.staging.states import Lane, State

SECOND = timedelta(seconds=1)
HOUR = NOW.replace(minute=0)
LATE = LEASE + SECOND


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("delivery")) as opened:
        yield opened


@pytest.fixture
def items(database: Items) -> Items:
    """An empty queue."""
    return database.emptied()


def ledger(items: Items) -> list[tuple[object, ...]]:
    """What each destination has."""
    rows = items.sql("SELECT destination, instance_id, kind, revision, sent_at, reference FROM bridge.delivery")
    return [tuple(row.values()) for row in rows]


def hours(items: Items) -> dict[tuple[object, ...], int]:
    """How many were sent, by destination, hour and bucket."""
    rows = items.sql("SELECT destination, hour, delay_bucket, sent FROM bridge.delivery_hour")
    return {(row["destination"], row["hour"], row["delay_bucket"]): row["sent"] for row in rows}


def events(items: Items) -> list[tuple[object, ...]]:
    """The trace of each item, oldest first."""
    rows = items.sql(
        "SELECT item_id, at, verb, actor, words, export_log_id FROM bridge.item_event ORDER BY item_id, id"
    )
    return [tuple(row.values()) for row in rows]


def expire(items: Items) -> None:
    """Let all leases run out."""
    with items.staging.begin() as transaction:
        lease.release_expired(transaction, destination=DESTINATION, now=NOW + LATE)


# acknowledge


def test_an_acknowledged_item_is_sent_and_in_the_ledger(items: Items) -> None:
    [item] = items.queued()
    assert items.acknowledge(items.claim(), now=NOW + SECOND, reference="OLC-1") == 1
    row = items.row(item)
    assert (row["state"], row["sent_at"], row["reference"], row["export_log_id"]) == ("sent", NOW + SECOND, "OLC-1", 1)
    assert (row["claim_token"], row["lease_until"], row["claimed_from"], row["claimed_at"]) == (None,) * 4
    assert ledger(items) == [(DESTINATION, row["instance_id"], "completion", 1, NOW + SECOND, "OLC-1")]
    assert events(items) == []


def test_only_the_named_items_are_acknowledged_each_with_its_reference(items: Items) -> None:
    first, second, third = items.queued(3)
    claim = items.claim()
    with items.staging.begin() as transaction:
        references = {third: "c", first: None}
        assert delivery.acknowledge(transaction, claim.token, references, log_id=1, now=NOW) == 2
    assert items.column("state", [first, second, third]) == ["sent", "sending", "sent"]
    assert items.column("reference", [first, second, third]) == [None, None, "c"]


def test_acknowledging_again_writes_nothing_more(items: Items) -> None:
    items.queued(3)
    claim = items.claim()
    assert items.acknowledge(claim, reference="a") == 3
    before = (ledger(items), hours(items))
    assert items.acknowledge(claim, now=NOW + SECOND, reference="b") == 0
    assert (ledger(items), hours(items)) == before


def test_acknowledging_nothing_is_no_error(items: Items) -> None:
    assert items.acknowledge(Claim([])) == 0
    assert hours(items) == {}


def test_an_item_that_another_claim_holds_is_left_to_it(items: Items) -> None:
    [item] = items.queued()
    lost = items.claim()
    expire(items)
    holder = items.claim(now=NOW + LATE)
    assert items.acknowledge(lost) == 0
    assert items.row(item)["claim_token"] == holder.token
    assert ledger(items) == []
    assert items.acknowledge(holder) == 1


def test_a_late_answer_counts_for_an_item_that_went_back_to_queued(items: Items) -> None:
    [item] = items.queued()
    lost = items.claim()
    expire(items)
    assert items.row(item)["state"] == "queued"
    assert items.acknowledge(lost) == 1
    assert items.row(item)["state"] == "sent"
    assert len(ledger(items)) == 1


@pytest.mark.parametrize("then", ["retry", "reject"])
def test_a_late_answer_counts_for_an_item_whose_next_attempt_failed(items: Items, then: str) -> None:
    [item] = items.queued()
    lost = items.claim()
    expire(items)
    getattr(items, then)(items.claim(now=NOW + LATE))
    assert items.acknowledge(lost) == 1
    row = items.row(item)
    assert (row["state"], row["error_class"], row["error_code"], row["error_words"]) == ("sent", None, None, None)
    assert len(ledger(items)) == 1


def test_a_late_answer_counts_for_an_item_that_was_cancelled(items: Items) -> None:
    [item] = items.queued()
    lost = items.claim()
    expire(items)
    items.sql("UPDATE bridge.export_queue SET state = 'cancelled', cancelled_by = 'ann'")
    assert items.acknowledge(lost) == 1
    assert (items.row(item)["state"], items.row(item)["cancelled_by"]) == ("sent", None)


def test_a_late_answer_waits_for_others_in_the_order_of_ids(
    items: Items, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    ids = items.queued(400)
    claim = items.claim(400)
    expire(items)
    items.sql("UPDATE bridge.export_queue SET lane = lane WHERE id = :id", id=ids[0])  # it lies behind the others now
    # a person's verb holds the first and has yet to lock the others
    with ThreadPoolExecutor(1) as pool, items.staging.begin() as person:
        person.execute(text("SELECT FROM bridge.export_queue WHERE id = :id FOR UPDATE"), {"id": ids[0]})
        late = pool.submit(items.acknowledge, Claim(ids[::-1], claim.token))
        wait_until(lambda: bool(items.sql("SELECT FROM pg_locks WHERE NOT granted")))
        person.execute(
            text("SELECT FROM bridge.export_queue WHERE id = ANY(:ids) ORDER BY id FOR UPDATE NOWAIT"), {"ids": ids}
        )
        person.commit()
        assert late.result() == 400


def test_a_late_answer_does_not_bring_back_a_cancelled_item_that_another_replaced(items: Items) -> None:
    replaced, other = items.queued(2)
    lost = items.claim()
    expire(items)
    items.sql("UPDATE bridge.export_queue SET state = 'cancelled', cancelled_by = 'ann' WHERE id = :it", it=replaced)
    items.sql(
        """
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                         next_attempt_at, payload, staged_at, queued_at)
        SELECT destination, instance_id, kind, 2, idempotency_key, 'queued', lane, next_attempt_at, payload,
               staged_at, queued_at
        FROM bridge.export_queue WHERE id = :replaced
        """,
        replaced=replaced,
    )
    assert items.acknowledge(lost) == 1
    assert items.column("state", [replaced, other]) == ["cancelled", "sent"]


@pytest.mark.parametrize("state", [State.HELD, State.SENT])
def test_a_late_answer_moves_nothing_else(items: Items, state: State) -> None:
    [item] = items.queued()
    lost = items.claim()
    expire(items)
    reason = "held_for = 'no course', held_at = queued_at" if state is State.HELD else "sent_at = queued_at"
    items.sql(f"UPDATE bridge.export_queue SET state = '{state}', {reason}")
    before = items.row(item)
    assert items.acknowledge(lost) == 0
    assert items.row(item) == before


def test_a_ledger_that_knows_the_item_already_keeps_its_first_row(items: Items) -> None:
    [item] = items.queued()
    items.acknowledge(items.claim(), reference="first")
    items.sql("UPDATE bridge.export_queue SET state = 'queued', sent_at = NULL WHERE id = :item", item=item)
    assert items.acknowledge(items.claim(), now=NOW + SECOND, reference="second") == 1
    [(*_, sent_at, reference)] = ledger(items)
    assert (sent_at, reference) == (NOW, "first")


# the hour's counts


@pytest.mark.parametrize("seconds", [0, 0.5, 1, 1.18, 1.19, 3, 59, 60, 3_601, 86_400, 31_557_600])
def test_the_bucket_is_four_times_the_binary_logarithm_of_the_seconds(items: Items, seconds: float) -> None:
    items.queued(3, delay=timedelta(seconds=seconds))
    items.acknowledge(items.claim())
    assert hours(items) == {(DESTINATION, HOUR, math.floor(4 * math.log2(max(1, seconds)))): 3}


def test_a_power_of_two_begins_its_bucket(items: Items) -> None:
    for power in range(25):
        items.queued(delay=timedelta(seconds=2**power))
    assert items.acknowledge(items.claim()) == 25
    assert hours(items) == {(DESTINATION, HOUR, 4 * power): 1 for power in range(25)}


def test_a_clock_behind_the_first_staging_counts_as_no_delay(items: Items) -> None:
    items.queued(delay=-timedelta(seconds=90))
    items.acknowledge(items.claim())
    assert hours(items) == {(DESTINATION, HOUR, 0): 1}


def test_the_backfill_lane_has_a_bucket_of_its_own_also_after_a_failure(items: Items) -> None:
    items.queued(2, lane=Lane.BACKFILL, delay=timedelta(days=900))
    first = items.claim(1)
    items.retry(first)
    items.acknowledge(items.claim())
    assert hours(items) == {(DESTINATION, HOUR, -1): 2}


def test_hours_lanes_and_destinations_are_counted_apart_and_add_up(items: Items) -> None:
    items.queued(2, delay=timedelta(seconds=64))
    items.queued(1, delay=timedelta(seconds=64), destination="other")
    items.queued(1, lane=Lane.BACKFILL)
    items.acknowledge(items.claim())
    items.acknowledge(items.claim(destination="other"))
    items.queued(1, delay=timedelta(seconds=64) - timedelta(hours=1))
    items.acknowledge(items.claim(), now=NOW + timedelta(hours=1))
    items.queued(3, delay=timedelta(seconds=64))
    items.acknowledge(items.claim())
    assert hours(items) == {
        (DESTINATION, HOUR, 24): 5,
        (DESTINATION, HOUR, -1): 1,
        ("other", HOUR, 24): 1,
        (DESTINATION, HOUR + timedelta(hours=1), 24): 1,
    }


def test_batches_of_the_same_hours_settle_at_the_same_time(items: Items) -> None:
    threads, rounds = 6, 8
    token, dice = uuid4(), random.Random(1)
    them = [
        item
        for destination in ("east", "oracle", "west")
        for power in range(4)
        for item in items.queued(threads * rounds, destination=destination, delay=timedelta(seconds=4**power))
    ]
    items.sql(
        "UPDATE bridge.export_queue SET state = 'sending', claim_token = :token, claimed_from = 'queued', "
        "claimed_at = :now, lease_until = :now",
        token=token,
        now=NOW,
    )
    dice.shuffle(them)
    batches = [them[start :: threads * rounds] for start in range(threads * rounds)]
    together = threading.Barrier(threads)

    def work(thread: int) -> int:
        settled = 0
        for batch in batches[thread::threads]:
            together.wait()
            settled += items.acknowledge(Claim(batch, token))
        return settled

    with ThreadPoolExecutor(threads) as pool:
        assert sum(pool.map(work, range(threads))) == len(them)
    assert hours(items) == {
        (destination, HOUR, 8 * power): threads * rounds
        for destination in ("east", "oracle", "west")
        for power in range(4)
    }
    assert len(ledger(items)) == len(them)


# answers that come too late


def test_an_answer_that_moves_nothing_any_more_is_in_the_trace(items: Items) -> None:
    ours, lost = items.queued(2)
    first = items.claim()
    expire(items)
    items.claim(1, now=NOW + LATE)
    with items.staging.begin() as transaction:
        references = dict.fromkeys((ours, lost))
        assert delivery.acknowledge(transaction, first.token, references, log_id=7, now=NOW + LATE) == 1
    [held_by_another] = items.sql("SELECT id FROM bridge.export_queue WHERE state = 'sending'")
    late = [event for event in events(items) if event[2] == "late"]
    assert [(event[0], event[5]) for event in late] == [(held_by_another["id"], 7)]
    assert "the destination has it" in str(late[0][4])


def test_each_late_failure_keeps_its_own_words(items: Items) -> None:
    first, second = items.queued(2)
    lost = items.claim()
    expire(items)
    failures = [a_failure(first), a_failure(second, error_words="too long")]
    with items.staging.begin() as transaction:
        assert delivery.reject(transaction, lost.token, failures, log_id=7, now=NOW) == 0
    said = {event[0]: str(event[4]) for event in events(items) if event[2] == "late"}
    assert said[first].startswith("no such course;")
    assert said[second].startswith("too long;")


def test_a_note_is_of_a_claim_and_late_without_one(items: Items) -> None:
    ours, gone = items.queued(2)
    claim = items.claim()
    items.release(Claim([gone], claim.token))
    with items.staging.begin() as transaction:
        delivery.note(transaction, claim.token, claim.ids, verb="split", words="too large", log_id=7, now=NOW)
        delivery.note(transaction, claim.token, [], verb="split", words="too large", log_id=7, now=NOW)
    assert events(items) == [(ours, NOW, "split", "push", "too large", 7), (gone, NOW, "late", "push", "too large", 7)]
    assert items.row(ours)["state"] == "sending"


# retry and reject


@pytest.mark.parametrize(
    ("lane", "then"), [(Lane.FRESH, Lane.RETRY), (Lane.RETRY, Lane.RETRY), (Lane.BACKFILL, Lane.BACKFILL)]
)
def test_a_failed_item_waits_in_its_lane_for_the_next_attempt(items: Items, lane: Lane, then: Lane) -> None:
    [item] = items.queued(lane=lane)
    later = NOW + timedelta(minutes=5)
    assert items.retry(items.claim(), next_attempt_at=later) == 1
    row = items.row(item)
    assert (row["state"], row["lane"], row["next_attempt_at"]) == ("failed", then, later)
    assert (row["attempts"], row["failures"]) == (1, 1)
    assert (row["error_class"], row["error_code"], row["error_words"]) == ("ItemRefused", "E1", "no such course")
    assert (row["export_log_id"], row["first_posted_at"]) == (2, NOW)
    assert (row["claim_token"], row["lease_until"], row["claimed_from"], row["claimed_at"]) == (None,) * 4
    assert items.claim(now=later - SECOND).ids == []
    assert items.claim(now=later).ids == [item]


def test_an_outage_uses_no_attempt_but_is_a_failure(items: Items) -> None:
    [item] = items.queued()
    for _ in range(3):
        assert items.retry(items.claim(), attempts=0, error_code=None) == 1
    row = items.row(item)
    assert (row["attempts"], row["failures"], row["error_code"]) == (0, 3, None)


def test_a_rejected_item_is_dead_and_is_not_claimed_again(items: Items) -> None:
    [item] = items.queued()
    assert items.reject(items.claim()) == 1
    row = items.row(item)
    assert (row["state"], row["attempts"], row["failures"], row["export_log_id"]) == ("dead", 1, 1, 3)
    assert row["error_words"] == "no such course"
    assert items.claim(now=NOW + timedelta(days=365)).ids == []


@pytest.mark.parametrize(("verb", "state"), [("retry", "failed"), ("reject", "dead")])
def test_each_failure_leaves_a_trace_in_the_same_transaction(items: Items, verb: str, state: str) -> None:
    first, second = items.queued(2)
    claim = items.claim()
    with items.staging.connect() as undone:
        failures = [a_failure(first), a_failure(second, error_words="too long")]
        assert getattr(delivery, verb)(undone, claim.token, failures, log_id=2, now=NOW) == 2
    assert items.column("state", [first, second]) == ["sending"] * 2
    assert events(items) == []
    with items.staging.begin() as transaction:
        getattr(delivery, verb)(transaction, claim.token, failures, log_id=2, now=NOW)
    assert items.column("state", [first, second]) == [state] * 2
    assert events(items) == [
        (first, NOW, verb, "push", "no such course", 2),
        (second, NOW, verb, "push", "too long", 2),
    ]


@pytest.mark.parametrize("verb", ["retry", "reject"])
def test_a_failure_is_no_longer_written_once_the_claim_was_lost(items: Items, verb: str) -> None:
    [item] = items.queued()
    lost = items.claim()
    expire(items)
    before = items.row(item)
    assert getattr(items, verb)(lost) == 0
    assert items.row(item) == before
    holder = items.claim(now=NOW + LATE)
    assert getattr(items, verb)(lost) == 0
    assert items.row(item)["claim_token"] == holder.token
    assert [event[2] for event in events(items)] == ["release", "late", "late"]


@pytest.mark.parametrize("verb", ["retry", "reject"])
def test_an_item_that_was_sent_does_not_fail_later(items: Items, verb: str) -> None:
    [item] = items.queued()
    claim = items.claim()
    items.acknowledge(claim)
    assert getattr(items, verb)(claim) == 0
    assert items.row(item)["state"] == "sent"


def test_no_failures_is_no_error(items: Items) -> None:
    assert items.retry(Claim([])) == 0
    assert items.reject(Claim([])) == 0
