"""The audit log, alerts, acknowledgements and erased learners; indexes for what waits for a person."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "acknowledgement",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('received', 'processed', 'rejected')", name=op.f("acknowledgement_status_check")
        ),
        sa.PrimaryKeyConstraint("caller", "site", "user_id", "course_id", name=op.f("acknowledgement_pk")),
        schema="bridge",
    )
    op.create_index(
        op.f("acknowledgement_acknowledged_at_ix"),
        "acknowledgement",
        ["acknowledged_at"],
        unique=False,
        schema="bridge",
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("resolved_at >= raised_at", name=op.f("alert_resolved_after_raised_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("alert_pk")),
        schema="bridge",
    )
    op.create_index(
        "alert_open_key",
        "alert",
        ["name", "subject"],
        unique=True,
        schema="bridge",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index("alert_resolved_at_ix", "alert", ["resolved_at"], unique=False, schema="bridge")
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pk")),
        schema="bridge",
    )
    op.create_index(op.f("audit_log_at_ix"), "audit_log", ["at"], unique=False, schema="bridge")
    op.create_table(
        "erased_learner",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("site", "user_id", name=op.f("erased_learner_pk")),
        schema="bridge",
    )
    op.create_table(
        "alert_notice",
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("event IN ('raised', 'resolved')", name=op.f("alert_notice_event_check")),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["bridge.alert.id"], name=op.f("alert_notice_alert_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alert_id", "event", "channel", name=op.f("alert_notice_pk")),
        schema="bridge",
    )
    op.add_column(
        "destination_state", sa.Column("down_since", sa.DateTime(timezone=True), nullable=True), schema="bridge"
    )
    op.drop_index(op.f("export_log_destination_ix"), table_name="export_log", schema="bridge")
    op.create_index("export_log_destination_id_ix", "export_log", ["destination", "id"], unique=False, schema="bridge")
    op.create_index(
        "export_queue_stopped_ix",
        "export_queue",
        ["destination", "state", "id"],
        unique=False,
        schema="bridge",
        postgresql_where=sa.text("state IN ('dead', 'cancelled')"),
    )
    op.create_index(
        "item_event_reject_at_ix",
        "item_event",
        ["at"],
        unique=False,
        schema="bridge",
        postgresql_where=sa.text("verb = 'reject'"),
    )


def downgrade() -> None:
    op.drop_index(
        "item_event_reject_at_ix", table_name="item_event", schema="bridge", postgresql_where=sa.text("verb = 'reject'")
    )
    op.drop_index(
        "export_queue_stopped_ix",
        table_name="export_queue",
        schema="bridge",
        postgresql_where=sa.text("state IN ('dead', 'cancelled')"),
    )
    op.drop_index("export_log_destination_id_ix", table_name="export_log", schema="bridge")
    op.create_index(op.f("export_log_destination_ix"), "export_log", ["destination"], unique=False, schema="bridge")
    op.drop_column("destination_state", "down_since", schema="bridge")
    op.drop_table("alert_notice", schema="bridge")
    op.drop_table("erased_learner", schema="bridge")
    op.drop_index(op.f("audit_log_at_ix"), table_name="audit_log", schema="bridge")
    op.drop_table("audit_log", schema="bridge")
    op.drop_index("alert_resolved_at_ix", table_name="alert", schema="bridge")
    op.drop_index(
        "alert_open_key", table_name="alert", schema="bridge", postgresql_where=sa.text("resolved_at IS NULL")
    )
    op.drop_table("alert", schema="bridge")
    op.drop_index(op.f("acknowledgement_acknowledged_at_ix"), table_name="acknowledgement", schema="bridge")
    op.drop_table("acknowledgement", schema="bridge")
