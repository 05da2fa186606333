"""One page of a report, as Totara 19.1 and later give it at the moment when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.graphql.client import FieldMissing, GraphqlClient
from totara_bridge.totara.report import Report

_FIELD = "totara_reportbuilder_get_report"
_ASKED = (
    "report_metadata { title records_per_page } report_pagination { total_pages } columns { key label } rows { data }"
)


@dataclass(frozen=True)
class ReportPage:
    """What came."""

    title: str
    size: int  #: rows that a page has, but for the last
    total_pages: int | None  #: at that moment; none: not asked for
    keys: tuple[str, ...]  #: of the columns: ``type_value``
    labels: tuple[str, ...]  #: in the language of the API client's service account
    rows: Sequence[Sequence[str]]


def report_page(client: GraphqlClient, report: Report, number: int, *, counted: bool) -> ReportPage:
    """A page of the report.

    Nothing is sorted by: then Totara sorts by what the report says and last by the completion's own id, whereas of
    rows with an equal value in a column that is asked for, any may come on any page. Nor is a format asked for: it is
    made of what the report shows, gives no more than that, and makes the present of an empty date (both are in the
    published code of 19.1).

    :param counted: ask for the number of pages as well, for which Totara counts all rows.
    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: there is no such query, report or saved search, or it may not be seen.
    """
    given = f"report_id: {report.id}, page: {number}, display_report_pagination: {'true' if counted else 'false'}"
    if report.saved_search is not None:
        given += f", saved_search_id: {report.saved_search}"
    try:
        # numbers in the text: what the types of variables are called has not been the same in each release
        value = client.query(f"query {{ {_FIELD}(input: {{{given}}}) {{ {_ASKED} }} }}", {}, field=_FIELD)
    except FieldMissing:
        raise TotaraRefused(
            f"{client.place} does not know {_FIELD}, which came with Totara 19.1, so the report {report.id} cannot be "
            'asked for: upgrade Totara, or choose another "Source" (report_file takes the CSV files of its schedule).'
        ) from None
    try:
        return _read(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TotaraRefused(
            f"{client.place} gives the report {report.id} in a way that is not known "
            f"({type(error).__name__}: {error}): this release has another API than 19.1 to 20; choose another source."
        ) from error


def _read(value: Any) -> ReportPage:
    columns, metadata = value["columns"], value["report_metadata"]
    total = (value.get("report_pagination") or {}).get("total_pages")
    page = ReportPage(
        title=str(metadata.get("title") or ""),
        size=int(metadata["records_per_page"]),
        total_pages=None if total is None else int(total),
        keys=tuple(str(each["key"]) for each in columns),
        labels=tuple(str(each.get("label") or "") for each in columns),
        rows=[_cells(each["data"]) for each in value["rows"]],
    )
    for number, row in enumerate(page.rows, 1):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} values for {len(columns)} columns")
    if page.size < 1 or len(page.rows) > page.size:
        raise ValueError(f"{len(page.rows)} rows on a page of {page.size}")
    return page


def _cells(data: Any) -> list[str]:
    return ["" if each is None else str(each) for each in (data.values() if isinstance(data, dict) else data)]
