"""Dates as fields of the external API give them: in the format asked for, in the site's zone."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from totara_bridge.sandbox.totara.http.graphql_execution import Execution, FieldError, FieldType

DATE_ARGUMENTS = {"format": "core_date_format"}
_ISO8601 = "%Y-%m-%dT%H:%M:%S%z"  #: without a colon in the offset, as recorded


def iso8601(time: int, zone: str) -> str:
    """A time in Unix seconds."""
    return datetime.fromtimestamp(time, ZoneInfo(zone)).strftime(_ISO8601)


def shown(time: int | None, arguments: dict[str, Any], execution: Execution) -> str | None:
    """A time in Unix seconds in the format that the arguments name; 0 and nothing are null.

    :raises FieldError: a format of which no recording exists.
    """
    if not time:
        return None
    match arguments.get("format", "TIMESTAMP"):
        case "TIMESTAMP":
            return str(time)
        case "ISO8601":
            return iso8601(time, execution.switches.zone)
    raise FieldError("This sandbox knows dates as ISO8601 and TIMESTAMP only.")


def date_field(column: str) -> FieldType:
    """A field that shows this column's time."""
    return FieldType(
        arguments=DATE_ARGUMENTS,
        resolve=lambda row, arguments, execution: shown(row[column], arguments, execution),
    )
