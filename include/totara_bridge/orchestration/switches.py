"""A manager's switches as a task sees them: off means that it skips."""

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
