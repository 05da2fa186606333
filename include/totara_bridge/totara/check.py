"""Test connection for Totara: what its database shows, or the step that failed and what to do."""

from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.answers import code_and_words, explain
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database.catalogue import DENIED, MISSING, Catalogue
from totara_bridge.totara.database.read_only import only_read
from totara_bridge.totara.database.refusal import readable
from totara_bridge.totara.database.tables import Tables


def check(connection: TotaraConnection) -> str:
    """What is there, in one sentence.

    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: credentials, permission, table prefix, or no Totara at all.
    """
    engine = connection.engine()
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as database:
            only_read(database)
            if database.dialect.name == "postgresql":
                database.execute(sa.text(f"SET statement_timeout = {int(connection.timeout * 1000)}"))
            catalogue = readable(database, connection)
            return _what_is_there(database, connection, catalogue)
    except DBAPIError as error:
        raise explain(error, connection.database_url) from error
    finally:
        engine.dispose()


def _what_is_there(database: sa.Connection, connection: TotaraConnection, catalogue: Catalogue) -> str:
    tables = Tables(catalogue)
    made_at = database.scalar(sa.select(tables.course.c.timecreated).where(tables.course.c.id == 1))
    if made_at is None:
        raise TotaraRefused(
            f"The table {catalogue.names['course']} has no row 1, the site itself, by which a Totara is "
            "known again: name the database of a Totara that is fully installed."
        )
    completions = database.scalar(sa.select(sa.func.count(tables.completion.c.id)))
    limits = "" if connection.query.reads_everything else " before the query's limits"
    said = [
        f"{_release(database, connection)}: {completions} completions{limits}",
        *_change_log(database, tables, catalogue),
        f"site made {_moment(made_at)}",
    ]
    without = catalogue.without()
    return ", ".join(said) + (f"; {'; '.join(without)}." if without else ".")


def _change_log(database: sa.Connection, tables: Tables, catalogue: Catalogue) -> Iterator[str]:
    if not catalogue.has("course_completion_log"):
        return
    row = tables.log.c
    newest = database.execute(sa.select(row.id, row.timemodified).order_by(row.id.desc()).limit(1)).one_or_none()
    yield f"newest log row {newest.id} of {_moment(newest.timemodified)}" if newest else "the change log is empty"


def _release(database: sa.Connection, connection: TotaraConnection) -> str:
    """A read-only role need not see ``config``, which also holds passwords."""
    name, value = sa.column("name", sa.Text()), sa.column("value", sa.Text())
    config = sa.table(connection.table_prefix + "config", name, value)
    try:
        stated = sa.select(config.c.value).where(config.c.name.in_(("totara_release", "release")))
        release = database.scalar(stated.order_by(config.c.name.desc()).limit(1))
    except DBAPIError as error:
        code, _ = code_and_words(error)
        if code in DENIED:
            return "Totara, release unknown (no permission on config)"
        if code in MISSING:
            return "Totara, release unknown (no table config)"
        raise
    return f"Totara {release}" if release else "Totara, release unknown (config does not say)"


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
