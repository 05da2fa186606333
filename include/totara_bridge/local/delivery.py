"""The first delivery of a local run: extract (the baseline), backfill from 1970, push until nothing is due.

Each step is a DAG run like any that a person begins in the UI; a step that was done is not done again.
"""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, text

from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.home import LocalRunFailed

EXTRACT, BACKFILL, PUSH = "extract_completions", "backfill_completions", "push_completions"
RECONCILE = "reconcile_completions"

#: What the first delivery does not need: begun by a person, or by a schedule of its own.
_OTHERS = ("load_mappings", "requeue_completions", "erase_learner", "purge_completions", "watch_delivery")

_FROM_THE_BEGINNING = {"from_date": "1970-01-01", "dry_run": False}
_PATIENCE = 120.0  # seconds until Airflow has read the DAG files
_PAUSE = 0.5  # seconds between two questions

Say = Callable[[str], None]


def deliver(api: AirflowApi, staging: Engine, say: Say) -> None:
    """Do what was not done yet.

    :raises LocalRunFailed: a DAG cannot be read, or a run failed.
    """
    _wait_for_dags(api)
    extracted, backfilled, pushed = (api.count_runs(dag, "success") > 0 for dag in (EXTRACT, BACKFILL, PUSH))
    if not extracted:
        for dag in _OTHERS:
            api.unpause(dag)
        say("Extracting from the sandbox Totara: the baseline.")
        api.unpause(EXTRACT)
        run_to_end(api, EXTRACT, {}, say)
    if not backfilled:
        say("Backfilling from 1970.")
        api.unpause(BACKFILL)
        run_to_end(api, BACKFILL, _FROM_THE_BEGINNING, say)
    if not pushed:
        api.unpause(PUSH)
        _push(api, staging, say)
        api.unpause(RECONCILE)  # it begins at once, and no extract may be at work meanwhile


def _push(api: AirflowApi, staging: Engine, say: Say) -> None:
    """Push until nothing is due or nothing moves any more, and no run that Airflow began by itself is left."""
    before, due = None, _due(staging)
    while before is None or (due and due != before):
        say(f"Pushing to the sandbox Oracle: {due} items are due.")
        run_to_end(api, PUSH, {}, say)
        before, due = due, _due(staging)
    while api.count_runs(PUSH, "queued", "running"):
        time.sleep(_PAUSE)


def _due(staging: Engine) -> int:
    """Items that a push would send now, or sends."""
    with staging.connect() as connection:
        return int(
            connection.execute(
                text(
                    "SELECT count(*) FROM bridge.export_queue WHERE state = 'sending' "
                    "OR state IN ('queued', 'failed') AND next_attempt_at <= now()"
                )
            ).scalar_one()
        )


def _wait_for_dags(api: AirflowApi) -> None:
    deadline = time.monotonic() + _PATIENCE
    for dag in (EXTRACT, BACKFILL, PUSH, RECONCILE, *_OTHERS):
        while not api.has_dag(dag):
            for error in api.import_errors():
                last = error["stack_trace"].strip().splitlines()[-1]
                raise LocalRunFailed(f"Airflow cannot read {error['filename']}: {last}")
            if time.monotonic() > deadline:
                raise LocalRunFailed(
                    f"Airflow has not found the DAG {dag} in {_PATIENCE:.0f} seconds: see dag-processor.log in the "
                    "data folder, then run `make up` again."
                )
            time.sleep(_PAUSE)


def run_to_end(api: AirflowApi, dag: str, conf: dict[str, Any], say: Say) -> None:
    """Begin a run and return when it has ended well.

    :raises LocalRunFailed: it failed; says which task and why.
    """
    run = api.trigger(dag, conf)
    told: set[tuple[str, str, int]] = set()
    while (state := api.state(dag, run)) != "success":
        if state == "failed":
            raise LocalRunFailed(_failure(api, dag, run))
        for task in api.tasks(dag, state="up_for_retry"):  # of any run, since ours waits for those before it
            failed = task["dag_run_id"], task["task_id"], task["try_number"]
            if failed not in told:
                told.add(failed)
                say(f"{failed[1]} failed and is tried again in a minute or more: {_why(api, dag, *failed)}")
        time.sleep(_PAUSE)


def _failure(api: AirflowApi, dag: str, run: str) -> str:
    failed = api.tasks(dag, run, state="failed")
    if not failed:
        return f"The run {run} of {dag} failed before a task began: look at it in Airflow at {api.address}."
    name, attempt = failed[0]["task_id"], failed[0]["try_number"]
    return f"{dag} failed in {name}: {_why(api, dag, run, name, attempt)}"


def _why(api: AirflowApi, dag: str, run: str, task: str, attempt: int) -> str:
    """The last error in a task's log."""
    errors = [_sentence(line) for line in api.log(dag, run, task, attempt) if isinstance(line, dict)]
    told = [error for error in errors if error]
    return told[-1] if told else f"its log has no error; look at it in Airflow at {api.address}."


def _sentence(line: dict[str, Any]) -> str:
    """What a line of a log says of an error: the innermost exception's words, else its own; empty: no error."""
    for raised in (line.get("error_detail") or [])[:1]:
        return str(raised.get("exc_value") or raised.get("exc_type") or "")
    return str(line.get("event", "")) if line.get("level") in ("error", "critical") else ""
