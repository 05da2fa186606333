"""Alembic's environment: the staging database, in its own schema and with its own version table.

Each migration is a transaction of its own: what it locks is let go of before the next one begins, and of several that
are killed half way those that are done stay done.
"""

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import NullPool, create_engine, text

from totara_bridge.staging.revision import VERSION_TABLE
from totara_bridge.staging.schema import SCHEMA, Table

#: While a migration waits for a lock, everybody who comes after it waits too: the bridge stands still for so long.
_LOCK_TIMEOUT = "3s"

_WRITE_OLDEST_CODE = text(
    f"""
    INSERT INTO {SCHEMA}.compatibility (oldest_code) VALUES (:code)
    ON CONFLICT (one_row) DO UPDATE SET oldest_code = excluded.oldest_code
    """
)


def _write_oldest_code(
    ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]
) -> None:
    """With the migration, whichever way it goes, write down with which code the schema works from now on."""
    for reached in step.destination_revision_ids:
        script = context.script.get_revision(reached)
        # before 0007 there was no such table, and code went with its own revision only
        if (code := getattr(script and script.module, "oldest_code", None)) is not None:
            connection.execute(_WRITE_OLDEST_CODE, {"code": code})


engine = create_engine(context.config.attributes["url"], poolclass=NullPool)
with engine.connect() as connection:
    connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
    connection.execute(text("SET statement_timeout = 0"))  # a role may have one, and a large index takes its time
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))  # before the version table that is in it
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == SCHEMA,
        compare_server_default=True,
        transaction_per_migration=True,
        on_version_apply=_write_oldest_code,
    )
    context.run_migrations()
