"""Upgrades without a stop: the database says with which code its schema works."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
oldest_code = "0006"


def upgrade() -> None:
    op.create_table(
        "compatibility",
        sa.Column("one_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("oldest_code", sa.Text(), nullable=False),
        sa.CheckConstraint("one_row", name=op.f("compatibility_one_row_check")),
        sa.PrimaryKeyConstraint("one_row", name=op.f("compatibility_pk")),
        schema="bridge",
    )


def downgrade() -> None:
    op.drop_table("compatibility", schema="bridge")
