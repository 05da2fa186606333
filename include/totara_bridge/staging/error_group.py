"""Failed and dead items by what went wrong, each group with how many there are and when."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.selection import FINGERPRINT, Selection, selected, values
from totara_bridge.staging.states import State


def error_groups(transaction: Transaction, *, destinations: Sequence[str] = ()) -> Sequence[Row[Any]]:
    """The groups, the largest first.

    The rows have destination, fingerprint, error_class, error_code and error_words (of one of the items), how many
    are dead and failed, and when the first and the last of them came to that.

    :param destinations: only of these; none: of all.
    """
    selection = Selection(states=(State.DEAD, State.FAILED), destinations=destinations)
    columns = f"""
        q.id, q.state, q.destination, q.queued_at, {FINGERPRINT} AS fingerprint,
        q.error_class, q.error_code, q.error_words
    """
    statement = text(
        f"""
        SELECT f.destination, f.fingerprint, min(f.error_class) AS error_class, min(f.error_code) AS error_code,
               min(f.error_words) AS error_words, count(*) FILTER (WHERE f.state = 'dead') AS dead,
               count(*) FILTER (WHERE f.state = 'failed') AS failed,
               min(coalesce(e.at, f.queued_at)) AS first_at, max(coalesce(e.at, f.queued_at)) AS last_at
        FROM ({selected(columns, selection)}) AS f
        LEFT JOIN LATERAL (SELECT max(e.at) AS at FROM bridge.item_event e
                           WHERE e.item_id = f.id AND e.verb IN ('retry', 'reject')) e ON true
        GROUP BY f.destination, f.fingerprint ORDER BY count(*) DESC, f.destination, f.fingerprint
        """
    )
    return transaction.execute(statement, values(selection)).all()
