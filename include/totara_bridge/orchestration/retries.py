"""What Airflow does with a task's error: a permanent one fails at once, a transient one is tried again."""

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from totara_bridge.errors import Permanent, Transient

#: The ``default_args`` of every DAG of the bridge.
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
