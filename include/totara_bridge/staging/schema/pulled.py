"""What those that fetch have said of it."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Table, one_of


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
