"""What the control panel reads at any size: items are counted as they move; keys and names are found by prefix."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# A row for each statement and state, with what it moved on balance: nobody waits for another's count.
_COUNT = """
    CREATE FUNCTION bridge.count_moved_items() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
            SELECT 0, clock_timestamp(), destination, state, lane, count(*), 0 FROM came GROUP BY 3, 4, 5;
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
            SELECT 0, clock_timestamp(), destination, state, lane, 0, count(*) FROM went GROUP BY 3, 4, 5;
        ELSE
            INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
            SELECT 0, clock_timestamp(), destination, state, lane, greatest(moved, 0), greatest(-moved, 0)
            FROM (SELECT destination, state, lane, sum(items) AS moved
                  FROM (SELECT destination, state, lane, count(*) AS items FROM came GROUP BY 1, 2, 3
                        UNION ALL
                        SELECT destination, state, lane, -count(*) FROM went GROUP BY 1, 2, 3) AS counted
                  GROUP BY 1, 2, 3) AS balance
            WHERE moved <> 0;
        END IF;
        RETURN NULL;
    END
    $$
"""

_TRIGGERS = {
    "INSERT": "REFERENCING NEW TABLE AS came",
    "UPDATE": "REFERENCING OLD TABLE AS went NEW TABLE AS came",
    "DELETE": "REFERENCING OLD TABLE AS went",
}

# what was sent is known by hour for as long as charts show; the rest of what there is came some time before
_SO_FAR = (
    """
    INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
    SELECT 2, hour, destination, 'sent', CASE WHEN delay_bucket = -1 THEN 'backfill' ELSE 'fresh' END, sum(sent), 0
    FROM bridge.delivery_hour WHERE hour > now() - interval '31 days' GROUP BY 2, 3, 5
""",
    """
    INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
    SELECT 3, 'epoch', destination, state, lane, greatest(sum(items), 0), greatest(-sum(items), 0)
    FROM (SELECT destination, state, lane, count(*) AS items FROM bridge.export_queue GROUP BY 1, 2, 3
          UNION ALL
          SELECT destination, state, lane, -sum(came) FROM bridge.item_count GROUP BY 1, 2, 3) AS counted
    GROUP BY 3, 4, 5 HAVING sum(items) <> 0
""",
)


def upgrade() -> None:
    op.create_table(
        "item_count",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("grain", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("came", sa.BigInteger(), nullable=False),
        sa.Column("went", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("came >= 0 AND went >= 0", name=op.f("item_count_counts_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("item_count_pk")),
        schema="bridge",
    )
    op.create_index("item_count_grain_at_ix", "item_count", ["grain", "at"], schema="bridge")
    op.create_table(
        "extract_hour",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "hour", name=op.f("extract_hour_pk")),
        schema="bridge",
    )
    op.execute("LOCK TABLE bridge.export_queue IN SHARE ROW EXCLUSIVE MODE")  # nothing moves uncounted
    for statement in _SO_FAR:
        op.execute(statement)
    op.execute(_COUNT)
    for verb, tables in _TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER count_moved_items_{verb.lower()} AFTER {verb} ON bridge.export_queue {tables} "
            "FOR EACH STATEMENT EXECUTE FUNCTION bridge.count_moved_items()"
        )
    op.create_index(
        "export_queue_waiting_ix",
        "export_queue",
        ["destination", "state", "id"],
        schema="bridge",
        postgresql_where=sa.text("state IN ('queued', 'failed')"),
    )
    op.create_index("export_log_at_ix", "export_log", ["at", "id"], schema="bridge")
    op.execute('ALTER TABLE bridge.completion_instance ALTER record_key TYPE text COLLATE "C"')
    _index_again("text_pattern_ops")


def downgrade() -> None:
    _index_again("")
    op.execute('ALTER TABLE bridge.completion_instance ALTER record_key TYPE text COLLATE "default"')
    op.drop_index("export_log_at_ix", table_name="export_log", schema="bridge")
    op.drop_index("export_queue_waiting_ix", table_name="export_queue", schema="bridge")
    for verb in _TRIGGERS:
        op.execute(f"DROP TRIGGER count_moved_items_{verb.lower()} ON bridge.export_queue")
    op.execute("DROP FUNCTION bridge.count_moved_items()")
    op.drop_table("extract_hour", schema="bridge")
    op.drop_index("item_count_grain_at_ix", table_name="item_count", schema="bridge")
    op.drop_table("item_count", schema="bridge")


def _index_again(by: str) -> None:
    for index, table, expression, where in (
        ("learner_username_ix", "learner", "username", ""),
        ("learner_id_number_ix", "learner", "id_number", ""),
        ("learner_email_ix", "learner", "lower(email)", ""),
        ("export_queue_amendment_key_ix", "export_queue", "idempotency_key", "WHERE kind <> 'completion'"),
    ):
        op.execute(f"DROP INDEX bridge.{index}")
        op.execute(f"CREATE INDEX {index} ON bridge.{table} ({expression} {by}) {where}")
