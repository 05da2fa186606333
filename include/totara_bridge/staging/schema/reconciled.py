"""What reconciles found: how much Totara has, and where that differs from what is here."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Date
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Id, Table, one_of


class ReconciliationRow(Table):
    """One comparison of a site with staging and with what was delivered."""

    __tablename__ = "reconciliation"

    id: Mapped[Id]
    site: Mapped[str]
    made_at: Mapped[datetime]  #: the state of staging that was compared
    made_by: Mapped[str]
    query: Mapped[str]  #: the connection's query, as JSON: only what it lets through was counted
    missing: Mapped[int]  #: Totara has it, staging or a destination lacks it
    extra: Mapped[int]  #: staging or a destination has it, Totara lacks it
    different: Mapped[int]  #: both have it, not alike
    pending: Mapped[int]  #: changed in Totara since the last extract: not compared
    repaired: Mapped[bool]


class ReconciledCountRow(Table):
    """How many completions Totara has of a course and a day, current and archived; of a site's last comparison."""

    __tablename__ = "reconciled_count"

    reconciliation_id: Mapped[int] = mapped_column(primary_key=True)
    course_id: Mapped[int] = mapped_column(primary_key=True)
    #: on which they were completed, in bridge.toml's time zone; of one without a date, on which it was first seen
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    completed: Mapped[int]  #: all of them
    erased: Mapped[int]  #: of these, of learners who were erased here: not staged
    set_aside: Mapped[int]  #: of these, those that cannot be true: not staged


class ReconciledDifferenceRow(Table):
    """One of the first differences of a comparison."""

    __tablename__ = "reconciled_difference"
    __table_args__ = (CheckConstraint(one_of("kind", ("missing", "extra", "different")), "kind"),)

    reconciliation_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    place: Mapped[str]  #: ``staging``, or a destination's code
    user_id: Mapped[int]
    course_id: Mapped[int]
    record_key: Mapped[str | None]
    totara: Mapped[str]  #: what Totara says, in words
    here: Mapped[str]  #: what is here, in words
