"""Which column of a report means what: Totara's own keys, or the headings that the connection names."""

from collections.abc import Collection, Sequence

from totara_bridge.completion import COMPLETION_COLUMNS
from totara_bridge.errors import ReportUnreadable
from totara_bridge.totara.report import ColumnName, Report
from totara_bridge.totara.report_columns import KEYS
from totara_bridge.totara.report_values import quoted
from totara_bridge.totara.source import Dates, Gives

_MOST_NAMED = 40


def columns_of(
    header: Sequence[str], report: Report, wanted: Collection[ColumnName], *, name: str
) -> dict[ColumnName, int]:
    """Where each column is.

    :param name: the file's.
    :raises ReportUnreadable: one that is wanted is not there, or one heading stands over two columns.
    """
    said = [heading.strip().casefold() for heading in header]
    places: dict[ColumnName, int] = {}
    for column, keys in KEYS.items():
        own = report.columns.get(column)
        known = (own.casefold(),) if own else keys
        found = [place for place, heading in enumerate(said) if heading in known]
        if own and len(found) > 1:
            raise ReportUnreadable(
                f"The report file {name} has {len(found)} columns with the heading {quoted(own)}, so nothing of it "
                f"was read: which of them is {column} cannot be told; give them headings of their own in Totara."
            )
        if found:
            places[column] = found[0]
    missing = [column for column in KEYS if column in wanted and column not in places]
    if missing:
        raise ReportUnreadable(_lacking(header, report, missing, name))
    return places


def gives(columns: Collection[ColumnName]) -> Gives:
    """What a report with these columns can say of a completion."""
    given = {"row_id", *columns} | ({"time_completed_until"} if "time_completed" in columns else set())
    return Gives(
        dates=Dates.DAY if "time_completed" in columns else Dates.NONE,
        history=False,
        row_ids=False,
        columns=frozenset(given.intersection(COMPLETION_COLUMNS)),
    )


def _lacking(header: Sequence[str], report: Report, missing: Sequence[ColumnName], name: str) -> str:
    wanted = ", ".join(f"{column} ({quoted(report.columns.get(column) or KEYS[column][0])})" for column in missing)
    found = ", ".join(map(quoted, header[:_MOST_NAMED])) or "none"
    return (
        f"The report file {name} lacks what is needed: {wanted}; its columns are {found}, so nothing of it was read: "
        "add them to the report in Totara (learners and courses are known by their ids, not by names), or say under "
        "columns in the connection's Report what they are called there, and export it again."
    )
