"""Other sources than a database, and what reconciles find."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.alter_column("site", "fingerprint", nullable=True, schema="bridge")
    op.add_column(
        "watermark", sa.Column("source", sa.Text(), server_default="database", nullable=False), schema="bridge"
    )
    op.add_column("completion_instance", sa.Column("time_completed_until", _MOMENT), schema="bridge")
    _archived_in_history("archived_at IS NOT NULL OR history_id IS NULL")
    _make_tables_of_sources()
    _make_tables_of_reconciles()


def _archived_in_history(condition: str) -> None:
    name = op.f("completion_instance_archived_in_history_check")
    op.drop_constraint(name, "completion_instance", schema="bridge", type_="check")
    op.create_check_constraint(name, "completion_instance", condition, schema="bridge")


def _make_tables_of_sources() -> None:
    op.create_table(
        "crawl",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("began_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.PrimaryKeyConstraint("site", name=op.f("crawl_pk")),
        schema="bridge",
    )
    op.create_table(
        "crawled_pair",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.SmallInteger()),
        sa.Column("checked_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("site", "course_id", "user_id", name=op.f("crawled_pair_pk")),
        schema="bridge",
    )
    op.create_table(
        "loaded_file",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("loaded_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("site", "digest", name=op.f("loaded_file_pk")),
        schema="bridge",
    )


def _make_tables_of_reconciles() -> None:
    op.create_table(
        "reconciliation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("extra", sa.BigInteger(), nullable=False),
        sa.Column("different", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.Column("repaired", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("reconciliation_pk")),
        schema="bridge",
    )
    op.create_table(
        "reconciled_count",
        sa.Column("reconciliation_id", sa.BigInteger(), nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("erased", sa.BigInteger(), nullable=False),
        sa.Column("set_aside", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reconciliation_id", "course_id", "day", name=op.f("reconciled_count_pk")),
        schema="bridge",
    )
    op.create_table(
        "reconciled_difference",
        sa.Column("reconciliation_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("record_key", sa.Text()),
        sa.Column("totara", sa.Text(), nullable=False),
        sa.Column("here", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('missing', 'extra', 'different')", name=op.f("reconciled_difference_kind_check")),
        sa.PrimaryKeyConstraint("reconciliation_id", "number", name=op.f("reconciled_difference_pk")),
        schema="bridge",
    )


def downgrade() -> None:
    for table in (
        "reconciled_difference", "reconciled_count", "reconciliation", "loaded_file", "crawled_pair", "crawl",
    ):  # fmt: skip
        op.drop_table(table, schema="bridge")
    _archived_in_history("(archived_at IS NULL) = (history_id IS NULL)")
    op.drop_column("completion_instance", "time_completed_until", schema="bridge")
    op.drop_column("watermark", "source", schema="bridge")
    op.alter_column("site", "fingerprint", nullable=False, schema="bridge")
