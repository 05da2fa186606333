"""How many items are in each state, and how many came into it, at the same cost however many there are.

Triggers of ``export_queue`` write what each statement moved, a row for each state, and nobody waits for another's
count. `add_up` makes rows of minutes of them, later of hours, at last one of all that is older.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.states import Lane, State

#: So long it is known to the minute what came into a state, and afterwards to the hour.
MINUTES_FOR = timedelta(hours=25)

#: So long it is known to the hour what came into a state.
HOURS_FOR = timedelta(days=32)


@dataclass(frozen=True)
class Present:
    """Items that are in a state now."""

    destination: str
    state: State
    lane: Lane
    items: int


@dataclass(frozen=True)
class Came:
    """Items that came into a state in an hour."""

    destination: str
    state: State
    hour: datetime
    items: int


def present(transaction: Transaction) -> Sequence[Present]:
    """How many items there are, by destination, state and lane; what is not there is not named."""
    rows = transaction.execute(_PRESENT)
    return [Present(row.destination, State(row.state), Lane(row.lane), row.items) for row in rows]


def sent_since(transaction: Transaction, since: datetime) -> Mapping[str, int]:
    """How many items were sent since then, by destination.

    :param since: no longer ago than `MINUTES_FOR`; it counts to the minute, and what was sent before the migration that
        began to count, to the whole hours since then.
    """
    rows = transaction.execute(_SENT_SINCE, {"since": since})
    return {row.destination: row.items for row in rows}


def by_hour(transaction: Transaction, since: datetime) -> Sequence[Came]:
    """How many items were sent, failed and died in each hour since then, oldest first; hours without any are left out.

    :param since: no longer ago than `HOURS_FOR`; an hour that it lies in counts whole, as far as that is known.
    """
    rows = transaction.execute(_BY_HOUR, {"since": since})
    return [Came(row.destination, State(row.state), row.hour, row.items) for row in rows]


def add_up(transaction: Transaction, *, now: datetime) -> None:
    """Make fewer rows of what is older than a few minutes; the counts stay what they are.

    Where another transaction does so at this moment, it is left to that one.
    """
    if not transaction.execute(_ONE_AT_A_TIME).scalar_one():
        return
    for statement, older_than in zip(_ADD_UP, (timedelta(minutes=2), MINUTES_FOR, HOURS_FOR), strict=True):
        transaction.execute(statement, {"before": now - older_than})


_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(hashtextextended('totara_bridge.item_count', 0))")

_PRESENT = text(
    """
    SELECT destination, state, lane, cast(sum(came) - sum(went) AS bigint) AS items
    FROM bridge.item_count GROUP BY destination, state, lane HAVING sum(came) <> sum(went)
    ORDER BY destination, state, lane
    """
)

_SENT_SINCE = text(
    """
    SELECT destination, cast(sum(came) AS bigint) AS items FROM bridge.item_count
    WHERE grain IN (0, 1, 2) AND at >= date_trunc('minute', cast(:since AS timestamptz)) AND state = 'sent'
    GROUP BY destination HAVING sum(came) > 0
    """
)

_BY_HOUR = text(
    """
    SELECT destination, state, date_trunc('hour', at, 'UTC') AS hour, cast(sum(came) AS bigint) AS items
    FROM bridge.item_count
    WHERE grain IN (0, 1, 2) AND at >= date_trunc('hour', cast(:since AS timestamptz), 'UTC')
      AND state IN ('sent', 'failed', 'dead')
    GROUP BY 1, 2, 3 HAVING sum(came) > 0 ORDER BY hour, destination, state
    """
)


def _add_up(finer: str, grain: int, begin: str) -> str:
    """SQL: these rows become rows of another grain; one statement, so that who counts sees either."""
    return f"""
        WITH finer AS (
            DELETE FROM bridge.item_count WHERE {finer} RETURNING at, destination, state, lane, came, went
        )
        INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
        SELECT {grain}, {begin}, destination, state, lane, sum(came), sum(went) FROM finer GROUP BY 2, 3, 4, 5
    """


# a minute, an hour and a day at a time, or there would be a row for each time that this is done
_MINUTES_OVER = "grain = 0 AND at < date_trunc('minute', cast(:before AS timestamptz))"
_HOURS_OVER = "grain = 1 AND at < date_trunc('hour', cast(:before AS timestamptz), 'UTC')"
_DAYS_OVER = "grain = 2 AND at < date_trunc('day', cast(:before AS timestamptz), 'UTC')"

_ADD_UP = (
    text(_add_up(_MINUTES_OVER, 1, "date_trunc('minute', at)")),
    text(_add_up(_HOURS_OVER, 2, "date_trunc('hour', at, 'UTC')")),
    text(
        _add_up(
            f"{_DAYS_OVER} OR grain = 3 AND EXISTS (SELECT FROM bridge.item_count WHERE {_DAYS_OVER})",
            3,
            "'epoch'::timestamptz",
        )
    ),
)
