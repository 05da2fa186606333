"""A source that knows more finds the instances that another one made, and says of them what it knows.

That is no revision: what was told is as true as before. Only an instance without a date that gets one is revised, by
the rules of `totara_bridge.staging.instance`: that is news.
"""

from sqlalchemy import TextClause, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.instance_rules import COMPLETE, MAY_BE, PAIR, agrees
from totara_bridge.staging.unsaid import UNDATED


def adopt_rows(transaction: Transaction, *, site: str) -> None:
    """Give instances that were found without them Totara's row ids and history, and exact times; before the merge."""
    for statement in (_ROWS, *_HISTORY):
        transaction.execute(statement, {"site": site})


def adopt_times(transaction: Transaction, *, site: str) -> None:
    """Give instances of which only the day is known their exact times; before the merge."""
    transaction.execute(_TIMES, {"site": site})


_EXACT = "n.time_completed IS NOT NULL AND n.time_completed_until IS NULL AND i.time_completed IS NOT NULL"


def _current(row_id: str, which: str) -> TextClause:
    return text(
        f"""
        UPDATE bridge.completion_instance i
        SET row_id = {row_id},
            time_completed = CASE WHEN {_EXACT} THEN to_timestamp(n.time_completed) ELSE i.time_completed END,
            time_completed_until = CASE WHEN {_EXACT} THEN NULL ELSE i.time_completed_until END
        FROM incoming_completion n
        WHERE {PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL AND {which} AND {COMPLETE} AND {MAY_BE}
        """
    )


_ROWS = _current("n.row_id", f"i.row_id <= {UNDATED}")
_TIMES = _current("i.row_id", f"i.time_completed_until IS NOT NULL AND {_EXACT}")


def _archived(which: str, order: str) -> TextClause:
    """SQL: archived instances and history rows that may be one, each to each in their order."""
    return text(
        f"""
        UPDATE bridge.completion_instance i
        SET history_id = pair.history_id, time_completed_until = NULL,
            time_completed = CASE WHEN i.time_completed IS NOT NULL THEN pair.time_completed END
        FROM (
            SELECT i.id, n.history_id, to_timestamp(n.time_completed) AS time_completed,
                   dense_rank() OVER (PARTITION BY i.id ORDER BY n.time_completed {order}, n.history_id {order}) AS row,
                   dense_rank() OVER (PARTITION BY n.history_id ORDER BY i.id {order}) AS instance
            FROM bridge.completion_instance i
            JOIN incoming_history n ON {PAIR} AND {agrees("to_timestamp(n.time_completed)", "NULL::timestamptz")}
            WHERE i.archived_at IS NOT NULL AND i.history_id IS NULL AND i.ended_at IS NULL AND {which}
              AND NOT EXISTS (SELECT FROM bridge.completion_instance k
                              WHERE k.site = :site AND k.user_id = n.user_id AND k.course_id = n.course_id
                                AND k.history_id = n.history_id)
        ) pair
        WHERE i.id = pair.id AND pair.row = pair.instance
        """
    )


#: Those whose day is known first; of those without a date, the last rows are what was seen of the history.
_HISTORY = (
    _archived("i.time_completed IS NOT NULL AND n.time_completed IS NOT NULL", "ASC"),
    _archived("i.time_completed IS NULL", "DESC"),
)
