"""With which code the schema works: what lets an upgrade go on while the version before is still at work."""

from sqlalchemy import CheckConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Table


class CompatibilityRow(Table):
    """The one row that each migration writes, see `totara_bridge.staging.revision`."""

    __tablename__ = "compatibility"
    __table_args__ = (CheckConstraint("one_row", "one_row"),)

    one_row: Mapped[bool] = mapped_column(primary_key=True, server_default=true())
    oldest_code: Mapped[str]  #: the oldest revision whose code works with this schema
