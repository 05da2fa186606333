"""Alerts for what Airflow sees go wrong: a task that failed for good, and a run that is late.

Airflow calls these in the task's process, or in one of its own where that was killed. They write to the table of
alerts and fail nothing: what they cannot write is logged.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowFailException

from totara_bridge.alert_name import AlertName
from totara_bridge.errors import (
    BridgeError,
    CredentialsRefused,
    OracleUnavailable,
    ReportUnreadable,
    RequestInvalid,
    TotaraRefused,
)
from totara_bridge.orchestration.notices import send_notices
from totara_bridge.staging import alert
from totara_bridge.staging.database import staging

log = logging.getLogger(__name__)

_OF_CREDENTIALS = (CredentialsRefused, TotaraRefused)

#: A person who asked for what cannot be is told by the run; another task's failure has its own alert; and that a
#: destination is down is one of the watch, for as long as it lasts.
_TOLD_OTHERWISE = (RequestInvalid, AirflowFailException, OracleUnavailable)

#: A late run waits so long for who tells the channels now.
_WITHIN = timedelta(seconds=10)


def task_failed(context: Any) -> None:
    """Raise the alert that a task failed and is not tried again."""
    error = context.get("exception")
    if isinstance(error, _TOLD_OTHERWISE):
        return
    name, subject = AlertName.RUN_FAILED, _task(context)
    if isinstance(error, _OF_CREDENTIALS) and not isinstance(error, ReportUnreadable) and (code := _code(context)):
        name, subject = AlertName.CREDENTIALS_FAILING, code
    with _failure_is_logged(), staging(connections=1) as engine, engine.begin() as transaction:
        words, run_id, now = _words(error), context["run_id"], datetime.now(UTC)
        alert.raise_alert(transaction, name=name, subject=subject, words=words, run_id=run_id, now=now)


def task_succeeded(context: Any) -> None:
    """Resolve what `task_failed` raised for the task, if it has done any work: else it could fail again as it did."""
    if not _has_worked(context):
        return
    with _failure_is_logged(), staging(connections=1) as engine, engine.begin() as transaction:
        code, now = _code(context), datetime.now(UTC)
        alert.resolve(transaction, name=AlertName.RUN_FAILED, subject=_task(context), now=now)
        if code:
            alert.resolve(transaction, name=AlertName.CREDENTIALS_FAILING, subject=code, now=now)


def deadline(interval: timedelta) -> DeadlineAlert:
    """What a DAG needs so that an alert is raised for each run that has not ended so long after it was queued."""
    return DeadlineAlert(
        name="late",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=interval,
        callback=SyncCallback(run_late),
    )


def run_late(context: dict[str, Any]) -> None:
    """Raise the alert that a run missed its deadline, and tell the channels at once: the watch may hang as well.

    The alert stays that of the first late run until that run has ended; those behind it wait for it.

    :param context: Airflow's, of a deadline: ``dag_run`` as in its REST API, ``deadline`` with ``deadline_time``.
    """
    run, now = context["dag_run"], datetime.now(UTC)
    if run["state"] == "failed":  # in time: Airflow takes the deadline away from a run that went well only
        return
    due = datetime.fromisoformat(str(context["deadline"]["deadline_time"])).astimezone(UTC)
    with staging() as engine:
        with engine.begin() as transaction:
            alert.raise_alert(
                transaction,
                name=AlertName.RUN_LATE,
                subject=run["dag_id"],
                words=f"The run {run['dag_run_id']} was to end by {due:%Y-%m-%d %H:%M:%S} UTC and has not.",
                run_id=run["dag_run_id"],
                now=now,
            )
        send_notices(engine, lambda: datetime.now(UTC), within=_WITHIN)


def _task(context: Any) -> str:
    return f"{context['ti'].dag_id}.{context['ti'].task_id}"


def _code(context: Any) -> str | None:
    """The site's or destination's code: the first thing that its tasks are given."""
    given = getattr(context["task"], "op_args", ())
    return str(given[0]) if given else None


def _has_worked(context: Any) -> bool:
    """Whether the task used what may have failed: a drain that found nothing to send asked nobody for anything.

    One in shadow mode gets a token although it shows nothing new.
    """
    task = context["ti"]
    returned = task.xcom_pull(task_ids=task.task_id, map_indexes=task.map_index)
    return not isinstance(returned, dict) or returned.get("requests") != 0 or bool(returned.get("let_in"))


def _words(error: BaseException | str | None) -> str:
    """Our own sentence; of anything else the kind alone, as its text may name a learner."""
    if isinstance(error, BridgeError):
        return str(error)
    if isinstance(error, BaseException):
        return f"The task ended with an unexpected {type(error).__name__}: its log says where."
    return "The task's process was killed, or ended without a word: its log and the worker's may say why."


@contextmanager
def _failure_is_logged() -> Iterator[None]:
    """The task's own result is what counts, whatever becomes of its alert."""
    try:
        yield
    except Exception:
        log.exception("an alert could not be written")
