"""``push_completions`` on 100 000 items: what SQL of the tests finds due is what a sandbox Oracle receives."""

from collections.abc import Iterator

import pytest

from tests.e2e.running import RunningAirflow

DAG = "push_completions"
_DUE = """
    SELECT destination, idempotency_key FROM bridge.export_queue
    WHERE state IN ('queued', 'failed') AND next_attempt_at <= now()
"""


@pytest.fixture
def pushing(airflow_up: RunningAirflow) -> Iterator[RunningAirflow]:
    """The running Airflow, its push not paused; of what is due, every destination has a few hundred items."""
    airflow_up.change(
        """
        UPDATE bridge.export_queue SET next_attempt_at = now() + interval '1 day'
        WHERE state IN ('queued', 'failed') AND id %% 11 > 0
        """
    )
    airflow_up.pause(DAG, False)
    yield airflow_up
    airflow_up.pause(DAG, True)


def test_everything_that_is_due_arrives(pushing: RunningAirflow) -> None:
    for run in pushing.api("GET", f"dags/{DAG}/dagRuns", params={"state": ["queued", "running"]})["dag_runs"]:
        pushing.end_of(DAG, run["dag_run_id"])  # which Airflow began for what was queued while it was paused
    pushing.change("UPDATE bridge.export_queue SET next_attempt_at = now() WHERE state = 'queued' AND id %% 22 = 1")
    due, before = pushing.rows(_DUE), set(pushing.oracle.stored_keys())
    run = pushing.run(DAG)
    for code in ("oracle", "archive"):
        told = pushing.counts(run, f"push_{code}")
        assert told["sent"] == sum(item["destination"] == code for item in due) > 0
        assert told["failed"] == told["dead"] == 0
    keys = {item["idempotency_key"] for item in due}
    assert set(pushing.oracle.stored_keys()) - before == keys - before
    assert (
        pushing.count(
            "SELECT count(*) FROM bridge.export_queue q WHERE NOT EXISTS (SELECT FROM bridge.delivery d "
            "WHERE d.destination = q.destination AND d.instance_id = q.instance_id) AND state = 'sent'"
        )
        == 0
    )
    assert pushing.rows(_DUE) == []


def test_it_takes_no_parameters(pushing: RunningAirflow) -> None:
    run = pushing.end_of(DAG, pushing.begin(DAG, batch_size=5))
    assert run.state == "failed"
    for task, told in run.tasks.items():
        assert told["try_number"] == 1
        [sentence] = pushing.sentences(run, task)
        assert sentence.startswith("RequestInvalid: This DAG has no parameter batch_size (it has none at all)")
