"""Pages of users and jobs as 17.3 gives them: a cursor that holds the last row's value of the sort column, no more.

So rows with the same value as the last row of a page are never given: only ``id`` (and ``username``) lose nothing.
The page number is ignored, and there is no upper limit to a page. Which of several rows with an equal value comes
first is the database's business there; here it goes by id.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, func, select

from totara_bridge.sandbox.totara.http.graphql_execution import Execution, FieldError

_DEFAULT_LIMIT = 20
_CODING_ERROR = "Coding error detected, it must be fixed by a programmer: "
Row = dict[str, Any]


@dataclass(frozen=True)
class Paged:
    """What is given in pages."""

    table: Table
    shown: ColumnElement[bool]
    sortable: tuple[str, ...]  #: the columns to sort by, in the order in which Totara lists them


def page(paged: Paged, query: Row, execution: Execution) -> Row:
    """``total``, ``next_cursor`` and ``items`` of one page; the total is that of all pages."""
    column, descending = _sort(query.get("sort") or [], paged.sortable)
    pagination = query.get("pagination", {})
    limit = pagination.get("limit") or _DEFAULT_LIMIT
    value, key = paged.table.c[column], paged.table.c.id
    statement = select(paged.table).where(paged.shown)
    if "cursor" in pagination:
        limit, after = _read_cursor(pagination["cursor"], value)
        statement = statement.where(value < after if descending else value > after)
    order = [each.desc() if descending else each.asc() for each in (value, key)]
    rows = execution.site.rows(statement.order_by(*order).limit(limit + 1))
    total = execution.site.rows(select(func.count().label("total")).where(paged.shown))[0]["total"]
    items = rows[:limit]
    following = _cursor(limit, column, items[-1][column]) if len(rows) > limit else ""
    return {"total": total, "next_cursor": following, "items": items}


def _sort(sorts: list[Row], sortable: tuple[str, ...]) -> tuple[str, bool]:
    """The column, and whether from its highest value down."""
    if not sorts:
        return "id", False
    if len(sorts) > 1:
        raise FieldError("Sorting by more than one column is not currently supported.")
    column = sorts[0]["column"]
    if column not in sortable:
        raise FieldError(f"{_CODING_ERROR}sort field must be one of these: {', '.join(sortable)}")
    return str(column), sorts[0].get("direction") == "DESC"


def _cursor(limit: int, column: str, value: Any) -> str:
    # the id is the one column that comes as a number
    columns = {column: value if column == "id" else str(value)}
    return base64.b64encode(json.dumps({"limit": limit, "columns": columns}, separators=(",", ":")).encode()).decode()


def _read_cursor(given: str, column: ColumnElement[Any]) -> tuple[int, Any]:
    """The page's limit, and the value that its rows come after."""
    try:
        cursor = json.loads(base64.b64decode(given, validate=True))
        return int(cursor["limit"]), column.type.python_type(cursor["columns"][column.key])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        words = f"{_CODING_ERROR}Invalid cursor given, expected array encoded as json and base64."
        raise FieldError(words) from error
