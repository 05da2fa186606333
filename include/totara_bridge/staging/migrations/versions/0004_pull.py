"""Tokens of the Pull API; learners and courses are numbered as they change."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


# so that a moment is found among the changes by halving: until now it was when a run began, and runs overlap
_ORDERED = """
    UPDATE bridge.completion c SET changed_at = ordered.changed_at
    FROM (SELECT change_seq, max(changed_at) OVER (ORDER BY change_seq) AS changed_at FROM bridge.completion) ordered
    WHERE ordered.change_seq = c.change_seq AND ordered.changed_at <> c.changed_at
"""


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("learner_change_seq", schema="bridge")))
    op.execute(sa.schema.CreateSequence(sa.Sequence("course_change_seq", schema="bridge")))
    op.execute(_ORDERED)
    op.create_table(
        "api_token",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("networks", postgresql.ARRAY(postgresql.CIDR()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "scopes <@ ARRAY['read', 'acknowledge'] AND cardinality(scopes) > 0", name=op.f("api_token_scopes_check")
        ),
        sa.CheckConstraint(
            "(revoked_at IS NULL) = (revoked_by IS NULL)", name=op.f("api_token_revoked_by_somebody_check")
        ),
        sa.CheckConstraint("expires_at > created_at", name=op.f("api_token_expires_after_created_check")),
        sa.CheckConstraint("length(sha256) = 32", name=op.f("api_token_sha256_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_token_pk")),
        sa.UniqueConstraint("sha256", name=op.f("api_token_sha256_key")),
        schema="bridge",
    )
    op.create_index("api_token_caller_ix", "api_token", ["caller"], unique=False, schema="bridge")
    op.create_table(
        "api_token_pace",
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.Column("paid_until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"], ["bridge.api_token.id"], name=op.f("api_token_pace_token_id_fk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", name=op.f("api_token_pace_pk")),
        schema="bridge",
        prefixes=["UNLOGGED"],
    )
    op.add_column(
        "course",
        sa.Column(
            "change_seq", sa.BigInteger(), server_default=sa.text("nextval('bridge.course_change_seq')"), nullable=False
        ),
        schema="bridge",
    )
    op.create_unique_constraint(op.f("course_change_seq_key"), "course", ["change_seq"], schema="bridge")
    op.add_column(
        "erased_learner",
        sa.Column(
            "change_seq",
            sa.BigInteger(),
            server_default=sa.text("nextval('bridge.learner_change_seq')"),
            nullable=False,
        ),
        schema="bridge",
    )
    op.create_unique_constraint(
        op.f("erased_learner_change_seq_key"), "erased_learner", ["change_seq"], schema="bridge"
    )
    op.add_column(
        "learner",
        sa.Column(
            "change_seq",
            sa.BigInteger(),
            server_default=sa.text("nextval('bridge.learner_change_seq')"),
            nullable=False,
        ),
        schema="bridge",
    )
    op.create_unique_constraint(op.f("learner_change_seq_key"), "learner", ["change_seq"], schema="bridge")
    op.create_index("learner_email_ix", "learner", [sa.literal_column("lower(email)")], unique=False, schema="bridge")
    op.create_index("learner_id_number_ix", "learner", ["id_number"], unique=False, schema="bridge")
    op.create_index("learner_username_ix", "learner", ["username"], unique=False, schema="bridge")


def downgrade() -> None:
    op.drop_index("learner_username_ix", table_name="learner", schema="bridge")
    op.drop_index("learner_id_number_ix", table_name="learner", schema="bridge")
    op.drop_index("learner_email_ix", table_name="learner", schema="bridge")
    op.drop_constraint(op.f("learner_change_seq_key"), "learner", schema="bridge", type_="unique")
    op.drop_column("learner", "change_seq", schema="bridge")
    op.drop_constraint(op.f("erased_learner_change_seq_key"), "erased_learner", schema="bridge", type_="unique")
    op.drop_column("erased_learner", "change_seq", schema="bridge")
    op.drop_constraint(op.f("course_change_seq_key"), "course", schema="bridge", type_="unique")
    op.drop_column("course", "change_seq", schema="bridge")
    op.drop_table("api_token_pace", schema="bridge")
    op.drop_index("api_token_caller_ix", table_name="api_token", schema="bridge")
    op.drop_table("api_token", schema="bridge")
    op.execute(sa.schema.DropSequence(sa.Sequence("course_change_seq", schema="bridge")))
    op.execute(sa.schema.DropSequence(sa.Sequence("learner_change_seq", schema="bridge")))
