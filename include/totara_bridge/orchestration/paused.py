"""Whether a DAG is paused, as a task can ask: what it queues for a paused one waits, and its log says so."""

import logging
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.exceptions import AirflowRuntimeError

log = logging.getLogger(__name__)


def paused(*dag_ids: str) -> list[str]:
    """Those of the DAGs that are paused; none outside a task, where there is nobody to ask.

    A question that Airflow does not answer, as it may not know the DAG yet, is logged and counts as no.
    """
    try:
        task: Any = get_current_context()["ti"]
    except RuntimeError:  # not in a task
        return []
    return [each for each in dag_ids if _is_paused(task, each)]


def warn_if_paused(dag_id: str, told: logging.Logger) -> None:
    """Say in the task's log that the DAG is paused, if it is."""
    if paused(dag_id):
        told.warning(
            "%s is paused: nothing is sent until you unpause it, and trigger it or wait for its schedule.",
            dag_id,
        )


def _is_paused(task: Any, dag_id: str) -> bool:
    try:
        return bool(task.get_dag(dag_id).is_paused)
    except (AirflowRuntimeError, ServerResponseError) as error:
        log.info("Airflow does not say whether %s is paused: %s", dag_id, error)
        return False
