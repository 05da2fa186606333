"""Test connection for Totara: what its database shows, or the step that failed and what to do."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.answers import code_and_words, explain, place
from totara_bridge.totara.connection import TotaraConnection

#: What extraction reads: table → columns.
_READ = {
    "user": "id username idnumber email firstname lastname suspended deleted timemodified",
    "course": "id category shortname idnumber fullname visible timecreated timemodified",
    "course_categories": "id path",
    "course_completions": "id userid course timeenrolled timestarted timecompleted status rpl rplgrade",
    "course_completion_history": "id courseid userid timecompleted grade",
    "course_completion_log": "id courseid userid timemodified",
    "course_completion_criteria": "id course",
    "course_completion_crit_compl": "userid course criteriaid timecompleted",
}
_READ_FOR_AUDIENCES = {"cohort": "id idnumber", "cohort_members": "cohortid userid"}
#: Of these two, Moodle has only the first.
_SIGNS_OF_TOTARA = ("course_completions", "course_completion_log")
_DENIED = {"42501", "1142", "1143"}
_MISSING = {"42P01", "1146"}


def check(connection: TotaraConnection) -> str:
    """What is there, in one sentence.

    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: credentials, permission, table prefix, or no Totara at all.
    """
    engine = connection.engine()
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as database:
            if database.dialect.name == "postgresql":
                database.execute(sa.text(f"SET statement_timeout = {int(connection.timeout * 1000)}"))
            _refuse_another_prefix(database, connection)
            _refuse_what_may_not_be_read(database, connection)
            return _what_is_there(database, connection)
    except DBAPIError as error:
        raise explain(error, connection.database_url) from error
    finally:
        engine.dispose()


def _refuse_another_prefix(database: sa.Connection, connection: TotaraConnection) -> None:
    names = set(sa.inspect(database).get_table_names())
    if any(connection.table_prefix + table in names for table in _READ):
        return
    first, second = _SIGNS_OF_TOTARA
    prefixes = {name.removesuffix(first) for name in names if name.endswith(first)}
    prefixes &= {name.removesuffix(second) for name in names if name.endswith(second)}
    where = f"the database {connection.database_url.database} at {place(connection.database_url)}"
    if prefixes:
        raise TotaraRefused(
            f'No table in {where} begins with "{connection.table_prefix}", but there are Totara\'s tables '
            f"with the prefix {_either(prefixes)}: correct the table prefix."
        )
    raise TotaraRefused(
        f'There is no Totara in {where} that the user "{connection.database_url.username or ""}" may see: '
        "correct the database's name or, if the name is right, grant that user SELECT on Totara's tables."
    )


def _either(prefixes: Iterable[str]) -> str:
    return " or ".join(f'"{prefix}"' for prefix in sorted(prefixes))


def _refuse_what_may_not_be_read(database: sa.Connection, connection: TotaraConnection) -> None:
    wanted = _READ | (_READ_FOR_AUDIENCES if connection.query.audience_idnumbers else {})
    denied = []
    for table, columns in wanted.items():
        try:
            database.execute(sa.select(*_columns(connection, table, columns)).limit(0)).close()
        except DBAPIError as error:
            code, _ = code_and_words(error)
            if code in _MISSING:
                raise TotaraRefused(
                    f"The database {connection.database_url.database} has no table "
                    f"{connection.table_prefix}{table} beside Totara's others: name the database of a Totara "
                    "that is fully installed."
                ) from error
            if code not in _DENIED:
                raise
            denied.append(table)
    if denied:
        raise TotaraRefused(
            f'The user "{connection.database_url.username or ""}" may not read '
            f"{', '.join(connection.table_prefix + table for table in denied)}: run "
            f"{'; '.join(_grants(database, connection, denied))}."
        )


def _grants(database: sa.Connection, connection: TotaraConnection, tables: list[str]) -> list[str]:
    """The statements that an administrator runs: MySQL grants one table at a time."""
    if database.dialect.name == "postgresql":
        names = ", ".join(connection.table_prefix + table for table in tables)
        user = database.scalar(sa.text("SELECT quote_ident(current_user)"))
        return [f"GRANT SELECT ON {names} TO {user}"]
    user, _, host = str(database.scalar(sa.text("SELECT current_user()"))).rpartition("@")
    schema = connection.database_url.database
    return [f"GRANT SELECT ON {schema}.{connection.table_prefix}{table} TO '{user}'@'{host}'" for table in tables]


def _columns(connection: TotaraConnection, table: str, names: str) -> list[sa.ColumnClause[Any]]:
    source = sa.table(connection.table_prefix + table, *(sa.column(name) for name in names.split()))
    return list(source.c)


def _what_is_there(database: sa.Connection, connection: TotaraConnection) -> str:
    course, made = _columns(connection, "course", "id timecreated")
    made_at = database.scalar(sa.select(made).where(course == 1))
    if made_at is None:
        raise TotaraRefused(
            f"The table {connection.table_prefix}course has no row 1, the site itself, by which a Totara is "
            "known again: name the database of a Totara that is fully installed."
        )
    (row,) = _columns(connection, "course_completions", "id")
    completions = database.scalar(sa.select(sa.func.count(row)))
    log_row, log_time = _columns(connection, "course_completion_log", "id timemodified")
    newest = database.execute(sa.select(log_row, log_time).order_by(log_row.desc()).limit(1)).one_or_none()
    log = f"newest log row {newest.id} of {_moment(newest.timemodified)}" if newest else "the change log is empty"
    limits = "" if connection.query.reads_everything else " before the query's limits"
    release = _release(database, connection)
    return f"{release}: {completions} completions{limits}, {log}, site made {_moment(made_at)}."


def _release(database: sa.Connection, connection: TotaraConnection) -> str:
    """A read-only role need not see ``config``, which also holds passwords."""
    name, value = _columns(connection, "config", "name value")
    try:
        stated = sa.select(value).where(name.in_(("totara_release", "release"))).order_by(name.desc())
        release = database.scalar(stated.limit(1))
    except DBAPIError as error:
        code, _ = code_and_words(error)
        if code in _DENIED:
            return "Totara, release unknown (no permission on config)"
        if code in _MISSING:
            return "Totara, release unknown (no table config)"
        raise
    return f"Totara {release}" if release else "Totara, release unknown (config does not say)"


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
