"""Alembic's environment: the staging database, in its own schema and with its own version table."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from totara_bridge.staging.migrate import VERSION_TABLE
from totara_bridge.staging.schema import SCHEMA, Table

engine = create_engine(context.config.attributes["url"], poolclass=NullPool)
with engine.begin() as connection:
    # one migration at a time, and the schema before the version table that is in it
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('totara_bridge.migrate', 0))"))
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == SCHEMA,
        compare_server_default=True,
    )
    context.run_migrations()
