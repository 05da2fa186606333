"""create staging."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateSequence, DropSequence

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(CreateSequence(sa.Sequence("change_seq", schema="bridge")))
    op.create_table(
        "baseline",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("destination", "site", name=op.f("baseline_pk")),
        schema="bridge",
    )
    op.create_table(
        "completion",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("progress", sa.SmallInteger(), nullable=True),
        sa.Column("grade", sa.Numeric(precision=10, scale=5), nullable=True),
        sa.Column("rpl", sa.Text(), nullable=True),
        sa.Column("time_enrolled", sa.DateTime(timezone=True), nullable=True),
        sa.Column("time_started", sa.DateTime(timezone=True), nullable=True),
        sa.Column("time_completed", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "change_seq", sa.BigInteger(), server_default=sa.text("nextval('bridge.change_seq')"), nullable=False
        ),
        sa.CheckConstraint(
            "status IN ('not_started', 'in_progress', 'complete', 'complete_rpl')", name=op.f("completion_status_check")
        ),
        sa.PrimaryKeyConstraint("site", "user_id", "course_id", name=op.f("completion_pk")),
        sa.UniqueConstraint("change_seq", name=op.f("completion_change_seq_key")),
        schema="bridge",
    )
    op.create_table(
        "completion_instance",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=True),
        sa.Column("history_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("time_completed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_time_completed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ordinal", sa.SmallInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("record_key", sa.Text(), nullable=False),
        sa.Column("after_deletion", sa.Boolean(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revised_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "record_key LIKE 'TB%' AND length(record_key) = 28", name=op.f("completion_instance_record_key_check")
        ),
        sa.CheckConstraint("status IN ('complete', 'complete_rpl')", name=op.f("completion_instance_status_check")),
        sa.CheckConstraint(
            "(archived_at IS NULL) = (history_id IS NULL)", name=op.f("completion_instance_archived_in_history_check")
        ),
        sa.CheckConstraint("revision >= 1", name=op.f("completion_instance_revision_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("completion_instance_pk")),
        sa.UniqueConstraint("record_key", name=op.f("completion_instance_record_key_key")),
        sa.UniqueConstraint(
            "site", "user_id", "course_id", "first_time_completed", "ordinal", name="completion_instance_minted_key"
        ),
        schema="bridge",
    )
    op.create_index(
        "completion_instance_current_ix",
        "completion_instance",
        ["site", "user_id", "course_id"],
        unique=True,
        schema="bridge",
        postgresql_where=sa.text("archived_at IS NULL AND ended_at IS NULL"),
    )
    op.create_table(
        "course",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("category_id", sa.BigInteger(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column("id_number", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("visible", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("site", "course_id", name=op.f("course_pk")),
        schema="bridge",
    )
    op.create_table(
        "delivery_hour",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delay_bucket", sa.SmallInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "hour", "delay_bucket", name=op.f("delivery_hour_pk")),
        schema="bridge",
    )
    op.create_table(
        "destination_state",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("breaker_open_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rate", sa.Numeric(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("destination", name=op.f("destination_state_pk")),
        schema="bridge",
    )
    op.create_table(
        "export_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("batch", sa.Uuid(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("http_status", sa.SmallInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("export_log_pk")),
        schema="bridge",
    )
    op.create_index(op.f("export_log_destination_ix"), "export_log", ["destination"], unique=False, schema="bridge")
    op.create_table(
        "learner",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("id_number", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("site", "user_id", name=op.f("learner_pk")),
        schema="bridge",
    )
    op.create_table(
        "set_aside",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("course_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("site", "feed", "row_id", name=op.f("set_aside_pk")),
        schema="bridge",
    )
    op.create_table(
        "setting",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("setting_pk")),
        schema="bridge",
    )
    op.create_table(
        "site",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("site_pk")),
        schema="bridge",
    )
    op.create_table(
        "watermark",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("log_id", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("extracted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("watermark_pk")),
        schema="bridge",
    )
    op.create_table(
        "delivery",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["bridge.completion_instance.id"], name=op.f("delivery_instance_id_fk")
        ),
        sa.PrimaryKeyConstraint("destination", "instance_id", "kind", "revision", name=op.f("delivery_pk")),
        schema="bridge",
    )
    op.create_table(
        "export_queue",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claim_token", sa.Uuid(), nullable=True),
        sa.Column("claimed_from", sa.Text(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_words", sa.Text(), nullable=True),
        sa.Column("held_for", sa.Text(), nullable=True),
        sa.Column("cancelled_by", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("export_log_id", sa.BigInteger(), nullable=True),
        sa.Column("staged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'cancelled') = (cancelled_by IS NOT NULL)", name=op.f("export_queue_who_when_cancelled_check")
        ),
        sa.CheckConstraint(
            "(state = 'held') = (held_for IS NOT NULL)", name=op.f("export_queue_reason_when_held_check")
        ),
        sa.CheckConstraint(
            "(state = 'sending') = (claim_token IS NOT NULL)", name=op.f("export_queue_claimed_when_sending_check")
        ),
        sa.CheckConstraint(
            "(state = 'sending') = (claimed_at IS NOT NULL)", name=op.f("export_queue_dated_when_sending_check")
        ),
        sa.CheckConstraint(
            "(state = 'sending') = (claimed_from IS NOT NULL)", name=op.f("export_queue_comes_from_when_sending_check")
        ),
        sa.CheckConstraint(
            "(state = 'sending') = (lease_until IS NOT NULL)", name=op.f("export_queue_leased_when_sending_check")
        ),
        sa.CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name=op.f("export_queue_dated_when_sent_check")),
        sa.CheckConstraint("claimed_from IN ('queued', 'failed')", name=op.f("export_queue_comes_from_check")),
        sa.CheckConstraint("kind IN ('completion', 'correction', 'withdrawal')", name=op.f("export_queue_kind_check")),
        sa.CheckConstraint("lane IN ('fresh', 'retry', 'backfill')", name=op.f("export_queue_lane_check")),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'failed', 'dead', 'held', 'cancelled')",
            name=op.f("export_queue_state_check"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('failed', 'dead') OR error_class IS NOT NULL",
            name=op.f("export_queue_error_when_failed_check"),
        ),
        sa.CheckConstraint("attempts >= 0 AND failures >= 0", name=op.f("export_queue_counts_check")),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["bridge.completion_instance.id"], name=op.f("export_queue_instance_id_fk")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("export_queue_pk")),
        sa.UniqueConstraint(
            "destination",
            "instance_id",
            "kind",
            "revision",
            name=op.f("export_queue_destination_instance_id_kind_revision_key"),
        ),
        schema="bridge",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "export_queue_due_ix",
        "export_queue",
        ["destination", "lane", "next_attempt_at", "id"],
        unique=False,
        schema="bridge",
        postgresql_where=sa.text("state IN ('queued', 'failed')"),
    )
    op.create_index(
        "export_queue_lease_ix",
        "export_queue",
        ["destination", "lease_until"],
        unique=False,
        schema="bridge",
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index(
        "export_queue_one_completion_ix",
        "export_queue",
        ["destination", "instance_id"],
        unique=True,
        schema="bridge",
        postgresql_where=sa.text("kind = 'completion' AND state <> 'cancelled'"),
    )
    op.create_table(
        "item_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["item_id"], ["bridge.export_queue.id"], name=op.f("item_event_item_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("item_event_pk")),
        schema="bridge",
    )
    op.create_index(op.f("item_event_item_id_ix"), "item_event", ["item_id"], unique=False, schema="bridge")


def downgrade() -> None:
    op.drop_index(op.f("item_event_item_id_ix"), table_name="item_event", schema="bridge")
    op.drop_table("item_event", schema="bridge")
    op.drop_index(
        "export_queue_one_completion_ix",
        table_name="export_queue",
        schema="bridge",
        postgresql_where=sa.text("kind = 'completion' AND state <> 'cancelled'"),
    )
    op.drop_index(
        "export_queue_lease_ix",
        table_name="export_queue",
        schema="bridge",
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.drop_index(
        "export_queue_due_ix",
        table_name="export_queue",
        schema="bridge",
        postgresql_where=sa.text("state IN ('queued', 'failed')"),
    )
    op.drop_table("export_queue", schema="bridge")
    op.drop_table("delivery", schema="bridge")
    op.drop_table("watermark", schema="bridge")
    op.drop_table("site", schema="bridge")
    op.drop_table("setting", schema="bridge")
    op.drop_table("set_aside", schema="bridge")
    op.drop_table("learner", schema="bridge")
    op.drop_index(op.f("export_log_destination_ix"), table_name="export_log", schema="bridge")
    op.drop_table("export_log", schema="bridge")
    op.drop_table("destination_state", schema="bridge")
    op.drop_table("delivery_hour", schema="bridge")
    op.drop_table("course", schema="bridge")
    op.drop_index(
        "completion_instance_current_ix",
        table_name="completion_instance",
        schema="bridge",
        postgresql_where=sa.text("archived_at IS NULL AND ended_at IS NULL"),
    )
    op.drop_table("completion_instance", schema="bridge")
    op.drop_table("completion", schema="bridge")
    op.drop_table("baseline", schema="bridge")
    op.execute(DropSequence(sa.Sequence("change_seq", schema="bridge")))
