"""Reading completions from a report of Totara's report builder, by the external GraphQL API of 19.1 and later."""

from totara_bridge.totara.report_query.source import ReportQuerySource, check

__all__ = ["ReportQuerySource", "check"]
