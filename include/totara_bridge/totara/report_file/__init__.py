"""Reading completions from the CSV files of a scheduled report: a folder of them, or one at an address."""

from totara_bridge.totara.report_file.check import check
from totara_bridge.totara.report_file.source import ReportFileSource

__all__ = ["ReportFileSource", "check"]
