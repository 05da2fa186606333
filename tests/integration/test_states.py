"""Whatever is done to a queue, in whatever order: only the moves of the state table happen, and nothing is lost."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import ClassVar, Literal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from tests.items import DESTINATION, LEASE, NOW, Claim, Items, a_failure, items_in
from totara_bridge.extract import enqueue
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.staging import by_hand, completion, deliverable, delivery, lease, past, queue
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.past import Past
from totara_bridge.staging.states import TRANSITIONS, State
from totara_bridge.template import DEFAULT, Field, Template

INSTANCES = 4

#: The published contract in two versions, of which the second requires less; both show the date that may be missing.
STRICT = Template(name="strict", version=1, fields=DEFAULT.fields | {"learner": Field(source="learner_number")})
LAX = Template(name="strict", version=2, fields=STRICT.fields | {"timecompleted": Field(source="time_completed")})

#: Which of the items that there are a verb is tried on: their places in the queue.
SOME = st.sets(st.integers(0, INSTANCES * 2 - 1), min_size=1)
#: Which claim speaks: the last, the one before, …
WHICH = st.integers(0, 3)
PLACE = st.integers(0, INSTANCES - 1)
#: How a request can end, and the verb that says so.
OUTCOMES = {
    "sent": "acknowledge",
    "failed": "retry",
    "refused": "reject",
    "too large": "reject",
    "no answer": "release",
    "not posted": "release",
}
OUTCOME = st.sampled_from(sorted(OUTCOMES))


class Life(RuleBasedStateMachine):
    """Drives the verbs as drains, extracts, people and late answers would, right and wrong, and watches every move."""

    database: Items
    moved_by: ClassVar[set[str]]  #: the verbs that moved an item in any example

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.states: dict[int, State] = {}
        self.claims = [Claim([])]  # the first holds nothing
        self.sent: list[tuple[int, str, int]] = []  # of each sending: the instance, the kind and the revision
        self.wants = Wants(DESTINATION, corrections=True, withdrawals=True, template=STRICT)

    @initialize()
    def begin(self) -> None:
        self.database.emptied()
        with self.database.staging.begin() as transaction:
            deliverable.set_baseline(transaction, destination=DESTINATION, site="sbx", now=NOW)
        self.instances = self.database.instances(INSTANCES)
        for place in range(INSTANCES - 1):
            self.extract(place, "new", dated=True)

    def do(self, verbs: set[str], act: Callable[[Transaction], object]) -> None:
        """Carry the verbs out, and hold each move that they made against the table."""
        with self.database.staging.begin() as transaction:
            act(transaction)
        self.watch(verbs)

    def watch(self, verbs: set[str]) -> None:
        """Hold each move since the last look against the table."""
        found = self.database.sql("SELECT id, state, instance_id, kind, revision FROM bridge.export_queue")
        after = {row["id"]: State(row["state"]) for row in found}
        said = {row["id"]: (row["instance_id"], row["kind"], row["revision"]) for row in found}
        assert self.states.keys() <= after.keys(), "an item was lost"
        for item, state in after.items():
            before = self.states.get(item)
            if state is before:
                continue
            by = {
                verb
                for verb in verbs
                if (not TRANSITIONS[verb][0] if before is None else before in TRANSITIONS[verb][0])
                and state in TRANSITIONS[verb][1]
            }
            assert by, f"{verbs} moved an item from {before} to {state}"
            self.sent += [said[item]] * (state is State.SENT)
            self.moved_by.update(by)
        self.states = after

    def some(self, places: set[int]) -> list[int]:
        """The items at these places; there may be none."""
        there = sorted(self.states)
        return [there[place] for place in sorted(places) if place < len(there)]

    def spoken_of(self, which: int, places: set[int] | None) -> Claim:
        """A claim, with the items that it was given, or with others."""
        claim = self.claims[-1 - which % len(self.claims)]
        return claim if places is None else Claim(self.some(places), claim.token)

    # Totara and its extracts

    @rule(place=PLACE, change=st.sampled_from(["new", "revised", "lost"]), dated=st.booleans())
    def extract(self, place: int, change: Literal["new", "revised", "lost"], dated: bool) -> None:
        def act(transaction: Transaction) -> None:
            completion.begin_merge(transaction)
            transaction.execute(text("CREATE TEMPORARY TABLE touched_instance (id bigint, change text) ON COMMIT DROP"))
            values = {"id": self.instances[place], "change": change, "now": self.now, "dated": dated}
            transaction.execute(text("INSERT INTO touched_instance VALUES (:id, :change)"), values)
            transaction.execute(_TOTARA_SAYS, values)
            queue.cancel_untrue(transaction, now=self.now)
            enqueue.touched(transaction, [self.wants], site="sbx", now=self.now)

        self.do({"enqueue", "hold", "unhold", "cancel"}, act)

    @rule()
    def backfill(self) -> None:
        def act(transaction: Transaction) -> None:
            completion.begin_merge(transaction)
            asked = Past(DESTINATION, ["sbx"], since=NOW - timedelta(days=1))
            rows = past.lacking(transaction, asked, after=0, slice_size=INSTANCES)
            enqueue.put_past(transaction, rows, self.wants, now=self.now)

        self.do({"enqueue"}, act)

    @rule(template=st.sampled_from([STRICT, LAX]))
    def unhold(self, template: Template) -> None:
        self.wants = Wants(DESTINATION, corrections=True, withdrawals=True, template=template)
        unhold(self.database.staging, self.wants, self.now)
        self.watch({"unhold"})

    # drains

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
            for row in claimed:
                said = json.loads(row.payload)
                assert said["timecompleted"] or said["kind"] == "withdrawal" or self.made_with(row.id) == LAX.label
            if claimed:
                self.claims.append(Claim([row.id for row in claimed], token))

        self.do({"claim"}, act)

    def made_with(self, item: int) -> str:
        """The template of an item's payload."""
        return str(self.database.row(item)["template"])

    @rule(limit=st.integers(1, INSTANCES), outcome=OUTCOME)
    def claim_and_settle(self, limit: int, outcome: str) -> None:
        self.claim(limit)
        self.settle(outcome, self.spoken_of(0, None))

    @rule(which=WHICH, places=st.none() | SOME, outcome=OUTCOME)
    def settle_late_or_wrongly(self, which: int, places: set[int] | None, outcome: str) -> None:
        # a positive answer is about what was posted
        self.settle(outcome, self.spoken_of(which, None if outcome in ("sent", "too large") else places))

    def settle(self, outcome: str, claim: Claim) -> None:
        """Write down what became of the items of a claim."""

        def act(transaction: Transaction) -> None:
            match outcome:
                case "sent":
                    posted = {each: None for each in claim.ids if self.database.row(each)["first_posted_at"]}
                    delivery.acknowledge(transaction, claim.token, posted, log_id=1, now=self.now)
                case "failed":
                    delivery.retry(transaction, claim.token, failures, log_id=1, now=self.now)
                case "refused":
                    delivery.reject(transaction, claim.token, failures, log_id=1, now=self.now)
                case "too large":
                    lease.never_posted(transaction, claim.token, ids=claim.ids)
                    delivery.reject(transaction, claim.token, failures, log_id=1, now=self.now)
                case _:
                    lease.release(transaction, claim.token, ids=claim.ids, posted=outcome == "no answer")

        failures = [a_failure(item, next_attempt_at=self.now + timedelta(minutes=1)) for item in claim.ids]
        self.do({OUTCOMES[outcome]}, act)

    @rule()
    def release_expired(self) -> None:
        self.do(
            {"release"}, lambda transaction: lease.release_expired(transaction, destination=DESTINATION, now=self.now)
        )

    @rule(limit=st.integers(0, INSTANCES))
    def show_or_forget(self, limit: int) -> None:
        def act(transaction: Transaction) -> None:
            if limit:
                lease.show(transaction, destination=DESTINATION, limit=limit, now=self.now)
            else:
                lease.forget_shown(transaction, destination=DESTINATION)

        self.do(set(), act)

    # people

    @rule(places=st.none() | SOME, verb=st.sampled_from(["requeue", "cancel", "resend"]))
    def by_hand(self, places: set[int] | None, verb: str) -> None:
        ids = [*self.states] if places is None else self.some(places)

        def act(transaction: Transaction) -> None:
            if verb == "resend":
                by_hand.resend(transaction, ids, by="ann", now=self.now)
            else:
                getattr(by_hand, verb)(transaction, ids, by="ann", words=None, now=self.now)

        self.do({verb}, act)

    @rule(seconds=st.sampled_from([1, 60, 3_600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # what holds at every moment

    @invariant()
    def nothing_is_wrong(self) -> None:
        [found] = self.database.sql(_WRONG)
        assert found == {
            "delivered": len(set(self.sent)),
            "counted": len(self.sent),
            "sent_and_not_in_the_ledger": 0,
            "held_and_posted": 0,
            "failed_without_a_trace": 0,
            "overtaken": 0,
        }


#: The ledger has each item that was sent once, and the hours have each sending. Failures count since a person looked.
_WRONG = """
    SELECT (SELECT count(*) FROM bridge.delivery) AS delivered,
           (SELECT coalesce(sum(sent), 0) FROM bridge.delivery_hour) AS counted,
           count(*) FILTER (WHERE state = 'sent' AND NOT EXISTS (
               SELECT FROM bridge.delivery d
               WHERE (d.destination, d.instance_id, d.kind, d.revision)
                     = (q.destination, q.instance_id, q.kind, q.revision))) AS sent_and_not_in_the_ledger,
           count(*) FILTER (WHERE state = 'held' AND first_posted_at IS NOT NULL) AS held_and_posted,
           count(*) FILTER (WHERE failures <> (
               SELECT count(*) FROM bridge.item_event e
               WHERE e.item_id = q.id AND e.verb IN ('retry', 'reject')
                 AND e.id > (SELECT coalesce(max(p.id), 0) FROM bridge.item_event p
                             WHERE p.item_id = q.id AND p.verb IN ('requeue', 'resend')))) AS failed_without_a_trace,
           count(*) FILTER (WHERE state = 'sending' AND kind <> 'completion' AND EXISTS (
               SELECT FROM bridge.export_queue earlier
               WHERE earlier.destination = q.destination AND earlier.instance_id = q.instance_id AND earlier.id < q.id
                 AND earlier.state NOT IN ('sent', 'cancelled')
                 -- a person may have an earlier one sent again at any time
                 AND NOT EXISTS (SELECT FROM bridge.item_event p
                                 WHERE p.item_id = earlier.id AND p.verb IN ('requeue', 'resend')))) AS overtaken
    FROM bridge.export_queue q
"""
#: An edit makes a revision, also of what was lost; a loss ends the instance; what is new is as it was.
_TOTARA_SAYS = text(
    """
    UPDATE bridge.completion_instance
    SET revision = revision + (:change = 'revised')::int,
        time_completed = CASE WHEN :dated THEN cast(:now AS timestamptz) END,
        ended_at = CASE WHEN :change = 'lost' THEN cast(:now AS timestamptz) END
    WHERE id = :id
    """
)


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
            max_examples=45,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Life.moved_by == set(TRANSITIONS), "a verb of the table was never driven"
