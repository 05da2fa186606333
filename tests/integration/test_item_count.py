"""The counts of items are what counting all items would give, whatever is done to the queue and to the counts."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.items import LEASE, NOW, Claim, Items, a_new_item, items_in
from totara_bridge import erase, purge
from totara_bridge.errors import LearnerBusy
from totara_bridge.staging import by_hand, item_count, lease, queue
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.states import Lane, State

#: Long enough for each grain to become the next.
LATER = (timedelta(minutes=3), timedelta(hours=27), timedelta(days=34))

Counts = list[tuple[str, str, str, int]]


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests here."""
    with items_in(new_database("item_count")) as items:
        yield items


@pytest.fixture
def items(database: Items) -> Items:
    """The same without a row."""
    return database.emptied()


def counted(items: Items) -> Counts:
    """What the counts say."""
    with items.staging.begin() as transaction:
        return [(each.destination, each.state, each.lane, each.items) for each in item_count.present(transaction)]


def there(items: Items) -> Counts:
    """What is there."""
    rows = items.sql(
        "SELECT destination, state, lane, count(*) AS n FROM bridge.export_queue GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    return [(row["destination"], row["state"], row["lane"], row["n"]) for row in rows]


def add_up(items: Items, after: timedelta = timedelta(0)) -> None:
    with items.staging.begin() as transaction:
        item_count.add_up(transaction, now=datetime.now(UTC) + after)


def grains(items: Items) -> dict[int, int]:
    """How many rows there are of each grain."""
    return {row["grain"]: row["n"] for row in items.sql(
        "SELECT grain, count(*) AS n FROM bridge.item_count GROUP BY 1 ORDER BY 1"
    )}  # fmt: skip


class TestEachVerb:
    """A literal after each move."""

    def test_enqueue_claim_and_acknowledge(self, items: Items) -> None:
        items.queued(5)
        items.queued(3, destination="fusion", lane=Lane.BACKFILL)
        fusion = ("fusion", "queued", "backfill", 3)
        assert counted(items) == [fusion, ("oracle", "queued", "fresh", 5)]
        claim = items.claim(4)
        assert counted(items) == [fusion, ("oracle", "queued", "fresh", 1), ("oracle", "sending", "fresh", 4)]
        items.acknowledge(claim)
        assert counted(items) == [fusion, ("oracle", "queued", "fresh", 1), ("oracle", "sent", "fresh", 4)]
        assert counted(items) == there(items)

    def test_release_retry_and_reject(self, items: Items) -> None:
        items.queued(6)
        items.release(items.claim(6))
        assert counted(items) == [("oracle", "queued", "fresh", 6)]
        items.retry(items.claim(2), next_attempt_at=NOW + timedelta(days=1))
        items.reject(items.claim(3))
        assert counted(items) == [
            ("oracle", "dead", "retry", 3), ("oracle", "failed", "retry", 2), ("oracle", "queued", "fresh", 1),
        ]  # fmt: skip
        assert counted(items) == there(items)

    def test_what_people_do(self, items: Items) -> None:
        ids = items.queued(6)
        items.acknowledge(items.claim(2))
        by_people(items, "cancel", ids[2:5])
        assert counted(items) == [
            ("oracle", "cancelled", "fresh", 3), ("oracle", "queued", "fresh", 1), ("oracle", "sent", "fresh", 2),
        ]  # fmt: skip
        by_people(items, "requeue", ids[2:4])
        by_people(items, "resend", ids[:1])
        assert counted(items) == [
            ("oracle", "cancelled", "fresh", 1), ("oracle", "held", "fresh", 2), ("oracle", "queued", "backfill", 1),
            ("oracle", "queued", "fresh", 1), ("oracle", "sent", "fresh", 1),
        ]  # fmt: skip
        assert counted(items) == there(items)

    def test_purge(self, items: Items) -> None:
        items.queued(5)
        items.acknowledge(items.claim(3))
        purge_all(items)
        assert counted(items) == there(items) == [("oracle", "queued", "fresh", 2)]

    def test_a_move_that_changes_neither_state_nor_lane_writes_nothing(self, items: Items) -> None:
        ids = items.queued(3)
        before = grains(items)
        items.sql("UPDATE bridge.export_queue SET payload = 'x' WHERE id = ANY(:ids)", ids=ids)
        assert grains(items) == before


def by_people(items: Items, verb: str, ids: Sequence[int]) -> None:
    with items.staging.begin() as transaction:
        if verb == "resend":
            by_hand.resend(transaction, ids, by="ann", now=NOW)
        else:
            getattr(by_hand, verb)(transaction, ids, by="ann", words="why", now=NOW)


def purge_all(items: Items) -> None:
    """Delete whatever was sent."""
    asked = purge.Asked("ann", by_hand=True, sent_days=1)
    purge.purge(items.staging, asked, now=NOW + timedelta(days=2), stop=threading.Event())


class Walk:
    """Whatever can happen, in an order by chance that is the same in each run."""

    def __init__(self, items: Items, seed: int) -> None:
        self.items, self.chance = items, random.Random(seed)
        self.claims = [Claim([])]
        self.happened: set[str] = set()

    def step(self) -> None:
        """Do one thing, nothing of which may stay where its transaction was killed."""
        steps = (
            self.enqueue, self.claim, self.settle, self.settle, self.release_expired, self.people, self.unhold,
            self.purge, self.erase, self.killed, self.added_up,
        )  # fmt: skip
        step = self.chance.choice(steps)
        before = there(self.items)
        step()
        if there(self.items) != before:
            self.happened.add(step.__name__)

    def some(self) -> list[int]:
        ids = [row["id"] for row in self.items.sql("SELECT id FROM bridge.export_queue ORDER BY id")]
        return self.chance.sample(ids, min(len(ids), self.chance.randint(1, 5)))

    def enqueue(self) -> None:
        destination = self.chance.choice(["oracle", "fusion"])
        self.items.queued(self.chance.randint(1, 4), destination=destination, lane=self.chance.choice([*Lane]))

    def claim(self) -> None:
        destination = self.chance.choice(["oracle", "fusion"])
        self.claims.append(self.items.claim(self.chance.randint(1, 6), destination=destination))

    def settle(self) -> None:
        claim = self.chance.choice(self.claims[-3:])
        verb = self.chance.choice(["acknowledge", "retry", "reject", "release"])
        kept = [each for each in claim.ids if self.items.sql(
            "SELECT FROM bridge.export_queue WHERE id = :id AND first_posted_at IS NOT NULL", id=each
        )]  # fmt: skip
        getattr(self.items, verb)(Claim(kept, claim.token))

    def release_expired(self) -> None:
        with self.items.staging.begin() as transaction:
            lease.release_expired(transaction, destination="oracle", now=NOW + LEASE + timedelta(seconds=1))

    def people(self) -> None:
        by_people(self.items, self.chance.choice(["requeue", "cancel", "resend"]), self.some())

    def unhold(self) -> None:
        held = "UPDATE bridge.export_queue SET state = 'queued', held_for = NULL, held_at = NULL WHERE state = 'held'"
        self.items.sql(held)

    def purge(self) -> None:
        if self.chance.random() < 0.3:
            purge_all(self.items)

    def erase(self) -> None:
        user = self.chance.randint(1, 40)
        with suppress(LearnerBusy):
            erase.erase(self.items.staging, site="sbx", user_id=user, by="ann", dry_run=False, now=NOW)

    def killed(self) -> None:
        """A transaction that has moved items, and counted them, ends with its connection."""
        with suppress(OperationalError), self.items.staging.begin() as transaction:
            by_hand.cancel(transaction, self.some(), by="ann", words="why", now=NOW)
            transaction.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    def added_up(self) -> None:
        add_up(self.items, self.chance.choice(LATER))


def test_whatever_happens_the_counts_are_right(items: Items) -> None:
    happened = set()
    for seed in range(4):
        walk = Walk(items.emptied(), seed)
        for _ in range(120):
            walk.step()
            assert counted(items) == there(items)
        happened |= walk.happened
    assert happened == {"enqueue", "claim", "settle", "release_expired", "people", "unhold", "purge", "erase"}


def test_drains_at_once_beside_adding_up(items: Items) -> None:
    items.queued(400)
    drained = threading.Event()

    def drain() -> None:
        while (claim := items.claim(7)).ids:
            items.acknowledge(claim)

    def keep_adding_up() -> None:
        while not drained.is_set():
            add_up(items, LATER[0])

    drains = [threading.Thread(target=drain) for _ in range(4)]
    adding = [threading.Thread(target=keep_adding_up) for _ in range(2)]
    for thread in (*drains, *adding):
        thread.start()
    for thread in drains:
        thread.join()
    drained.set()
    for thread in adding:
        thread.join()
    assert counted(items) == there(items) == [("oracle", "sent", "fresh", 400)]


class TestAddingUp:
    """It makes fewer rows that say the same."""

    @staticmethod
    def some_life(items: Items) -> None:
        items.queued(9)
        for _ in range(4):
            items.acknowledge(items.claim(2))
        items.queued(2, destination="fusion", lane=Lane.BACKFILL)
        # a minute, or an hour, may have ended meanwhile: there would be a row more of each
        items.sql("UPDATE bridge.item_count SET at = (SELECT min(at) FROM bridge.item_count WHERE grain = 0) "
                  "WHERE grain = 0")  # fmt: skip

    def test_each_grain_becomes_the_next_and_nothing_else_changes(self, items: Items) -> None:
        self.some_life(items)
        right = counted(items)
        assert set(grains(items)) == {0}
        for grain, later in enumerate(LATER, 1):
            add_up(items, later)
            assert grains(items) == {grain: 4}  # queued, sending and sent, and the other destination's
            assert counted(items) == right == there(items)
            add_up(items, later)  # run twice, it does nothing more
            assert grains(items) == {grain: 4}
        rest = items.sql("SELECT DISTINCT at FROM bridge.item_count")
        assert [row["at"] for row in rest] == [datetime(1970, 1, 1, tzinfo=UTC)]

    def test_what_is_new_is_added_to_what_is_old(self, items: Items) -> None:
        for _ in range(3):
            self.some_life(items)
            add_up(items, LATER[-1])
            assert counted(items) == there(items)
            assert grains(items) == {3: 4}

    def test_what_was_sent_stays_known_by_minute_and_hour(self, items: Items) -> None:
        self.some_life(items)
        begun = datetime.now(UTC) - timedelta(minutes=30)

        def sent() -> tuple[dict[str, int], int]:
            with items.staging.begin() as transaction:
                hours = item_count.by_hour(transaction, begun)
                return dict(item_count.sent_since(transaction, begun)), sum(each.items for each in hours)

        assert sent() == ({"oracle": 8}, 8)
        add_up(items, LATER[0])
        assert (sent(), set(grains(items))) == (({"oracle": 8}, 8), {1})

    def test_two_at_once_do_it_once_and_nobody_waits(self, items: Items) -> None:
        self.some_life(items)
        right, before = counted(items), grains(items)
        with items.staging.begin() as first:
            item_count.add_up(first, now=datetime.now(UTC) + LATER[0])
            add_up(items, LATER[0])  # the other finds it at work, and leaves it
            assert (counted(items), grains(items)) == (right, before)
        assert (counted(items), grains(items)) == (right, {1: 4})

    def test_one_that_is_killed_changes_nothing(self, items: Items) -> None:
        self.some_life(items)
        right, before = counted(items), grains(items)
        with suppress(OperationalError), items.staging.begin() as transaction:
            item_count.add_up(transaction, now=datetime.now(UTC) + LATER[0])
            transaction.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert (counted(items), grains(items)) == (right, before)


def test_a_drain_waits_for_nobody_to_count(items: Items) -> None:
    items.queued(4)

    def claim_within(transaction: Transaction) -> None:
        transaction.execute(text("SET LOCAL lock_timeout = '2s'"))
        token = Claim([]).token
        assert lease.claim(
            transaction, destination="oracle", token=token, limit=2, now=NOW, lease_until=NOW + LEASE
        )  # fmt: skip

    with items.staging.begin() as first:
        claim_within(first)
        with items.staging.begin() as second:
            claim_within(second)
    assert counted(items) == there(items) == [("oracle", "sending", "fresh", 4)]


def test_held_items_come_in_held(items: Items) -> None:
    [instance] = items.instances(1)
    with items.staging.begin() as transaction:
        new = a_new_item(instance, held_for="learner_number")
        queue.enqueue(transaction, [new], destination="oracle", lane=Lane.FRESH, now=NOW)
    assert counted(items) == [("oracle", State.HELD, "fresh", 1)]
