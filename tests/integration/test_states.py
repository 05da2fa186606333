"""Whatever is done to a queue, in whatever order: only the moves of the state table happen, and nothing is lost."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import ClassVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from tests.items import DESTINATION, LEASE, NOW, Claim, Items, a_failure, a_new_item, items_in
from totara_bridge.staging import deliverable, delivery, lease, queue
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.states import TRANSITIONS, Kind, Lane, State

INSTANCES = 4

#: Which of the items that there are a verb is tried on: their places in the queue.
SOME = st.sets(st.integers(0, INSTANCES * 2 - 1), min_size=1)
#: Which claim speaks: the last, the one before, …
WHICH = st.integers(0, 3)


class Life(RuleBasedStateMachine):
    """Drives the verbs as drains, extracts and late answers would, right and wrong, and watches every move."""

    database: Items
    moved_by: ClassVar[set[str]]  #: the verbs that moved an item in any example

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.states: dict[int, State] = {}
        self.claims = [Claim([])]  # the first holds nothing
        self.sent = 0

    @initialize()
    def begin(self) -> None:
        self.instances = self.database.emptied().instances(INSTANCES)
        with self.database.staging.begin() as transaction:
            deliverable.set_baseline(transaction, destination=DESTINATION, site="sbx", now=NOW)

    def do(self, verb: str, act: Callable[[Transaction], object]) -> None:
        """Carry the verb out, and hold each move that it made against the table."""
        with self.database.staging.begin() as transaction:
            act(transaction)
            found = transaction.execute(text("SELECT id, state FROM bridge.export_queue")).all()
        after = {row.id: State(row.state) for row in found}
        assert self.states.keys() <= after.keys(), "an item was lost"
        sources, targets = TRANSITIONS[verb]
        for item, state in after.items():
            before = self.states.get(item)
            if before is None:
                assert verb == "enqueue"
                assert state in targets
                self.moved_by.add(verb)
            elif state is not before:
                assert before in sources, f"{verb} moved an item out of {before}"
                assert state in targets, f"{verb} moved an item to {state}"
                self.sent += state is State.SENT
                self.moved_by.add(verb)
        self.states = after

    def some(self, places: set[int]) -> list[int]:
        """The items at these places; there may be none."""
        there = sorted(self.states)
        return [there[place] for place in sorted(places) if place < len(there)]

    def spoken_of(self, which: int, places: set[int] | None) -> Claim:
        """A claim, with the items that it was given, or with others."""
        claim = self.claims[-1 - which % len(self.claims)]
        return claim if places is None else Claim(self.some(places), claim.token)

    @rule(places=SOME, kind=st.sampled_from([Kind.COMPLETION, Kind.CORRECTION]), lane=st.sampled_from(Lane))
    def enqueue(self, places: set[int], kind: Kind, lane: Lane) -> None:
        instances = [self.instances[place % INSTANCES] for place in places]
        new = [a_new_item(instance, kind=kind, revision=1 + (kind is Kind.CORRECTION)) for instance in instances]
        self.do(
            "enqueue",
            lambda transaction: queue.enqueue(transaction, new, destination=DESTINATION, lane=lane, now=self.now),
        )

    @rule(limit=st.integers(1, INSTANCES))
    def claim(self, limit: int) -> None:
        token = uuid4()

        def act(transaction: Transaction) -> None:
            claimed = lease.claim(
                transaction,
                destination=DESTINATION,
                token=token,
                limit=limit,
                now=self.now,
                lease_until=self.now + LEASE,
            )
            assert len(claimed) <= limit
            if claimed:
                self.claims.append(Claim([row.id for row in claimed], token))

        self.do("claim", act)

    @rule(which=WHICH, places=st.none() | SOME, posted=st.booleans())
    def release(self, which: int, places: set[int] | None, posted: bool) -> None:
        claim = self.spoken_of(which, places)
        self.do("release", lambda transaction: lease.release(transaction, claim.token, ids=claim.ids, posted=posted))

    @rule()
    def release_expired(self) -> None:
        self.do(
            "release", lambda transaction: lease.release_expired(transaction, destination=DESTINATION, now=self.now)
        )

    @rule(which=WHICH, places=st.none() | SOME)
    def acknowledge(self, which: int, places: set[int] | None) -> None:
        claim = self.spoken_of(which, places)
        references = dict.fromkeys(claim.ids)
        self.do(
            "acknowledge",
            lambda transaction: delivery.acknowledge(transaction, claim.token, references, log_id=1, now=self.now),
        )

    @rule(which=WHICH, places=st.none() | SOME, attempts=st.integers(0, 1), seconds=st.integers(0, 120))
    def retry(self, which: int, places: set[int] | None, attempts: int, seconds: int) -> None:
        claim, due = self.spoken_of(which, places), self.now + timedelta(seconds=seconds)
        failures = [a_failure(item, attempts=attempts, next_attempt_at=due) for item in claim.ids]
        self.do("retry", lambda transaction: delivery.retry(transaction, claim.token, failures, log_id=1, now=self.now))

    @rule(which=WHICH, places=st.none() | SOME)
    def reject(self, which: int, places: set[int] | None) -> None:
        claim = self.spoken_of(which, places)
        failures = [a_failure(item) for item in claim.ids]
        self.do(
            "reject", lambda transaction: delivery.reject(transaction, claim.token, failures, log_id=1, now=self.now)
        )

    @rule(place=st.integers(0, INSTANCES - 1))
    def cancel_lost(self, place: int) -> None:
        def act(transaction: Transaction) -> None:
            transaction.execute(text("CREATE TEMPORARY TABLE touched_instance (id bigint, change text) ON COMMIT DROP"))
            transaction.execute(
                text("INSERT INTO touched_instance VALUES (:id, 'lost')"), {"id": self.instances[place]}
            )
            queue.cancel_lost(transaction, now=self.now)

        self.do("cancel", act)

    @rule(seconds=st.sampled_from([1, 60, 3_600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def the_ledger_and_the_hours_have_what_was_sent(self) -> None:
        [found] = self.database.sql(
            """
            SELECT (SELECT count(*) FROM bridge.delivery) AS delivered,
                   (SELECT coalesce(sum(sent), 0) FROM bridge.delivery_hour) AS counted,
                   (SELECT count(*) FROM bridge.export_queue WHERE state = 'sent') AS sent
            """
        )
        assert found["delivered"] == found["counted"] == found["sent"] == self.sent

    @invariant()
    def nothing_waits_behind_its_own_successor(self) -> None:
        overtaken = self.database.sql(
            """
            SELECT FROM bridge.export_queue later JOIN bridge.export_queue earlier USING (destination, instance_id)
            WHERE later.id > earlier.id AND later.state = 'sending' AND later.kind = 'correction'
              AND earlier.state NOT IN ('sent', 'cancelled')
            """
        )
        assert not overtaken

    @invariant()
    def every_failure_left_a_trace(self) -> None:
        untraced = self.database.sql(
            """
            SELECT FROM bridge.export_queue q
            WHERE failures <> (SELECT count(*) FROM bridge.item_event e
                               WHERE e.item_id = q.id AND e.verb IN ('retry', 'reject'))
            """
        )
        assert not untraced


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all examples."""
    with items_in(new_database("states")) as opened:
        yield opened


def test_every_move_is_in_the_table_and_nothing_is_lost(database: Items) -> None:
    Life.database, Life.moved_by = database, set()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Life.moved_by == set(TRANSITIONS), "a verb of the table was never driven"
