"""Bringing the staging database to the revision of this code, under a bridge that may be at work; never by an import.

``python -m totara_bridge.staging.migrate`` migrates the database of ``TOTARA_BRIDGE_DATABASE_URL``; ``--back-to 0006``
takes back what was done since that revision, and deletes what only the later ones have room for.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from alembic import command
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected, InsufficientPrivilege, LockNotAvailable, QueryCanceled
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from totara_bridge.config import database_url
from totara_bridge.errors import BridgeError, ConfigurationInvalid, RequestInvalid, StagingInUse, StagingOutOfDate
from totara_bridge.staging.engine import staging_engine
from totara_bridge.staging.grants import grant
from totara_bridge.staging.revision import alembic_config, found_revision, newest_revision, require_compatible
from totara_bridge.staging.session_lock import session_lock

_OLDEST_POSTGRESQL = 150000

#: For so long in all is tried what others are in the way of.
PATIENCE = timedelta(minutes=10)

#: Seconds between two tries: others go on meanwhile.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0

log = logging.getLogger(__name__)


def migrate(url: str, *, patience: timedelta = PATIENCE) -> None:
    """Bring the database to the newest revision, and grant the roles that there are what they may do with it.

    One that is newer, and that this code works with, stays as it is.

    :raises StagingInUse: for all that time others held what it changes, or another migration was at work.
    :raises StagingOutOfDate: the server is older than PostgreSQL 15, or the database is too new for this code.
    :raises StagingUnavailable: it cannot be reached now.
    :raises ConfigurationInvalid: the role may not change the schema.
    """
    with _alone(url, patience) as engine:
        found, own = found_revision(engine), newest_revision()
        if found is not None and found > own:
            require_compatible(engine)
            log.info("The staging database is newer than this code, which works with it: nothing is to be done.")
            return
        _persist(lambda: _bring_to_newest(url, engine), engine, patience)


def _bring_to_newest(url: str, engine: Engine) -> None:
    command.upgrade(alembic_config(url), "head")
    grant(engine)  # a new table is nobody's but the owner's until then


def migrate_back(url: str, revision: str, *, patience: timedelta = PATIENCE) -> None:
    """Take back what was done to the database since that revision; nothing but this code may be at work.

    :raises RequestInvalid: there is no such revision before that of the database, or rows do not fit into its tables.
    :raises StagingInUse, StagingOutOfDate, StagingUnavailable, ConfigurationInvalid: as `migrate`.
    """
    with _alone(url, patience) as engine:
        found, own = found_revision(engine), newest_revision()
        if found is not None and found > own:
            raise StagingOutOfDate(
                f"The staging database is at revision {found}, and this code knows none after {own}: take it back with "
                "the version of the code that migrated it."
            )
        known = [each.revision for each in ScriptDirectory.from_config(alembic_config("")).walk_revisions()]
        if revision not in known or found is None or revision > found:
            raise RequestInvalid(
                f"The staging database is at revision {found or 'none'}: it cannot be taken back to {revision}. "
                f"Say which of {', '.join(sorted(known))}."
            )
        try:
            _persist(lambda: command.downgrade(alembic_config(url), revision), engine, patience)
        except IntegrityError as error:
            raise RequestInvalid(
                f"Rows that came since do not fit into the tables of revision {revision}: "
                f"{str(error.orig).splitlines()[0]}. The staging database stays at revision {found_revision(engine)}; "
                "delete those rows, or restore a backup."
            ) from error


@contextmanager
def _alone(url: str, patience: timedelta) -> Iterator[Engine]:
    """The database, while no other migration is at work; one that was is waited for."""
    engine = staging_engine(url, connections=2)
    try:
        found_revision(engine)  # or it cannot be reached: in words
        _require_supported_server(engine)
        with session_lock(engine, "migrate") as lock:
            deadline, told = time.monotonic() + patience.total_seconds(), False
            # asked for again and again: who waits in the database is waited for by CREATE INDEX CONCURRENTLY
            while not lock.take(within=timedelta(0)):
                if time.monotonic() > deadline:
                    raise StagingInUse(
                        f"Another migration of the staging database did not end within {_in_words(patience)}: look "
                        "what it waits for, then run this one again."
                    )
                if not told:
                    log.info("Another migration of the staging database is at work: waiting for its end.")
                    told = True
                time.sleep(_FIRST_PAUSE)
            yield engine
    finally:
        engine.dispose()


def _require_supported_server(engine: Engine) -> None:
    with engine.connect() as connection:
        version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < _OLDEST_POSTGRESQL:
        raise StagingOutOfDate(
            f"The staging database runs on PostgreSQL {version // 10000}: use 15 or later, then migrate again."
        )


def _persist(step: Callable[[], None], engine: Engine, patience: timedelta) -> None:
    """Do it; where others hold what it needs, let them go on and try again."""
    deadline, pause = time.monotonic() + patience.total_seconds(), _FIRST_PAUSE
    while True:
        try:
            step()
        except ProgrammingError as error:
            if not isinstance(error.orig, InsufficientPrivilege):
                raise
            raise ConfigurationInvalid(
                "The role of TOTARA_BRIDGE_DATABASE_URL may not change the staging database: "
                f"{str(error.orig).splitlines()[0]}. Migrate as its owner."
            ) from error
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected | QueryCanceled):
                raise
            found = found_revision(engine) or "none"
            if time.monotonic() > deadline:
                raise StagingInUse(
                    f"The staging database stays at revision {found}: for {_in_words(patience)} others held what comes "
                    "next, such as a backup or an extract that takes long. Nothing was lost; end it or wait for its "
                    "end, then migrate again."
                ) from error
            log.info("Others hold what comes after revision %s: trying again in %.0f s.", found, pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return


def _in_words(patience: timedelta) -> str:
    return f"{patience.total_seconds():.0f} seconds"


def main() -> int:
    """Migrate, in words."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m totara_bridge.staging.migrate", description=__doc__)
    parser.add_argument("--back-to", metavar="REVISION", help="take back what was done since; deletes data")
    back_to = parser.parse_args().back_to
    try:
        url = database_url()
        migrate(url) if back_to is None else migrate_back(url, back_to)
        engine = staging_engine(url)
        found = found_revision(engine)
        engine.dispose()
    except BridgeError as error:
        log.error("%s", error)
        return 1
    log.info("The staging database is at revision %s.", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
