"""Claiming and putting back: never more than asked for, nothing twice, nothing starved, nothing while it rests."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from tests.items import DESTINATION, LEASE, NOW, Claim, Items, items_in
from totara_bridge.push.keeper import LeaseKeeper
from totara_bridge.staging import delivery, destination, lease
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.states import Lane, State

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("lease")) as opened:
        yield opened


@pytest.fixture
def items(database: Items) -> Items:
    """An empty queue."""
    return database.emptied()


def put(items: Items, item: int, state: State) -> None:
    """Bring an item to a state as plain SQL would."""
    needs = {
        State.SENDING: "claim_token = gen_random_uuid(), claimed_from = 'queued', claimed_at = now(), "
        "lease_until = now()",
        State.SENT: "sent_at = now()",
        State.FAILED: "error_class = 'x'",
        State.DEAD: "error_class = 'x'",
        State.HELD: "held_for = 'x', held_at = queued_at",
        State.CANCELLED: "cancelled_by = 'x'",
    }
    more = f", {needs[state]}" if state in needs else ""
    items.sql(f"UPDATE bridge.export_queue SET state = '{state}'{more} WHERE id = :item", item=item)


# claim


@pytest.mark.parametrize(
    ("there", "limit", "claimed"),
    [
        ((100, 100, 100), 20, (16, 2, 2)),
        ((100, 100, 100), 100, (80, 10, 10)),
        ((100, 100, 100), 3, (1, 1, 1)),
        ((100, 0, 100), 20, (18, 0, 2)),
        ((100, 1, 0), 20, (19, 1, 0)),
        ((5, 100, 100), 20, (5, 13, 2)),
        ((5, 3, 100), 20, (5, 3, 12)),
        ((0, 100, 0), 20, (0, 20, 0)),
        ((0, 0, 100), 20, (0, 0, 20)),
        ((2, 2, 2), 20, (2, 2, 2)),
        ((3, 3, 3), 2, (2, 0, 0)),
        ((0, 3, 3), 1, (0, 1, 0)),
    ],
)
def test_fresh_items_go_first_and_each_lower_lane_has_its_share(
    items: Items, there: tuple[int, int, int], limit: int, claimed: tuple[int, int, int]
) -> None:
    for lane, count in zip(Lane, there, strict=True):
        items.queued(count, lane=lane)
    found = Counter(items.column("lane", items.claim(limit).ids))
    assert tuple(found[lane] for lane in Lane) == claimed


def test_no_lane_starves_while_fresh_items_keep_coming(items: Items) -> None:
    lower = items.queued(4, lane=Lane.RETRY) + items.queued(4, lane=Lane.BACKFILL)
    items.queued(200)
    for _ in range(4):
        items.claim(10)
        items.queued(10)
    assert set(items.column("state", lower)) == {State.SENDING}


def test_within_a_lane_the_longest_due_go_first(items: Items) -> None:
    late, early, middle = (items.queued(now=NOW - each * SECOND) for each in (1, 3, 2))
    assert [items.claim(1).ids for _ in range(3)] == [early, middle, late]


def test_nothing_goes_before_its_time(items: Items) -> None:
    due, later = items.queued(now=NOW), items.queued(now=NOW + SECOND)
    assert items.claim(now=NOW - SECOND).ids == []
    assert items.claim(now=NOW).ids == due
    assert items.claim(now=NOW + SECOND).ids == later


def test_only_queued_and_failed_items_are_claimed(items: Items) -> None:
    them = dict(zip(State, items.queued(len(State)), strict=True))
    for state, item in them.items():
        put(items, item, state)
    assert set(items.claim().ids) == {them[State.QUEUED], them[State.FAILED]}


def test_what_a_claim_gives_and_writes(items: Items) -> None:
    [item] = items.queued()
    claim = items.claim()
    row = items.row(item)
    assert (row["state"], row["claim_token"], row["claimed_from"]) == ("sending", claim.token, "queued")
    assert (row["claimed_at"], row["lease_until"], row["first_posted_at"]) == (NOW, NOW + LEASE, NOW)
    items.release(claim)
    with items.staging.begin() as transaction:
        [given] = lease.claim(
            transaction, destination=DESTINATION, token=claim.token, limit=1, now=NOW, lease_until=NOW + LEASE
        )
    of_the_item = {name: row[name] for name in ("id", "idempotency_key", "payload", "attempts", "failures")}
    assert given._asdict() == of_the_item | {"rate": None}


def test_another_destination_is_left_alone(items: Items) -> None:
    ours, theirs = items.queued(2), items.queued(2, destination="other")
    assert sorted(items.claim().ids) == ours
    assert items.column("state", theirs) == [State.QUEUED] * 2
    assert sorted(items.claim(destination="other").ids) == theirs


@pytest.mark.parametrize("how", ["rest", "breaker"])
def test_nothing_is_claimed_while_the_destination_rests(items: Items, how: str) -> None:
    ours, theirs = items.queued(), items.queued(destination="other")
    until = NOW + timedelta(minutes=2)
    with items.staging.begin() as transaction:
        if how == "rest":
            destination.rest(transaction, DESTINATION, not_before=until, reason="asked for it", now=NOW)
        else:
            destination.open_breaker(transaction, DESTINATION, until=until, reason="failed", now=NOW)
    assert items.claim(now=until - SECOND).ids == []
    assert items.claim(destination="other").ids == theirs
    assert items.claim(now=until).ids == ours


def test_the_later_of_rest_and_breaker_counts(items: Items) -> None:
    ours = items.queued()
    with items.staging.begin() as transaction:
        destination.rest(transaction, DESTINATION, not_before=NOW + 2 * SECOND, reason="asked for it", now=NOW)
        destination.open_breaker(transaction, DESTINATION, until=NOW + SECOND, reason="failed", now=NOW)
        assert destination.resting_until(transaction, DESTINATION) == (NOW + 2 * SECOND, "failed")
        assert destination.resting_until(transaction, "other") == (None, None)
    assert items.claim(now=NOW + SECOND).ids == []
    assert items.claim(now=NOW + 2 * SECOND).ids == ours


@pytest.mark.parametrize(
    ("earlier_is", "goes"),
    [
        (State.SENDING, False),
        (State.SENT, True),
        (State.DEAD, False),
        (State.HELD, False),
        (State.CANCELLED, True),
    ],
)
def test_a_later_item_of_an_instance_waits_until_the_earlier_is_final(
    items: Items, earlier_is: State, goes: bool
) -> None:
    [earlier] = items.queued()
    [later] = correction_of(items, earlier)
    put(items, earlier, earlier_is)
    assert items.claim().ids == ([later] if goes else [])


@pytest.mark.parametrize("earlier_is", [State.QUEUED, State.FAILED])
def test_a_later_item_of_an_instance_is_not_claimed_together_with_the_earlier(items: Items, earlier_is: State) -> None:
    [earlier] = items.queued(now=NOW + SECOND)
    [later] = correction_of(items, earlier)
    put(items, earlier, earlier_is)
    assert items.claim(now=NOW).ids == []
    claim = items.claim(now=NOW + SECOND)
    assert claim.ids == [earlier]
    items.acknowledge(claim)
    assert items.claim(now=NOW + SECOND).ids == [later]


def test_the_same_instance_at_another_destination_is_not_waited_for(items: Items) -> None:
    [elsewhere] = items.queued(destination="other")
    [ours] = correction_of(items, elsewhere, destination=DESTINATION)
    assert items.claim().ids == [ours]


def correction_of(items: Items, item: int, *, destination: str | None = None) -> list[int]:
    """A correction of the item's instance, due now."""
    rows = items.sql(
        """
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                         next_attempt_at, payload, staged_at, queued_at)
        SELECT coalesce(:destination, destination), instance_id, 'correction', revision + 1, 'c', 'queued', 'fresh',
               :now, payload, staged_at, queued_at
        FROM bridge.export_queue WHERE id = :item RETURNING id
        """,
        item=item,
        destination=destination,
        now=NOW,
    )
    return [row["id"] for row in rows]


def test_eight_threads_claim_each_item_once_and_never_more_than_asked_for(items: Items) -> None:
    threads, limit = 8, 37
    there = [item for lane in Lane for item in items.queued(800, lane=lane)]
    together = threading.Barrier(threads)

    def work(_: int) -> list[Sequence[int]]:
        together.wait()
        claimed = []
        while ids := items.claim(limit).ids:
            claimed.append(ids)
        return claimed

    with ThreadPoolExecutor(threads) as pool:
        batches = [ids for claimed in pool.map(work, range(threads)) for ids in claimed]
    assert sorted(item for ids in batches for item in ids) == there
    assert max(map(len, batches)) == limit


def test_a_claim_does_not_wait_for_one_that_is_not_yet_committed(items: Items) -> None:
    there = items.queued(4)

    def claim(transaction: Transaction, limit: int) -> list[int]:
        rows = lease.claim(
            transaction, destination=DESTINATION, token=uuid4(), limit=limit, now=NOW, lease_until=NOW + LEASE
        )
        return [row.id for row in rows]

    with items.staging.begin() as first, items.staging.begin() as second:
        second.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert sorted(claim(first, 2) + claim(second, 4)) == there


# first_posted_at


def test_what_was_never_posted_is_as_before_the_claim(items: Items) -> None:
    [item] = items.queued()
    before = items.row(item)
    assert items.release(items.claim(), posted=False) == 1
    assert items.row(item) == before


def test_what_was_posted_once_stays_posted(items: Items) -> None:
    [item] = items.queued()
    items.release(items.claim(), posted=True)
    assert items.row(item)["first_posted_at"] == NOW
    items.release(items.claim(now=NOW + SECOND), posted=False)
    assert items.row(item)["first_posted_at"] == NOW


def test_what_was_posted_by_a_machine_whose_clock_is_ahead_stays_posted(items: Items) -> None:
    [item] = items.queued(now=NOW - timedelta(hours=1))
    items.release(items.claim(now=NOW), posted=True)
    items.release(items.claim(now=NOW - SECOND), posted=False)
    assert items.row(item)["first_posted_at"] == NOW


@pytest.mark.parametrize("change", ["revision = revision + 1", "ended_at = now()"])
def test_what_totara_changed_while_it_was_claimed_counts_as_posted(items: Items, change: str) -> None:
    [item] = items.queued()
    claim = items.claim()
    items.sql(f"UPDATE bridge.completion_instance SET {change}")
    assert items.release(claim, posted=False) == 1
    assert (items.row(item)["state"], items.row(item)["first_posted_at"]) == ("queued", NOW)


# release


@pytest.mark.parametrize("lane", Lane)
def test_a_queued_item_goes_back_to_queued(items: Items, lane: Lane) -> None:
    [item] = items.queued(lane=lane)
    assert items.release(items.claim()) == 1
    row = items.row(item)
    assert (row["state"], row["lane"], row["attempts"], row["failures"]) == ("queued", lane, 0, 0)
    assert row["next_attempt_at"] == NOW


def test_a_failed_item_goes_back_to_failed_with_its_attempts_and_error(items: Items) -> None:
    [item] = items.queued()
    items.retry(items.claim())
    before = items.row(item)
    assert (before["state"], before["attempts"], before["lane"]) == ("failed", 1, "retry")
    assert items.release(items.claim()) == 1
    assert items.row(item) == before


def test_only_the_claims_own_items_are_released(items: Items) -> None:
    [ours, theirs] = items.queued(2)
    claim = items.claim(1)
    other = items.claim(1)
    assert (claim.ids, other.ids) == ([ours], [theirs])
    assert items.release(Claim([ours, theirs], claim.token)) == 1
    assert items.column("state", [ours, theirs]) == ["queued", "sending"]
    assert items.release(claim) == 0


def test_only_the_given_items_are_released(items: Items) -> None:
    first, second = items.queued(2)
    claim = items.claim()
    assert items.release(Claim([second], claim.token)) == 1
    assert items.column("state", [first, second]) == ["sending", "queued"]


# show


@pytest.mark.parametrize(("limit", "shown"), [(20, (16, 2, 2)), (100, (80, 10, 10))])
def test_what_is_shown_is_what_a_claim_would_take_and_nothing_of_it_changes(
    items: Items, limit: int, shown: tuple[int, int, int]
) -> None:
    for lane in Lane:
        items.queued(100, lane=lane)
    before = items.sql("SELECT * FROM bridge.export_queue ORDER BY id")
    with items.staging.begin() as transaction:
        rows = lease.show(transaction, destination=DESTINATION, limit=limit, now=NOW)
    found = Counter(items.column("lane", [row.id for row in rows]))
    assert tuple(found[lane] for lane in Lane) == shown
    after = items.sql("SELECT * FROM bridge.export_queue ORDER BY id")
    assert [{**row, "shadowed_at": None} for row in after] == before
    assert {row["id"] for row in after if row["shadowed_at"] == NOW} == {row.id for row in rows}


def test_what_was_shown_is_neither_shown_nor_claimed_until_that_is_forgotten(items: Items) -> None:
    [ours], [theirs] = items.queued(), items.queued(destination="other")
    with items.staging.begin() as transaction:
        for code in (DESTINATION, "other"):
            assert len(lease.show(transaction, destination=code, limit=5, now=NOW)) == 1
            assert len(lease.show(transaction, destination=code, limit=5, now=NOW)) == 0
    assert items.claim().ids == []
    with items.staging.begin() as transaction:
        assert lease.forget_shown(transaction, destination=DESTINATION) == 1
    assert items.claim().ids == [ours]
    assert items.claim(destination="other").ids == []
    assert items.row(theirs)["shadowed_at"] == NOW


def test_what_somebody_writes_now_stays_shown_and_is_not_waited_for(items: Items) -> None:
    items.queued(3)
    with items.staging.begin() as transaction:
        lease.show(transaction, destination=DESTINATION, limit=5, now=NOW)
    with items.staging.begin() as editing, items.staging.begin() as transaction:
        editing.execute(text("SELECT FROM bridge.export_queue WHERE id = (SELECT min(id) FROM bridge.export_queue) "
                             "FOR UPDATE"))  # fmt: skip
        transaction.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert lease.forget_shown(transaction, destination=DESTINATION) == 2


# release_expired and extend


def test_an_expired_lease_goes_back_and_counts_as_posted(items: Items) -> None:
    [item] = items.queued()
    claim = items.claim()
    assert expire(items, now=NOW + LEASE) == 0
    assert expire(items, now=NOW + LEASE + SECOND, destination="other") == 0
    assert expire(items, now=NOW + LEASE + SECOND) == 1
    row = items.row(item)
    assert (row["state"], row["claim_token"], row["first_posted_at"]) == ("queued", None, NOW)
    assert items.release(claim) == 0


def test_an_expired_lease_of_a_failed_item_goes_back_to_failed(items: Items) -> None:
    [item] = items.queued(lane=Lane.BACKFILL)
    items.retry(items.claim())
    items.claim()
    assert expire(items, now=NOW + LEASE + SECOND) == 1
    row = items.row(item)
    assert (row["state"], row["lane"], row["attempts"]) == ("failed", "backfill", 1)


def test_an_extended_lease_does_not_expire(items: Items) -> None:
    items.queued(3)
    first, second, third = (items.claim(1) for _ in range(3))
    with items.staging.begin() as transaction:
        kept = lease.extend(transaction, [first.token, second.token], lease_until=NOW + 2 * LEASE)
    assert kept == 2
    assert expire(items, now=NOW + LEASE + SECOND) == 1
    states = items.column("state", [*first.ids, *second.ids, *third.ids])
    assert states == ["sending", "sending", "queued"]


def test_a_lost_lease_is_not_extended(items: Items) -> None:
    items.queued()
    claim = items.claim()
    expire(items, now=NOW + LEASE + SECOND)
    with items.staging.begin() as transaction:
        assert lease.extend(transaction, [claim.token], lease_until=NOW + 2 * LEASE) == 0


def test_a_batch_that_is_being_settled_is_not_waited_for(items: Items) -> None:
    """Each of the statements locks rows in an order of its own: if they waited, they could wait for each other."""
    items.queued(4)
    claim = items.claim()
    with items.staging.begin() as settling, items.staging.connect() as keeping:
        references = dict.fromkeys(claim.ids[:2])
        assert delivery.acknowledge(settling, claim.token, references, log_id=1, now=NOW) == 2
        keeping.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert lease.extend(keeping, [claim.token], lease_until=NOW + 2 * LEASE) == 2
        assert lease.release_expired(keeping, destination=DESTINATION, now=NOW + 3 * LEASE) == 2
    assert items.column("state", claim.ids) == ["sent", "sent", "sending", "sending"]


def expire(items: Items, *, destination: str = DESTINATION, **at: object) -> int:
    """Release what has expired."""
    with items.staging.begin() as transaction:
        return lease.release_expired(transaction, destination=destination, **at)  # type: ignore[arg-type]


def test_the_keeper_goes_on_when_staging_has_no_connection_for_it(
    items: Items, wait_until: Callable[[Callable[[], bool]], None], caplog: pytest.LogCaptureFixture
) -> None:
    items.queued(2)
    claim = items.claim()
    engine = create_engine(items.staging.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with LeaseKeeper(engine, timedelta(seconds=0.1), lambda: NOW) as keeper:
        with engine.connect(), keeper.keeping(claim.token, until=NOW) as kept:
            wait_until(lambda: "a lease could not be prolonged: QueuePool limit" in caplog.text)
            assert kept.until == NOW
        with keeper.keeping(claim.token, until=NOW) as kept:
            wait_until(lambda: kept.until > NOW)
    engine.dispose()
