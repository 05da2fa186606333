"""What tests of production have happen in Totara, and what must be at Oracle then; a worker that is killed between."""

from dataclasses import dataclass

from sqlalchemy import NullPool, create_engine

from tests.production.whole import WORKERS, Whole, start_again
from totara_bridge.local.sandbox import TOTARA_DATABASE
from totara_bridge.sandbox.totara.actions import TotaraActs

EXTRACT, PUSH = "extract_completions", "push_completions"

#: How many learners complete a course before a worker is killed: more than the requests in flight take at once.
_LEARNERS = 60

#: Items in a request then.
_BATCH = 5


@dataclass(frozen=True)
class Killed:
    """A run whose worker was killed while it sent."""

    run: str  #: of `PUSH`
    before: int  #: items that had been delivered
    new: int  #: items that it was to send


def complete(production: Whole, learners: int) -> None:
    """So many new learners complete a new course."""
    totara = TotaraActs(create_engine(production.stack.postgres.url(TOTARA_DATABASE), poolclass=NullPool))
    course = totara.new_course()
    for _ in range(learners):
        learner = totara.new_user()
        totara.enrol(learner, course)
        totara.complete(learner, course)


def delivered_once(production: Whole) -> int:
    """How many items there are; each was sent, and is at Oracle once, and nothing else is there."""
    items = production.airflow.rows("SELECT idempotency_key, state FROM bridge.export_queue")
    assert {item["state"] for item in items} == {"sent"}
    assert sorted(production.oracle.stored_keys()) == sorted(item["idempotency_key"] for item in items)
    assert production.airflow.count("SELECT count(*) FROM bridge.delivery") == len(items)
    return len(items)


def kill_a_worker(production: Whole) -> Killed:
    """Kill the worker that sends, while Oracle has stored a request that it has not answered; start another for it."""
    before, runs = delivered_once(production), set(production.runs(PUSH))
    complete(production, _LEARNERS)
    production.airflow.set("batch_size", _BATCH)
    production.oracle.faults({"match": {"nth": 3}, "action": {"hang": "after"}})
    try:
        production.airflow.run(EXTRACT)  # which begins a push
        production.oracle.wait(in_flight=1, keys_stored=before + 3 * _BATCH)
        production.stack.kill(WORKERS["default"])
    finally:
        production.oracle.faults()
        production.oracle.release()
    [run] = set(production.runs(PUSH)) - runs
    start_again(production.stack, WORKERS["default"])
    return Killed(run, before, _LEARNERS)
