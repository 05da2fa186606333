"""What people set, asked for and are told: switches, the audit log, and alerts."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Id, Table, one_of


class SettingRow(Table):
    """One switch that is not at its default; scope is a destination's code, or ``bridge`` for all."""

    __tablename__ = "setting"

    scope: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB(none_as_null=False))
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]


class AuditRow(Table):
    """What a person changed or had done: no secrets, no names of learners."""

    __tablename__ = "audit_log"

    id: Mapped[Id]
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str]  #: who asked
    action: Mapped[str]  #: such as ``setting`` or ``requeue``
    subject: Mapped[str]  #: of what: a setting's name, a destination's code, a learner's number
    details: Mapped[Any] = mapped_column(JSONB(none_as_null=False))


class AlertRow(Table):
    """A promise that is broken, from when that was seen until it is kept again."""

    __tablename__ = "alert"
    __table_args__ = (
        Index("alert_open_key", "name", "subject", unique=True, postgresql_where=text("resolved_at IS NULL")),
        Index("alert_resolved_at_ix", "resolved_at"),
        CheckConstraint("resolved_at >= raised_at", "resolved_after_raised"),
    )

    id: Mapped[Id]
    name: Mapped[str]  #: which promise
    subject: Mapped[str]  #: whose: the code of a site or destination, a DAG, or a task of one
    words: Mapped[str]  #: what is wrong, as last seen
    run_id: Mapped[str | None]  #: the DAG run that it is about
    raised_at: Mapped[datetime]
    seen_at: Mapped[datetime]  #: when it was last seen
    resolved_at: Mapped[datetime | None]


class AlertNoticeRow(Table):
    """Whether a channel was told that an alert was raised, or resolved."""

    __tablename__ = "alert_notice"
    __table_args__ = (CheckConstraint(one_of("event", ("raised", "resolved")), "event"),)

    alert_id: Mapped[int] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), primary_key=True)
    event: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)  #: the Airflow Connection that it goes through
    attempts: Mapped[int] = mapped_column(SmallInteger)
    sent_at: Mapped[datetime | None]  #: none: not yet
    error: Mapped[str | None]  #: why the last attempt failed
