"""Locking what a migration changes all at once, so that of two that wait for each other it is the one to give up."""

from alembic import op

from totara_bridge.staging.schema import SCHEMA

#: PostgreSQL looks for a deadlock after a process has waited for one second (its ``deadlock_timeout``), and ends that
#: one's transaction: whoever waits for what a migration holds must not come to that while the migration waits too.
_WITHIN = "800ms"


def lock_tables(*tables: str) -> None:
    """Lock these tables for the transaction of a migration, before its first change; or nothing within 0.8 seconds.

    An extract reads one table after another. If a migration held one and waited for another that the extract holds,
    PostgreSQL would end the extract. So a migration has all of its tables, or lets go of them and tries again later.

    :raises sqlalchemy.exc.OperationalError: of psycopg's `QueryCanceled`: somebody holds one of them.
    """
    op.execute(f"SET LOCAL statement_timeout = '{_WITHIN}'")
    op.execute(f"LOCK TABLE {', '.join(f'{SCHEMA}.{table}' for table in tables)} IN ACCESS EXCLUSIVE MODE")
    op.execute("SET LOCAL statement_timeout = DEFAULT")
