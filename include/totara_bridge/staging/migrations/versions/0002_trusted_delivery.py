"""Routes, templates, mappings, held items, shadow mode, kept bodies and a rate that adapts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "audience_member",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("site", "user_id", "audience", name=op.f("audience_member_pk")),
        schema="bridge",
    )
    op.create_table(
        "mapping",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("totara_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('learner', 'course')", name=op.f("mapping_kind_check")),
        sa.CheckConstraint("number <> ''", name=op.f("mapping_number_check")),
        sa.PrimaryKeyConstraint("destination", "kind", "site", "totara_id", name=op.f("mapping_pk")),
        schema="bridge",
    )
    op.create_table(
        "payload_template",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("payload_template_pk")),
        schema="bridge",
    )
    op.create_table(
        "kept_body",
        sa.Column("export_log_id", sa.BigInteger(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["export_log_id"], ["bridge.export_log.id"], name=op.f("kept_body_export_log_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("export_log_id", name=op.f("kept_body_pk")),
        schema="bridge",
    )
    op.create_index("kept_body_destination_at_ix", "kept_body", ["destination", "at"], unique=False, schema="bridge")
    op.alter_column(
        "completion_instance",
        "time_completed",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        nullable=True,
        schema="bridge",
    )
    op.alter_column(
        "completion_instance",
        "first_time_completed",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        nullable=True,
        schema="bridge",
    )
    op.drop_constraint(op.f("completion_instance_minted_key"), "completion_instance", schema="bridge", type_="unique")
    op.create_unique_constraint(
        "completion_instance_minted_key",
        "completion_instance",
        ["site", "user_id", "course_id", "first_time_completed", "ordinal"],
        schema="bridge",
        postgresql_nulls_not_distinct=True,
    )
    op.add_column("course", sa.Column("category_path", sa.Text(), server_default="", nullable=False), schema="bridge")
    op.add_column(
        "destination_state", sa.Column("rate_lowered_at", sa.DateTime(timezone=True), nullable=True), schema="bridge"
    )
    op.add_column(
        "destination_state", sa.Column("next_request_at", sa.DateTime(timezone=True), nullable=True), schema="bridge"
    )
    op.add_column(
        "export_queue", sa.Column("template", sa.Text(), server_default="default/1", nullable=False), schema="bridge"
    )
    op.add_column("export_queue", sa.Column("held_at", sa.DateTime(timezone=True), nullable=True), schema="bridge")
    op.add_column("export_queue", sa.Column("shadowed_at", sa.DateTime(timezone=True), nullable=True), schema="bridge")
    op.create_check_constraint(
        op.f("export_queue_dated_when_held_check"),
        "export_queue",
        "(state = 'held') = (held_at IS NOT NULL)",
        schema="bridge",
    )
    op.drop_index("export_queue_due_ix", table_name="export_queue", schema="bridge")
    op.create_index(
        "export_queue_due_ix",
        "export_queue",
        ["destination", "lane", "next_attempt_at", "id"],
        schema="bridge",
        postgresql_where=sa.text("state IN ('queued', 'failed') AND shadowed_at IS NULL"),
    )
    op.create_index(
        "export_queue_held_ix",
        "export_queue",
        ["destination", "id"],
        unique=False,
        schema="bridge",
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index(
        "export_queue_shadowed_ix",
        "export_queue",
        ["destination"],
        unique=False,
        schema="bridge",
        postgresql_where=sa.text("shadowed_at IS NOT NULL"),
    )
    op.create_index(
        "export_queue_amendment_key_ix",
        "export_queue",
        ["idempotency_key"],
        unique=False,
        schema="bridge",
        postgresql_where=sa.text("kind <> 'completion'"),
    )
    op.add_column("item_event", sa.Column("export_log_id", sa.BigInteger(), nullable=True), schema="bridge")
    # the next extract shows more of Totara, completions without a date: another text of the same query makes it a
    # full compare that counts them as past
    op.execute("UPDATE bridge.watermark SET query = query || ' '")


def downgrade() -> None:
    op.drop_column("item_event", "export_log_id", schema="bridge")
    op.drop_index(
        "export_queue_amendment_key_ix",
        table_name="export_queue",
        schema="bridge",
        postgresql_where=sa.text("kind <> 'completion'"),
    )
    op.drop_index(
        "export_queue_shadowed_ix",
        table_name="export_queue",
        schema="bridge",
        postgresql_where=sa.text("shadowed_at IS NOT NULL"),
    )
    op.drop_index(
        "export_queue_held_ix", table_name="export_queue", schema="bridge", postgresql_where=sa.text("state = 'held'")
    )
    op.drop_index("export_queue_due_ix", table_name="export_queue", schema="bridge")
    op.create_index(
        "export_queue_due_ix",
        "export_queue",
        ["destination", "lane", "next_attempt_at", "id"],
        schema="bridge",
        postgresql_where=sa.text("state IN ('queued', 'failed')"),
    )
    op.drop_constraint(op.f("export_queue_dated_when_held_check"), "export_queue", schema="bridge", type_="check")
    op.drop_column("export_queue", "shadowed_at", schema="bridge")
    op.drop_column("export_queue", "held_at", schema="bridge")
    op.drop_column("export_queue", "template", schema="bridge")
    op.drop_column("destination_state", "next_request_at", schema="bridge")
    op.drop_column("destination_state", "rate_lowered_at", schema="bridge")
    op.drop_column("course", "category_path", schema="bridge")
    op.drop_constraint("completion_instance_minted_key", "completion_instance", schema="bridge", type_="unique")
    op.create_unique_constraint(
        op.f("completion_instance_minted_key"),
        "completion_instance",
        ["site", "user_id", "course_id", "first_time_completed", "ordinal"],
        schema="bridge",
        postgresql_nulls_not_distinct=False,
    )
    op.alter_column(
        "completion_instance",
        "first_time_completed",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        nullable=False,
        schema="bridge",
    )
    op.alter_column(
        "completion_instance",
        "time_completed",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        nullable=False,
        schema="bridge",
    )
    op.drop_index("kept_body_destination_at_ix", table_name="kept_body", schema="bridge")
    op.drop_table("kept_body", schema="bridge")
    op.drop_table("payload_template", schema="bridge")
    op.drop_table("mapping", schema="bridge")
    op.drop_table("audience_member", schema="bridge")
