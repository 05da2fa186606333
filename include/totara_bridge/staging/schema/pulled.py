"""Who may fetch, and what those that fetch have said of it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, CIDR
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Id, Table, one_of


class ApiTokenRow(Table):
    """A token of the Pull API. What it is for outlives it: while a token is rotated, its caller has two."""

    __tablename__ = "api_token"
    __table_args__ = (
        CheckConstraint("length(sha256) = 32", "sha256"),
        CheckConstraint("scopes <@ ARRAY['read', 'acknowledge'] AND cardinality(scopes) > 0", "scopes"),
        CheckConstraint("expires_at > created_at", "expires_after_created"),
        CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", "revoked_by_somebody"),
        Index("api_token_caller_ix", "caller"),
    )

    id: Mapped[Id]
    caller: Mapped[str]  #: the name of the system that fetches
    sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)  #: of the token, which is stored nowhere
    hint: Mapped[str]  #: its first characters, by which people tell tokens apart
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    networks: Mapped[list[str]] = mapped_column(ARRAY(CIDR()))  #: where it may come from; empty: from anywhere
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]  #: none: never
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    last_used_at: Mapped[datetime | None]  #: to the minute; none: never


class ApiTokenPaceRow(Table):
    """From when on a token's next request is within its limit; after a crash of the database, from now on."""

    __tablename__ = "api_token_pace"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    token_id: Mapped[int] = mapped_column(ForeignKey("api_token.id", ondelete="CASCADE"), primary_key=True)
    paid_until: Mapped[datetime]  #: each request pays for a share of a minute


class AcknowledgementRow(Table):
    """The last that a caller of the Pull API said of a completion that it fetched."""

    __tablename__ = "acknowledgement"
    __table_args__ = (CheckConstraint(one_of("status", ("received", "processed", "rejected")), "status"),)

    caller: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    course_id: Mapped[int] = mapped_column(primary_key=True)
    change_seq: Mapped[int]  #: of the completion as it was then
    status: Mapped[str]
    reference: Mapped[str | None]  #: what the caller calls it
    message: Mapped[str | None]
    acknowledged_at: Mapped[datetime] = mapped_column(index=True)
