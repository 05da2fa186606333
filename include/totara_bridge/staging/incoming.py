"""What a source has just read of a site, streamed into temporary tables of the transaction that will merge it."""

from collections.abc import Iterable
from enum import StrEnum

from psycopg import sql
from sqlalchemy import text

from totara_bridge.completion import COMPLETION_COLUMNS, COURSE_COLUMNS, HISTORY_COLUMNS, LEARNER_COLUMNS
from totara_bridge.staging.engine import Transaction, driver

_TYPES = {
    "status": "text",
    "progress": "smallint",
    "grade": "numeric(10,5)",
    "rpl": "text",
    "username": "text",
    "id_number": "text",
    "email": "text",
    "first_name": "text",
    "last_name": "text",
    "suspended": "boolean",
    "deleted": "boolean",
    "short_name": "text",
    "full_name": "text",
    "visible": "boolean",
}
PAIR_COLUMNS = ("user_id", "course_id")


class Incoming(StrEnum):
    """The temporary tables."""

    COMPLETION = "incoming_completion"
    HISTORY = "incoming_history"
    LEARNER = "incoming_learner"
    COURSE = "incoming_course"
    #: the pairs that were read again; without rows in `COMPLETION` they are gone. Empty in a full compare
    PAIR = "incoming_pair"
    #: whole courses that were read again
    WHOLE_COURSE = "incoming_whole_course"
    #: every pair that Totara has, also those that the connection's query leaves out; empty without a query
    PRESENT = "incoming_present"


_COLUMNS = {
    Incoming.COMPLETION: COMPLETION_COLUMNS,
    Incoming.HISTORY: HISTORY_COLUMNS,
    Incoming.LEARNER: LEARNER_COLUMNS,
    Incoming.COURSE: COURSE_COLUMNS,
    Incoming.PAIR: PAIR_COLUMNS,
    Incoming.WHOLE_COURSE: ("course_id",),
    Incoming.PRESENT: PAIR_COLUMNS,
}


def receive(transaction: Transaction) -> None:
    """Make the temporary tables, empty; they go with the transaction."""
    for table, columns in _COLUMNS.items():
        described = ", ".join(f"{column} {_TYPES.get(column, 'bigint')}" for column in columns)
        transaction.execute(text(f"CREATE TEMPORARY TABLE {table} ({described}) ON COMMIT DROP"))


def load(transaction: Transaction, table: Incoming, lines: Iterable[bytes]) -> int:
    """Stream lines of COPY text into one of the tables; how many rows it then holds."""
    statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table.value))
    with driver(transaction).cursor() as cursor:
        with cursor.copy(statement) as copy:
            for line in lines:
                copy.write(line)
        loaded = cursor.rowcount
    transaction.execute(text(f"ANALYZE {table}"))
    return loaded
