"""What Airflow does with a task's error: a permanent one fails at once, a transient one is tried again."""

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from totara_bridge.errors import Permanent, Transient
from totara_bridge.orchestration.alerts import task_failed, task_succeeded

#: The ``default_args`` of the DAGs that a person starts, who sees what comes of it.
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "totara-bridge",
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=15),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=Permanent, action=RetryAction.FAIL, reason="a person must change something"),
            RetryRule(exception=Transient, action=RetryAction.RETRY, reason="it may work later"),
        ]
    ),
}

#: Those of the DAGs that run by themselves: an alert says that a task failed for good.
UNATTENDED_ARGS: dict[str, Any] = DEFAULT_ARGS | {
    "on_failure_callback": task_failed,
    "on_success_callback": task_succeeded,
}

#: Those of ``watch_delivery``, which comes again in minutes: waiting for a retry would only keep notices back.
WATCH_ARGS: dict[str, Any] = UNATTENDED_ARGS | {"retries": 0}
