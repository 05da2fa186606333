"""The custom formats of a report's columns: each is made from what the column shows, as the published resolver does.

A date that shows as text is a day again, at midnight in the site's zone; an empty one becomes the present, because
PHP reads no text as now; one in another language than English is not understood at all.
"""

import html
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from totara_bridge.sandbox.totara.http.graphql_dates import iso8601
from totara_bridge.sandbox.totara.http.graphql_execution import Execution, FieldError
from totara_bridge.sandbox.totara.http.report_words import MONTHS

Change = Callable[[str], str]
_TARGETS = {
    "DATE": ("ISO8601", "TIMESTAMP"),
    "STRING": ("RAW", "PLAIN", "HTML"),
    "TEXT": ("RAW", "PLAIN", "HTML", "MOBILE"),
    "TEXTAREA": ("RAW", "PLAIN", "HTML"),
}
_TAG = re.compile(r"<[^>]*>")
_TEXTS: dict[str, Change] = {
    "RAW": str,
    "PLAIN": lambda shown: _TAG.sub("", shown),
    "HTML": html.escape,
    "MOBILE": html.escape,
}
_DAY = re.compile(r"(\d{1,2}) (\w+) (\d{4})")


def custom_formats(asked: Sequence[dict[str, Any]], columns: Sequence[str], execution: Execution) -> dict[str, Change]:
    """What happens to the shown values of each column that a format is asked for.

    :raises FieldError: there is no such formatter, target or column.
    """
    return {each["column"]: _change(each, columns, execution) for each in asked}


def _change(asked: dict[str, Any], columns: Sequence[str], execution: Execution) -> Change:
    formatter, target, column = asked["formatter"], asked["target_format"].upper(), asked["column"]
    if formatter not in _TARGETS:
        raise FieldError(f"Invalid custom format formatter provided: {formatter}")
    if not target:
        raise FieldError(f"No target_format has been provided for the formatter {formatter}")
    if target not in _TARGETS[formatter]:
        raise FieldError(
            f"Invalid format ({target}) given for the formatter of the type {formatter}. "
            "Please check that you have the correct formatter for the type of data you want to modify."
        )
    if not column:
        raise FieldError(f"No column has been provided for the formatter {formatter}")
    if column not in columns:
        raise FieldError(f'Unable to resolve a column with the name "{column}" on the report')
    if formatter == "DATE":
        return lambda shown: _date(shown, target, execution)
    return _TEXTS[target]


def _date(shown: str, target: str, execution: Execution) -> str:
    if not shown and not execution.switches.empty_dates_become_now:
        return ""
    time = _time(shown, execution)
    return str(time) if target == "TIMESTAMP" else iso8601(time, execution.switches.zone)


def _time(shown: str, execution: Execution) -> int:
    if not shown:
        return execution.site.now()
    if shown.isdecimal():
        return int(shown)
    parts = _DAY.fullmatch(shown)
    if parts is None or parts[2] not in MONTHS["en"]:
        raise FieldError("DateTime::setTimestamp(): Argument #1 ($timestamp) must be of type int, string given")
    month = MONTHS["en"].index(parts[2]) + 1
    return int(datetime(int(parts[3]), month, int(parts[1]), tzinfo=ZoneInfo(execution.switches.zone)).timestamp())
