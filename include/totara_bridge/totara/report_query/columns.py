"""Which column of a queried report means what: Totara's own keys, or what the connection says it is called."""

from collections.abc import Collection, Mapping, Sequence

from totara_bridge.completion import COMPLETION_COLUMNS
from totara_bridge.errors import ReportUnreadable
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report import ColumnName
from totara_bridge.totara.report_columns import KEYS, needed
from totara_bridge.totara.report_query.report_page import ReportPage
from totara_bridge.totara.report_values import quoted
from totara_bridge.totara.source import Dates, Gives

#: What the GraphQL API knows of a learner as well.
OF_LEARNER: tuple[ColumnName, ...] = ("username", "id_number", "email", "first_name", "last_name")

_TIMES = frozenset({"time_enrolled", "time_started"})
_MOST_NAMED = 40


def columns_of(page: ReportPage, connection: TotaraConnection) -> Mapping[ColumnName, int]:
    """Where each column is in a row.

    :raises ReportUnreadable: one that is needed is not there, or two have the heading that the connection names.
    """
    places: dict[ColumnName, int] = {}
    for column, keys in KEYS.items():
        own = connection.report.columns.get(column)
        found = _found(page, own) if own else [page.keys.index(key) for key in keys if key in page.keys]
        if own and len(found) > 1:
            raise ReportUnreadable(
                f"The report {quoted(page.title)} has {len(found)} columns that are called {quoted(own)}: which of "
                f"them is {column} cannot be told; name its key (type_value) under columns in the connection's Report."
            )
        if found:
            places[column] = found[0]
    missing = [column for column in KEYS if column in needed(connection) and column not in places]
    if missing:
        raise ReportUnreadable(_lacking(page, connection, missing))
    return places


def gives(columns: Collection[ColumnName], dates: Dates) -> Gives:
    """What the report can say of a completion; of which only the day is known, when it began is left to others."""
    given = {"row_id", *columns}
    if dates is Dates.DAY:
        given = (given | {"time_completed_until"}) - _TIMES
    elif dates is Dates.SECOND:
        given |= {"time_completed_until"}
    return Gives(dates=dates, history=False, row_ids=False, columns=frozenset(given.intersection(COMPLETION_COLUMNS)))


def _found(page: ReportPage, own: str) -> list[int]:
    """The places of a key, or else of a heading."""
    wanted = own.casefold()
    by_key = [place for place, key in enumerate(page.keys) if key.casefold() == wanted]
    return by_key or [place for place, label in enumerate(page.labels) if label.strip().casefold() == wanted]


def _lacking(page: ReportPage, connection: TotaraConnection, missing: Sequence[ColumnName]) -> str:
    wanted = ", ".join(f"{column} ({quoted(connection.report.columns.get(column) or KEYS[column][0])})"
                       for column in missing)  # fmt: skip
    found = ", ".join(page.keys[:_MOST_NAMED]) or "none"
    return (
        f"The report {quoted(page.title)} lacks what is needed: {wanted}; its columns are {found}, so nothing of it "
        "was read: add them to the report in Totara (learners and courses are known by their ids, not by names; "
        "hidden columns do not count), or say under columns in the connection's Report what they are called there."
    )
