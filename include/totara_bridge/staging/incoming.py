"""What a source has just read of a site, streamed into temporary tables of the transaction that will merge it."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from psycopg import sql
from sqlalchemy import TextClause, text

from totara_bridge.completion import (
    AUDIENCE_MEMBER_COLUMNS,
    COMPLETION_COLUMNS,
    COURSE_COLUMNS,
    HISTORY_COLUMNS,
    LEARNER_COLUMNS,
    REFUSED_COLUMNS,
)
from totara_bridge.staging import erased
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
    "category_path": "text",
    "audience": "text",
    "whole": "boolean",
    "feed": "text",
    "reason": "text",
}

#: The end of the year 9999 in Unix seconds: neither PostgreSQL's text nor Python's dates go beyond.
_LAST_SECOND = 253_402_300_799

PAIR_COLUMNS = ("user_id", "course_id")
AUDIENCE_COLUMNS = ("audience", "whole")


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
    #: the audiences that were read, and whether whole or only of the learners in `LEARNER`
    AUDIENCE = "incoming_audience"
    AUDIENCE_MEMBER = "incoming_audience_member"
    #: the rows that the source could not understand
    REFUSED = "incoming_refused"


_COLUMNS = {
    Incoming.COMPLETION: COMPLETION_COLUMNS,
    Incoming.HISTORY: HISTORY_COLUMNS,
    Incoming.LEARNER: LEARNER_COLUMNS,
    Incoming.COURSE: COURSE_COLUMNS,
    Incoming.PAIR: PAIR_COLUMNS,
    Incoming.WHOLE_COURSE: ("course_id",),
    Incoming.PRESENT: PAIR_COLUMNS,
    Incoming.AUDIENCE: AUDIENCE_COLUMNS,
    Incoming.AUDIENCE_MEMBER: AUDIENCE_MEMBER_COLUMNS,
    Incoming.REFUSED: REFUSED_COLUMNS,
}

_TIMES = {
    Incoming.COMPLETION: ("time_enrolled", "time_started", "time_completed"),
    Incoming.HISTORY: ("time_completed",),
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


def drop_erased(transaction: Transaction, *, site: str) -> None:
    """Take out what was read of erased learners.

    Under the lock of `completion.begin_merge`, or it could be read before a learner is erased and merged after it.
    """
    if not erased.any_of(transaction, site):
        return
    for table, columns in _COLUMNS.items():
        if "user_id" in columns:
            statement = (
                f"DELETE FROM {table} i USING bridge.erased_learner e WHERE e.site = :site AND e.user_id = i.user_id"
            )
            transaction.execute(text(statement), {"site": site})


def set_aside_impossible(transaction: Transaction, *, site: str, now: datetime) -> int:
    """Take out the rows whose times cannot be true and note them, so that they do not block their neighbours.

    And note those that the source could not understand.

    :returns: how many such rows were read; they are in ``set_aside`` with the reason.
    """
    transaction.execute(
        text("CREATE TEMPORARY TABLE incoming_set_aside (user_id bigint, course_id bigint) ON COMMIT DROP")
    )
    return sum(
        int(transaction.execute(statement, {"site": site, "now": now}).scalar_one())
        for statement in (
            _SET_ASIDE_REFUSED,
            _set_aside(Incoming.COMPLETION, "row_id"),
            _set_aside(Incoming.HISTORY, "history_id"),
        )
    )


def has_unknown_refused(transaction: Transaction) -> bool:
    """Whether a row was not understood of which not even the learner and the course are known."""
    statement = text("SELECT EXISTS (SELECT FROM incoming_refused WHERE user_id = 0 OR course_id = 0)")
    return bool(transaction.execute(statement).scalar_one())


_SET_ASIDE_REFUSED = text(
    """
    WITH noted AS (INSERT INTO incoming_set_aside SELECT user_id, course_id FROM incoming_refused),
    kept AS (
        INSERT INTO bridge.set_aside (site, feed, row_id, user_id, course_id, reason, first_seen_at, last_seen_at)
        SELECT :site, feed, place, user_id, course_id, reason, :now, :now FROM incoming_refused
        ON CONFLICT (site, feed, row_id)
        DO UPDATE SET reason = excluded.reason, last_seen_at = excluded.last_seen_at
    )
    SELECT count(*) FROM incoming_refused
    """
)


def impossible(table: Incoming) -> str:
    """SQL: the row's times cannot be true."""
    return " OR ".join(f"{time} NOT BETWEEN 0 AND {_LAST_SECOND}" for time in _TIMES[table])


def _set_aside(table: Incoming, row: str) -> TextClause:
    said = " || ', ' || ".join(f"'{time} ' || coalesce({time}::text, 'none')" for time in _TIMES[table])
    return text(
        f"""
        WITH taken AS (
            DELETE FROM {table} WHERE {impossible(table)} RETURNING {row} AS row_id, user_id, course_id, {said} AS said
        ),
        noted AS (INSERT INTO incoming_set_aside SELECT user_id, course_id FROM taken),
        kept AS (
            INSERT INTO bridge.set_aside (site, feed, row_id, user_id, course_id, reason, first_seen_at, last_seen_at)
            SELECT :site, '{table.value.removeprefix("incoming_")}', row_id, user_id, course_id,
                   'a time is outside the years 1970 to 9999: ' || said, :now, :now
            FROM taken
            ON CONFLICT (site, feed, row_id)
            DO UPDATE SET reason = excluded.reason, last_seen_at = excluded.last_seen_at
        )
        SELECT count(*) FROM taken
        """
    )
