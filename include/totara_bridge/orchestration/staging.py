"""The staging database as a task sees it: checked before it is used, closed afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowSkipException
from sqlalchemy import Engine

from totara_bridge.config import database_url
from totara_bridge.settings import Settings
from totara_bridge.staging import setting
from totara_bridge.staging.engine import staging_engine
from totara_bridge.staging.migrate import require_newest


@contextmanager
def staging(*, connections: int = 2) -> Iterator[Engine]:
    """An engine on the staging database.

    :raises StagingOutOfDate: it is at another revision than this code.
    :raises ConfigurationInvalid: ``TOTARA_BRIDGE_DATABASE_URL`` is missing or wrong.
    """
    engine = staging_engine(database_url(), connections=connections)
    try:
        require_newest(engine)
        yield engine
    finally:
        engine.dispose()


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
