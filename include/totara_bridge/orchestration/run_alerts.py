"""Alerts of runs, tasks and credentials that are over because Airflow, bridge.toml or a switch says so."""

import logging
from collections.abc import Set
from datetime import datetime
from typing import Any

from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.exceptions import AirflowRuntimeError
from sqlalchemy import Engine

from totara_bridge.alert_name import AlertName
from totara_bridge.config import BridgeConfig, Destination
from totara_bridge.orchestration.placement import extract_task, push_tasks, reconcile_task
from totara_bridge.staging import alert, setting
from totara_bridge.staging.alert import Alert
from totara_bridge.staging.engine import Transaction

log = logging.getLogger(__name__)

#: The DAGs that have a task for each site or destination.
_OF_CODES = ("extract_completions.", "push_completions.", "reconcile_completions.")

#: What is said of a late run in a state that is its last.
_ENDED: dict[str, str] = {"success": "", "failed": "It failed."}


def resolve_what_is_over(engine: Engine, config: BridgeConfig, ti: Any, now: datetime) -> int:
    """Resolve the alerts of late runs that have ended, and of tasks and codes that are switched off or no more there.

    :param ti: the running task, which may ask Airflow about other runs.
    :returns: how many were resolved.
    :raises ConfigurationInvalid: the ``setting`` table holds a value out of bounds.
    """
    with engine.begin() as transaction:
        found = alert.open_alerts(transaction)
        off = _switched_off(transaction, config)
    resolved = 0
    for each in found:
        if (because := _over(each, config, ti, off)) is not None:
            with engine.begin() as transaction:
                resolved += alert.resolve_found(transaction, each, because=because or None, now=now)
    return resolved


def _switched_off(transaction: Transaction, config: BridgeConfig) -> set[str]:
    """The tasks that skip."""
    if not setting.read(transaction).enabled:
        return _tasks(config)
    off = [each for each in config.destinations if not setting.read(transaction, each.code).enabled]
    return {task for each in off for task in _drains(each)}


def _over(each: Alert, config: BridgeConfig, ti: Any, off: Set[str]) -> str | None:
    """Why an alert is over, as a sentence, empty where that is plain; none: it is not over, or not for us to say."""
    gone = "It is no more in bridge.toml."
    if each.name is AlertName.RUN_LATE and each.run_id:
        return _ended(ti, each.subject, each.run_id)
    if each.name is AlertName.RUN_FAILED and each.subject.startswith(_OF_CODES):
        if each.subject in off:
            return "A manager has switched it off."
        return None if each.subject in _tasks(config) else gone
    if each.name is AlertName.CREDENTIALS_FAILING:
        codes = {site.code for site in config.sites} | {destination.code for destination in config.destinations}
        return None if each.subject in codes else gone
    return None


def _tasks(config: BridgeConfig) -> set[str]:
    extracts = {f"extract_completions.{extract_task(site)}" for site in config.sites}
    reconciles = {f"reconcile_completions.{reconcile_task(site)}" for site in config.sites}
    return extracts | reconciles | {task for each in config.destinations for task in _drains(each)}


def _drains(destination: Destination) -> set[str]:
    return {f"push_completions.{name}" for name in push_tasks(destination)}


def _ended(ti: Any, dag_id: str, run_id: str) -> str | None:
    try:
        return _ENDED.get(ti.get_dagrun_state(dag_id, run_id))
    except (AirflowRuntimeError, ServerResponseError) as error:
        if _status(error) == 404:
            return "The run was deleted."
        log.warning("Airflow does not say whether the run %s of %s has ended: %s", run_id, dag_id, error)
        return None


def _status(error: AirflowRuntimeError | ServerResponseError) -> int | None:
    """The HTTP status of Airflow's answer, as a task's process gets it, or this one where it asks by itself."""
    if isinstance(error, ServerResponseError):
        return error.response.status_code
    return (error.error.detail or {}).get("status_code")
