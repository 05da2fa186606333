"""A manager's switches as a task sees them: off means that it skips, or says that what it queues waits."""

import logging
from collections.abc import Iterable

from airflow.sdk.exceptions import AirflowSkipException
from sqlalchemy import Engine

from totara_bridge.settings import Settings
from totara_bridge.staging import setting


def settings_or_skip(engine: Engine, scope: str = setting.EVERYWHERE) -> Settings:
    """The switches as they are now.

    :raises AirflowSkipException: a manager switched the integration, or this destination, off.
    """
    with engine.begin() as transaction:
        settings = setting.read(transaction, scope)
    if not settings.enabled:
        what = "the integration" if scope == setting.EVERYWHERE else f"the destination {scope}"
        raise AirflowSkipException(f"A manager has switched {what} off; what is due waits until it is on again.")
    return settings


def warn_if_off(engine: Engine, destinations: Iterable[str], told: logging.Logger) -> None:
    """Say in the task's log which of the destinations a manager has switched off, or all of them."""
    with engine.begin() as transaction:
        if not setting.read(transaction).enabled:
            told.warning("The integration is switched off: what is queued waits until it is on again.")
            return
        off = [code for code in destinations if not setting.read(transaction, code).enabled]
    if off:
        told.warning("%s is switched off: what is queued for it waits until it is on again.", ", ".join(sorted(off)))
