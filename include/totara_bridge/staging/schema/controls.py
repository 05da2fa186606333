"""What people set: a manager's switches."""

from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Table


class SettingRow(Table):
    """One switch that is not at its default; scope is a destination's code, or ``bridge`` for all."""

    __tablename__ = "setting"

    scope: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB(none_as_null=False))
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]
