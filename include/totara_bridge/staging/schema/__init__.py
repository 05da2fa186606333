"""The tables of the staging database, in its schema ``bridge``."""

from totara_bridge.staging.schema.compatible import CompatibilityRow
from totara_bridge.staging.schema.controls import AlertNoticeRow, AlertRow, AuditRow, SettingRow
from totara_bridge.staging.schema.counted import DeliveryHourRow, ItemCountRow
from totara_bridge.staging.schema.delivered import (
    BaselineRow,
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
    ErasedLearnerRow,
    ExtractHourRow,
    InstanceRow,
    LearnerRow,
    SetAsideRow,
    SiteRow,
    WatermarkRow,
)
from totara_bridge.staging.schema.pulled import AcknowledgementRow, ApiTokenPaceRow, ApiTokenRow
from totara_bridge.staging.schema.reconciled import ReconciledCountRow, ReconciledDifferenceRow, ReconciliationRow
from totara_bridge.staging.schema.sources import CrawledPairRow, CrawlRow, LoadedFileRow
from totara_bridge.staging.schema.table import SCHEMA, Table

__all__ = [
    "SCHEMA",
    "AcknowledgementRow",
    "AlertNoticeRow",
    "AlertRow",
    "ApiTokenPaceRow",
    "ApiTokenRow",
    "AudienceMemberRow",
    "AuditRow",
    "BaselineRow",
    "CompatibilityRow",
    "CompletionRow",
    "CourseRow",
    "CrawlRow",
    "CrawledPairRow",
    "DeliveryHourRow",
    "DeliveryRow",
    "DestinationStateRow",
    "ErasedLearnerRow",
    "ExportLogRow",
    "ExtractHourRow",
    "InstanceRow",
    "ItemCountRow",
    "ItemEventRow",
    "ItemRow",
    "KeptBodyRow",
    "LearnerRow",
    "LoadedFileRow",
    "MappingRow",
    "PayloadTemplateRow",
    "ReconciledCountRow",
    "ReconciledDifferenceRow",
    "ReconciliationRow",
    "SetAsideRow",
    "SettingRow",
    "SiteRow",
    "Table",
    "WatermarkRow",
]
