"""Failed and dead items by what went wrong, each group with how many there are and when."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.staging import state_arm
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
    statement = text(_groups(selected(_COLUMNS, selection), words="min(f.error_words)"))
    return transaction.execute(statement, values(selection)).all()


@dataclass(frozen=True)
class NewestErrors:
    """Groups of the newest items."""

    groups: Sequence[Row[Any]]  #: as `error_groups` gives them; and ``sample``, the number of the newest item of each
    examined: Mapping[tuple[str, State], int]  #: how many items, by destination and state


def newest_error_groups(transaction: Transaction, destinations: Sequence[str], *, limit: int) -> NewestErrors:
    """The groups of the newest items, the largest first; the cost grows with the limit, however many there are.

    :param limit: of each destination's items in each of the two states, so many with the highest numbers.
    """
    if not destinations:
        return NewestErrors((), {})
    arms = [
        _newest(state, number, limit) for number in range(len(destinations)) for state in (State.DEAD, State.FAILED)
    ]
    statement = text(_groups(" UNION ALL ".join(arms), words="(array_agg(f.error_words ORDER BY f.id DESC))[1]"))
    groups = transaction.execute(statement.bindparams(*state_arm.parameters(destinations))).all()
    examined: Counter[tuple[str, State]] = Counter()
    for row in groups:
        examined[row.destination, State.DEAD] += row.dead
        examined[row.destination, State.FAILED] += row.failed
    return NewestErrors(groups, examined)


def _newest(state: State, number: int, limit: int) -> str:
    """SQL: the newest items of a destination and state."""
    return f"""
        SELECT {_COLUMNS} FROM (SELECT * FROM bridge.export_queue q
              WHERE {state_arm.is_in(state, number)} ORDER BY {state_arm.NEWEST_FIRST} LIMIT {limit}) q
    """


#: SQL: what `_groups` needs of the items ``q``.
_COLUMNS = f"""
    q.id, q.state, q.destination, q.queued_at, {FINGERPRINT} AS fingerprint, q.error_class, q.error_code, q.error_words
"""


def _groups(items: str, *, words: str) -> str:
    """SQL: the groups of these items.

    :param words: SQL, whose words stand for those of a group ``f``.
    """
    return f"""
    SELECT f.destination, f.fingerprint, min(f.error_class) AS error_class, min(f.error_code) AS error_code,
           {words} AS error_words,
           count(*) FILTER (WHERE f.state = 'dead') AS dead, count(*) FILTER (WHERE f.state = 'failed') AS failed,
           min(coalesce(e.at, f.queued_at)) AS first_at, max(coalesce(e.at, f.queued_at)) AS last_at,
           max(f.id) AS sample
    FROM ({items}) f
    LEFT JOIN LATERAL (SELECT max(e.at) AS at FROM bridge.item_event e
                       WHERE e.item_id = f.id AND e.verb IN ('retry', 'reject')) e ON true
    GROUP BY f.destination, f.fingerprint ORDER BY count(*) DESC, f.destination, f.fingerprint
    """
