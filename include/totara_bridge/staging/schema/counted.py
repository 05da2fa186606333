"""What is counted as it happens, so that how many there are costs the same at any size."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Id, Table


class ItemCountRow(Table):
    """Items that came into a state, and that left it; how many are in it is the sum of all rows.

    Triggers of ``export_queue`` write a row for each statement and state, so that nobody waits for another's count;
    what is older is added up, see `totara_bridge.staging.item_count`.
    """

    __tablename__ = "item_count"
    __table_args__ = (
        Index("item_count_grain_at_ix", "grain", "at"),
        CheckConstraint("came >= 0 AND went >= 0", "counts"),
    )

    id: Mapped[Id]
    #: of how much time: 0 of a statement, 1 of a minute, 2 of an hour, 3 of all that is older
    grain: Mapped[int] = mapped_column(SmallInteger)
    at: Mapped[datetime]  #: when that time began
    destination: Mapped[str]
    state: Mapped[str]
    lane: Mapped[str]
    came: Mapped[int]
    went: Mapped[int]


class DeliveryHourRow(Table):
    """How many items were sent in an hour, by how long they took since they were first staged."""

    __tablename__ = "delivery_hour"

    destination: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    #: ⌊4 · log2(seconds)⌋, so a bucket's bounds differ by 19 %; −1: the backfill lane, whose delay means nothing
    delay_bucket: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sent: Mapped[int]
