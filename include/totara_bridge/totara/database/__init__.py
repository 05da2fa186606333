"""Reading completions from a Totara's own database: the only source with dates, history and a change log."""

from totara_bridge.totara.database.source import DatabaseSource

__all__ = ["DatabaseSource"]
