"""A site is read on the worker of its queue and sent from the other; done again, nothing is new."""

from tests.e2e.running import Run
from tests.production.delivery import EXTRACT, PUSH, complete, delivered_once
from tests.production.whole import WORKERS, Whole

#: What an extract counts that finds nothing new.
_READ = ("read", "set_aside")


def test_the_first_delivery_is_there_once(production: Whole) -> None:
    assert delivered_once(production) > 900


def test_the_site_is_read_by_its_worker_and_sent_by_the_other(production: Whole) -> None:
    before, known = delivered_once(production), production.runs(PUSH)
    complete(production, 1)
    extracted = production.airflow.run(EXTRACT)
    pushed = production.end_of_next(PUSH, known)  # which the extract began
    for run, task, queue in ((extracted, "extract_sbx", "company_network"), (pushed, "push_oracle", "default")):
        assert run.tasks[task]["state"] == "success"
        assert run.tasks[task]["queue"] == queue
        assert _taken_by(production, run, task) == {WORKERS[queue]}
    assert delivered_once(production) == before + 1


def test_done_again_nothing_is_new(production: Whole) -> None:
    before = production.oracle.times_received()
    for dag, task in ((EXTRACT, "extract_sbx"), (PUSH, "push_oracle")):
        counts = production.airflow.counts(production.airflow.run(dag), task)
        assert {name: count for name, count in counts.items() if count and name not in _READ} == {}
    assert production.oracle.times_received() == before


def _taken_by(production: Whole, run: Run, task: str) -> set[str]:
    """The workers whose own log says that they had it."""
    place = f"dag_id={run.dag}/run_id={run.id}/task_id={task}/"
    logs = {worker: production.stack.logs / f"{worker}.log" for worker in WORKERS.values()}
    return {worker for worker, log in logs.items() if place in log.read_text(errors="replace")}
