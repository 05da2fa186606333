"""Of which revision a staging database is, and whether this code works with it: every process looks before it begins.

Revisions have four digits and compare as text. A migration says which code is the oldest that works with the schema it
makes; the database has that in its table ``compatibility``, so that code which is older than the database knows.
"""

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.errors import InvalidSchemaName, UndefinedTable
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from totara_bridge.errors import StagingOutOfDate, StagingUnavailable
from totara_bridge.staging.schema import SCHEMA

#: Of its own, so that no other Alembic in the same database is confused.
VERSION_TABLE = "totara_bridge_alembic_version"


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the staging database at this address."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    return config


def newest_revision() -> str:
    """The revision of this code."""
    return ScriptDirectory.from_config(alembic_config("")).get_current_head() or ""


def found_revision(engine: Engine) -> str | None:
    """The revision of the database; none: it was never migrated.

    :raises StagingOutOfDate: the role may not read which.
    :raises StagingUnavailable: it cannot be reached now.
    """
    return _ask(engine, f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}")


def require_compatible(engine: Engine) -> None:
    """Refuse a database that this code does not work with.

    :raises StagingOutOfDate: it must be migrated, or it was migrated to what this code is too old for.
    :raises StagingUnavailable: it cannot be reached now.
    """
    found, own = found_revision(engine), newest_revision()
    if found is None or found < own:
        raise StagingOutOfDate(
            f"The staging database is at revision {found or 'none'}, this code needs {own}: "
            "run `make migrate` with the same version of the code that Airflow runs."
        )
    if found > own and ((oldest := _oldest_code(engine)) is None or oldest > own):
        raise StagingOutOfDate(
            f"The staging database is at revision {found}, which only code of revision {oldest or found} and later "
            f"works with, and this code is of {own}: run the version of the code that migrated it."
        )


def _oldest_code(engine: Engine) -> str | None:
    return _ask(engine, f"SELECT oldest_code FROM {SCHEMA}.compatibility")


def _ask(engine: Engine, question: str) -> str | None:
    try:
        with engine.connect() as connection:
            answer: str | None = connection.execute(text(question)).scalar()
    except ProgrammingError as error:
        if isinstance(error.orig, UndefinedTable | InvalidSchemaName):
            return None
        raise StagingOutOfDate(
            "The role of TOTARA_BRIDGE_DATABASE_URL may not read the revision of the staging database: "
            f"{_first_line(error)}. Run `make migrate` as the owner of the schema {SCHEMA}, which grants it."
        ) from error
    except OperationalError as error:
        raise StagingUnavailable(
            "The staging database of TOTARA_BRIDGE_DATABASE_URL cannot be reached: "
            f"{_first_line(error)}. Check its address and that it is up."
        ) from error
    return answer


def _first_line(error: OperationalError | ProgrammingError) -> str:
    return str(error.orig).strip().splitlines()[0]
