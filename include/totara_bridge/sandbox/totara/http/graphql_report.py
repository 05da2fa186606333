"""``totara_reportbuilder_get_report`` of 19.1 and later: a report over the live table, page by page.

After its published resolver, not recorded: sorted by the column asked for and by nothing else (descending unless
said), or else by the completion's id; custom formats are made from what the report shows, so that RAW of a status is
the words of it. No order, page or total is kept from one request to the next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from totara_bridge.sandbox.totara.http.graphql_execution import Execution, FieldError, FieldType
from totara_bridge.sandbox.totara.http.graphql_input import Inputs
from totara_bridge.sandbox.totara.http.graphql_report_formats import Change, custom_formats
from totara_bridge.sandbox.totara.http.graphql_switches import GraphqlSwitches, Report
from totara_bridge.sandbox.totara.http.report_rows import DATE_COLUMNS, Narrowed, Order, count, rows
from totara_bridge.sandbox.totara.http.report_words import day, label, percentage, status_words

Row = dict[str, Any]
SINCE = (19, 1)  #: the release
_COST = 50  #: what the query itself adds to the complexity, besides one per field
INPUTS: Inputs = {
    "totara_reportbuilder_get_report_input": {
        "report_id": "core_id!",
        "page": "param_integer",
        "saved_search_id": "core_id",
        "sort_by": "totara_reportbuilder_sort_by_input",
        "display_report_pagination": "Boolean",
        "custom_formats": "[totara_reportbuilder_custom_format_input!]",
    },
    "totara_reportbuilder_sort_by_input": {"column": "String!", "direction": "core_sort_direction_enum"},
    "totara_reportbuilder_custom_format_input": {
        "column": "String!",
        "formatter": "String!",
        "target_format": "String!",
    },
}


@dataclass(frozen=True)
class _Asked:
    """A page of a report, once it is known that there is one."""

    report: Report
    page: int
    narrowed: Narrowed
    order: Order | None
    paginated: bool
    formats: dict[str, Change]


def _report(source: Row, arguments: Row, execution: Execution) -> Row:
    given = arguments["input"]
    asked = _asked(given, execution)
    language = execution.switches.language
    return {
        "report_metadata": {"report_id": str(given["report_id"]), **_metadata(asked.report)},
        "report_pagination": _pagination(asked, execution),
        "columns": [{"key": key, "label": label(key, language)} for key in asked.report.columns],
        "rows": _rows(asked, execution),
    }


def _asked(given: Row, execution: Execution) -> _Asked:
    number, page = given["report_id"], given.get("page", 1)
    report = execution.switches.reports.get(number)
    if report is None:
        raise FieldError(f"Cannot find report with ID {number}")
    narrowed = _narrowed(given.get("saved_search_id", 0), number, execution.switches)
    if not report.allowed:
        raise FieldError("You do not have permission to view this report")
    order = _order(given.get("sort_by"), page, report, execution.switches)
    formats = custom_formats(given.get("custom_formats", []), report.columns, execution)
    return _Asked(report, page, narrowed, order, given.get("display_report_pagination", False), formats)


def _narrowed(number: int, report: int, switches: GraphqlSwitches) -> Narrowed:
    if number == 0:
        return Narrowed()
    search = switches.saved_searches.get(number)
    if search is None:
        raise FieldError(f"Cannot find saved search with ID {number}")
    if not search.shared:
        raise FieldError(f"Provided saved search ({number}) is not a shared search and does not belong to this user.")
    if search.report_id != report:
        raise FieldError(f"Provided saved search ID ({number}) does not belong to report {report}")
    return Narrowed(search.statuses, search.completed_since)


def _order(sort_by: Row | None, page: int, report: Report, switches: GraphqlSwitches) -> Order | None:
    if sort_by is None:
        return None
    if sort_by["column"] not in report.columns:
        raise FieldError(f"Invalid sort column: {sort_by['column']}")
    turned = switches.unstable_ties and page % 2 == 0
    return Order(sort_by["column"], sort_by.get("direction", "DESC") == "DESC", ties_descending=turned)


def _metadata(report: Report) -> Row:
    return {
        "title": report.title,
        "abstract": report.abstract,
        "description": report.description,
        "records_per_page": report.records_per_page,
    }


def _pagination(asked: _Asked, execution: Execution) -> Row:
    if not asked.paginated:
        return {"next_cursor": None, "total_pages": None}
    there = execution.site.rows(count(execution.site.tables, asked.narrowed))[0]["rows"]
    pages = -(-there // asked.report.records_per_page)
    return {"next_cursor": asked.page + 1 if asked.page < pages else None, "total_pages": pages}


def _rows(asked: _Asked, execution: Execution) -> list[Row]:
    size = asked.report.records_per_page
    # a page below the first is the first: databases take no negative offset
    offset = max(asked.page - 1, 0) * size
    statement = rows(execution.site.tables, asked.narrowed, order=asked.order, limit=size, offset=offset)
    show = _shower(execution.switches)
    made = []
    for row in execution.site.rows(statement):
        shown = {key: show(key, row[key]) for key in asked.report.columns}
        shown |= {key: change(shown[key]) for key, change in asked.formats.items()}
        made.append({"data": list(shown.values())})
    return made


def _shower(switches: GraphqlSwitches) -> Callable[[str, Any], str]:
    """How the report's display functions show a value to the external API."""
    zone, language = ZoneInfo(switches.zone), switches.language

    def show(key: str, value: Any) -> str:
        if key in DATE_COLUMNS and switches.report_dates == "text":
            return day(value, zone, language)
        if key == "course_completion_status":
            return status_words(value, language)
        if key == "course_completion_grade":
            return percentage(value, language)
        return str(value or "")  # no id is 0, and a date that is 0 is none

    return show


TYPES = {
    "totara_reportbuilder_get_report_result": {
        "report_metadata": FieldType("totara_reportbuilder_report_metadata"),
        "report_pagination": FieldType("totara_reportbuilder_report_pagination"),
        "columns": FieldType("totara_reportbuilder_report_column", many=True),
        "rows": FieldType("totara_reportbuilder_report_row", many=True),
    },
    "totara_reportbuilder_report_metadata": {
        name: FieldType() for name in ("report_id", "title", "abstract", "description", "records_per_page")
    },
    "totara_reportbuilder_report_pagination": {"next_cursor": FieldType(), "total_pages": FieldType()},
    "totara_reportbuilder_report_column": {"key": FieldType(), "label": FieldType()},
    "totara_reportbuilder_report_row": {"data": FieldType()},
}
QUERIES = {
    "totara_reportbuilder_get_report": FieldType(
        "totara_reportbuilder_get_report_result",
        required=True,
        arguments={"input": "totara_reportbuilder_get_report_input!"},
        resolve=_report,
        cost=_COST,
    )
}
