"""What a Totara's database lacks, or does not let be read, is said in one sentence before anything is read."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.answers import place
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database.catalogue import OF_AUDIENCES, Catalogue, look

#: Of these two, Moodle has only the first.
_SIGNS_OF_TOTARA = ("course_completions", "course_completion_log")


def readable(database: sa.Connection, connection: TotaraConnection) -> Catalogue:
    """What is there, if it is enough and may be read.

    :raises TotaraRefused: it is not, or may not.
    """
    catalogue = look(database, connection.table_prefix)
    if not catalogue.names:
        _refuse_another_prefix(database, connection)
    denied = [table for table in catalogue.denied if connection.query.audience_idnumbers or table not in OF_AUDIENCES]
    if denied:
        names = [catalogue.names[table] for table in denied]
        raise TotaraRefused(
            f'The user "{connection.database_url.username or ""}" may not read {", ".join(names)}: run '
            f"{'; '.join(_grants(database, connection, names))}."
        )
    _refuse_what_is_lacking(connection, catalogue)
    return catalogue


def _refuse_another_prefix(database: sa.Connection, connection: TotaraConnection) -> None:
    names = set(sa.inspect(database).get_table_names())
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


def _refuse_what_is_lacking(connection: TotaraConnection, catalogue: Catalogue) -> None:
    lacking = catalogue.lacking()
    if connection.query.audience_idnumbers:
        lacking += [connection.table_prefix + table for table in OF_AUDIENCES if not catalogue.has(table)]
    if not lacking:
        return
    tables = [name for name in lacking if "." not in name]
    columns = [name for name in lacking if "." in name]
    said = [f"the {kind} {', '.join(names)}" for kind, names in (("tables", tables), ("columns", columns)) if names]
    raise TotaraRefused(
        f"The database {connection.database_url.database} at {place(connection.database_url)} lacks "
        f"{' and '.join(said)} beside Totara's others, and nothing can be read without: name the database of a Totara "
        "that is fully installed, not one of Moodle or of a release before 12."
    )


def _grants(database: sa.Connection, connection: TotaraConnection, names: Sequence[str]) -> list[str]:
    """The statements that an administrator runs: MySQL grants one table at a time."""
    quoted = [database.dialect.identifier_preparer.quote(name) for name in names]
    if database.dialect.name == "postgresql":
        user = database.scalar(sa.text("SELECT quote_ident(current_user)"))
        return [f"GRANT SELECT ON {', '.join(quoted)} TO {user}"]
    user, _, host = str(database.scalar(sa.text("SELECT current_user()"))).rpartition("@")
    schema = database.dialect.identifier_preparer.quote(str(connection.database_url.database))
    return [f"GRANT SELECT ON {schema}.{name} TO '{user}'@'{host}'" for name in quoted]
