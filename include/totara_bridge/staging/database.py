"""The staging database that the environment names: checked before it is used, closed afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from totara_bridge.config import database_url
from totara_bridge.staging.engine import staging_engine
from totara_bridge.staging.revision import require_compatible


@contextmanager
def staging(*, connections: int = 2) -> Iterator[Engine]:
    """An engine on the staging database.

    :raises StagingOutOfDate: it is at a revision that this code does not work with.
    :raises StagingUnavailable: it cannot be reached now.
    :raises ConfigurationInvalid: ``TOTARA_BRIDGE_DATABASE_URL`` is missing or wrong.
    """
    engine = staging_engine(database_url(), connections=connections)
    try:
        require_compatible(engine)
        yield engine
    finally:
        engine.dispose()
