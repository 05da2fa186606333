"""Test connection for report files: whether the newest one can be read."""

from contextlib import ExitStack
from datetime import UTC, datetime

from totara_bridge.errors import ReportUnreadable
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report_columns import refuse_what_no_report_shows
from totara_bridge.totara.report_file.download import downloaded, is_address
from totara_bridge.totara.report_file.folder import files, open_file
from totara_bridge.totara.report_file.table import Table
from totara_bridge.totara.report_file.text import ReportText
from totara_bridge.totara.source import Dates

#: So many rows are read in a moment.
_TRIED = 10_000


def check(connection: TotaraConnection) -> str:
    """What is there, in one sentence.

    :raises ConfigurationInvalid: the connection's query, or the place, cannot be.
    :raises TotaraUnavailable: the address does not answer.
    :raises TotaraRefused: the place, or the newest file in it, cannot be read.
    """
    refuse_what_no_report_shows(connection.query)
    with ExitStack() as opened:
        if is_address(connection.report.place):
            text, written = ReportText(*opened.enter_context(downloaded(connection))), ""
        else:
            there = files(connection.report.place)
            file = open_file(there[-1], opened) if there else None
            if file is None:
                return f"There is no report file at {connection.report.place} yet: an empty report writes none."
            moment = datetime.fromtimestamp(there[-1].written_at // 1_000_000_000, UTC)
            text, written = ReportText(there[-1].name, file), f", written {moment:%Y-%m-%d %H:%M} UTC"
        inspected = text.inspect()
        if inspected.unfinished:
            return f"The report file {text.name}{written} waits, as {inspected.unfinished}."
        table = Table(text, inspected.header, connection)
        bad = _bad_rows(table)
        given = table.gives
        dates = "no completion dates" if given.dates is Dates.NONE else f"days in {connection.zone.key}"
        if connection.days_of == "learner":
            dates = "days in the learners' time zones"
        return f"The report file {text.name}{written} has {inspected.rows} rows, with {dates}.{bad}"


def _bad_rows(table: Table) -> str:
    """What is to be said of those of the first rows that cannot be understood."""
    good, bad = table.try_rows(_TRIED)
    if bad and not good:
        raise ReportUnreadable(
            f"Not one of the first {bad} rows of the report file {table.name} can be understood: "
            f"{table.first_refused()}."
        )
    return f" {bad} of the first {good + bad} would be set aside: {table.first_refused()}." if bad else ""
