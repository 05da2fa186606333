"""Bringing the staging database to the revision of this code; run by ``make migrate``, never by an import.

``python -m totara_bridge.staging.migrate`` migrates the database of ``TOTARA_BRIDGE_DATABASE_URL``.
"""

import logging
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from totara_bridge.config import database_url
from totara_bridge.errors import BridgeError, StagingOutOfDate, StagingUnavailable
from totara_bridge.staging.engine import staging_engine
from totara_bridge.staging.schema import SCHEMA

#: Of its own, so that no other Alembic in the same database is confused.
VERSION_TABLE = "totara_bridge_alembic_version"

_OLDEST_POSTGRESQL = 150000

log = logging.getLogger(__name__)


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the staging database at this address."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring the database to the newest revision; does nothing where it is.

    :raises StagingOutOfDate: the server is older than PostgreSQL 15.
    """
    engine = staging_engine(url)
    try:
        with engine.connect() as connection:
            version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    finally:
        engine.dispose()
    if version < _OLDEST_POSTGRESQL:
        raise StagingOutOfDate(
            f"The staging database runs on PostgreSQL {version // 10000}: use 15 or later, then migrate again."
        )
    command.upgrade(alembic_config(url), "head")


def newest_revision() -> str:
    """The revision that this code needs."""
    return ScriptDirectory.from_config(alembic_config("")).get_current_head() or ""


def require_newest(engine: Engine) -> None:
    """Refuse a database of another revision.

    :raises StagingOutOfDate: it must be migrated, or the code is older than it.
    :raises StagingUnavailable: it cannot be reached now.
    """
    try:
        with engine.connect() as connection:
            found = connection.execute(text(f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}")).scalar()
    except ProgrammingError:
        found = None
    except OperationalError as error:
        raise StagingUnavailable(
            "The staging database of TOTARA_BRIDGE_DATABASE_URL cannot be reached: "
            f"{str(error.orig).strip().splitlines()[0]}. Check its address and that it is up."
        ) from error
    if found != (needed := newest_revision()):
        raise StagingOutOfDate(
            f"The staging database is at revision {found or 'none'}, this code needs {needed}: "
            "run `make migrate` with the same version of the code that Airflow runs."
        )


def main() -> int:
    """Migrate, in words."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        migrate(database_url())
    except BridgeError as error:
        log.error("%s", error)
        return 1
    log.info("The staging database is at revision %s.", newest_revision())
    return 0


if __name__ == "__main__":
    sys.exit(main())
