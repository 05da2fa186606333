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
    KeptBodyRow,
    MappingRow,
    PayloadTemplateRow,
)
from totara_bridge.staging.schema.extracted import (
    AudienceMemberRow,
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
    "AudienceMemberRow",
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
    "KeptBodyRow",
    "LearnerRow",
    "MappingRow",
    "PayloadTemplateRow",
    "SetAsideRow",
    "SettingRow",
    "SiteRow",
    "Table",
    "WatermarkRow",
]
