"""Migrations that nobody has written yet, for what this code does when they come."""

#: More room in every busy table, which locks each for a moment; code of 0007 works with it.
ROOM = '''
"""More room."""

import sqlalchemy as sa
from alembic import op

from totara_bridge.staging.migration_lock import lock_tables

revision = "0008"
down_revision = "0007"
oldest_code = "0007"

TABLES = ("export_queue", "export_log", "delivery", "completion", "completion_instance", "learner", "api_token", "site")


def upgrade() -> None:
    lock_tables(*TABLES)
    for table in TABLES:
        op.add_column(table, sa.Column("weight", sa.Integer(), server_default="1", nullable=False), schema="bridge")
        op.add_column(table, sa.Column("note", sa.Text()), schema="bridge")


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "weight", schema="bridge")
        op.drop_column(table, "note", schema="bridge")
'''

#: An index that is made while everybody writes, so outside of a transaction.
INDEX = '''
"""An index."""

from alembic import op

revision = "0009"
down_revision = "0008"
oldest_code = "0007"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS bridge.export_queue_weight_ix")
        op.execute("CREATE INDEX CONCURRENTLY export_queue_weight_ix ON bridge.export_queue (weight)")
        op.execute("SET lock_timeout = '3s'")


def downgrade() -> None:
    op.drop_index("export_queue_weight_ix", "export_queue", schema="bridge")
'''

#: Nothing of before works with it.
BREAK = '''
"""Another name for what every request looks at."""

from alembic import op

revision = "0008"
down_revision = "0007"
oldest_code = "0008"


def upgrade() -> None:
    op.alter_column("setting", "value", new_column_name="says", schema="bridge")


def downgrade() -> None:
    op.alter_column("setting", "says", new_column_name="value", schema="bridge")
'''
