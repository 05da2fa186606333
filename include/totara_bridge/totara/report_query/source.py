"""A Totara read through a report that its API gives page by page: what the report shows, and no more."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.graphql.client import GraphqlClient
from totara_bridge.totara.report_columns import refuse_what_no_report_shows
from totara_bridge.totara.report_query.columns import OF_LEARNER, columns_of, gives
from totara_bridge.totara.report_query.reading import ReportReading
from totara_bridge.totara.report_query.report_page import ReportPage, report_page
from totara_bridge.totara.report_query.rows import is_exact
from totara_bridge.totara.report_query.snapshot import ReportQuerySnapshot
from totara_bridge.totara.report_values import quoted
from totara_bridge.totara.source import Dates

log = logging.getLogger(__name__)

_DATES = {
    Dates.SECOND: "dates to the second",
    Dates.DAY: "dates by day",
    Dates.NONE: "no dates (add the completion date to the report)",
}


class ReportQuerySource:
    """One report of one Totara."""

    def __init__(self, connection: TotaraConnection) -> None:
        self._connection = connection

    @contextmanager
    def snapshot(self) -> Iterator[ReportQuerySnapshot]:
        """The whole report as it is now; see `totara_bridge.totara.source.Source`.

        All of it is read before anything is given, into a temporary file.

        :raises ConfigurationInvalid: the connection's query cannot be applied to a report.
        """
        refuse_what_no_report_shows(self._connection.query)
        with (
            GraphqlClient(self._connection) as client,
            ReportReading(client, self._connection) as reading,
        ):
            dates = _dates_of(reading.places.get("time_completed"), (row.cells for row in reading.rows()))
            log.info("report %s: it shows %s", self._connection.report.id, _DATES[dates])
            given = gives(reading.places, dates)
            clock = client.clock or int(time.time())
            yield ReportQuerySnapshot(self._connection, client, reading, given, clock)


def check(connection: TotaraConnection) -> str:
    """What the report shows, in one sentence: what Airflow's "Test" shows.

    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: there is no such report, it may not be seen, or it lacks a column.
    :raises ConfigurationInvalid: the connection's query cannot be applied to a report.
    """
    refuse_what_no_report_shows(connection.query)
    with GraphqlClient(connection) as client:
        page = report_page(client, connection.report, 1, counted=True)
        places = columns_of(page, connection)
        if not page.rows:
            dates = "no row to see how it shows dates"
        else:
            dates = _DATES[_dates_of(places.get("time_completed"), page.rows)]
        lacking = [name for name in OF_LEARNER if name not in places]
        elsewhere = f", {' and '.join(lacking)} of learners from the API" if lacking else ""
        return f"Totara's report {quoted(page.title)}: {_extent(page)}, {dates}{elsewhere}."


def _extent(page: ReportPage) -> str:
    pages = max(page.total_pages or 1, 1)
    if pages == 1:
        return f"{len(page.rows)} completions on one page"
    return f"{pages} pages of {page.size} completions, each read at least twice (more records per page take less time)"


def _dates_of(place: int | None, rows: Iterable[Sequence[str]]) -> Dates:
    """How exactly these rows show when something was completed.

    :param place: of that column; none: there is none.
    """
    if place is None:
        return Dates.NONE
    return Dates.SECOND if all(is_exact(row[place].strip()) for row in rows) else Dates.DAY
