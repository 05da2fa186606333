"""The tables of the staging database, in its schema ``bridge``."""

from totara_bridge.staging.schema.controls import SettingRow
from totara_bridge.staging.schema.delivered import (
    BaselineRow,
    DeliveryHourRow,
    DeliveryRow,
    DestinationStateRow,
    ExportLogRow,
    ItemEventRow,
    ItemRow,
)
from totara_bridge.staging.schema.extracted import (
    CompletionRow,
    CourseRow,
    InstanceRow,
    LearnerRow,
    SetAsideRow,
    SiteRow,
    WatermarkRow,
)
from totara_bridge.staging.schema.table import SCHEMA, Table

__all__ = [
    "SCHEMA",
    "BaselineRow",
    "CompletionRow",
    "CourseRow",
    "DeliveryHourRow",
    "DeliveryRow",
    "DestinationStateRow",
    "ExportLogRow",
    "InstanceRow",
    "ItemEventRow",
    "ItemRow",
    "LearnerRow",
    "SetAsideRow",
    "SettingRow",
    "SiteRow",
    "Table",
    "WatermarkRow",
]
