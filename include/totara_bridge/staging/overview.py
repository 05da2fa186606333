"""What the control panel's first page reads beside the counts of items, at the same cost however large the queue is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from sqlalchemy import text

from totara_bridge.staging import state_arm
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.promise import bucket_of
from totara_bridge.staging.states import Lane, State


@dataclass(frozen=True)
class Oldest:
    """What waits longest for a destination."""

    since: datetime  #: when the bridge first saw it
    state: State


@dataclass(frozen=True)
class Delay:
    """How long deliveries took since the bridge first saw what they deliver."""

    p50: float  #: seconds that half of them took at most; up to a fifth too long, as the bounds of ``delivery_hour``
    p95: float
    share_in_time: float  #: of those that took no longer than promised, 0 to 1


@dataclass(frozen=True)
class Rest:
    """Whether a destination is asked at present."""

    until: datetime | None  #: nothing is claimed until then; the time may have passed
    down_since: datetime | None  #: it does not answer
    reason: str | None  #: of the last rest


def oldest_waiting(transaction: Transaction, destinations: Sequence[str]) -> Mapping[str, Oldest]:
    """What waits longest for each destination: is queued, failed, held or dead, or being sent; the backfill lane aside.

    Looked for among a thousand of each kind: those that are due first in each lane, then those with the lowest numbers
    in each state. Items are numbered as they come, so only an old one behind a thousand that were queued after it, as
    one that a person had sent again, can be missed; and what is shown costs the same with a million waiting.
    """
    if not destinations:
        return {}
    kinds = " UNION ALL ".join(each for number in range(len(destinations)) for each in _oldest(number))
    statement = text(
        f"""
        SELECT DISTINCT ON (destination) destination, state, staged_at FROM ({kinds}) kinds
        WHERE lane <> 'backfill' ORDER BY destination, staged_at, state
        """
    )
    rows = transaction.execute(statement.bindparams(*state_arm.parameters(destinations)))
    return {row.destination: Oldest(row.staged_at, State(row.state)) for row in rows}


def delays(transaction: Transaction, promises: Mapping[str, timedelta], *, since: datetime) -> Mapping[str, Delay]:
    """How long deliveries took, by destination; none where there were none, the backfill lane aside.

    :param promises: of each destination.
    :param since: the hour that it lies in counts whole.
    """
    rows = transaction.execute(_DELAYS, {"destinations": list(promises), "since": since}).all()
    return {
        code: _delay([(row.delay_bucket, row.sent) for row in rows if row.destination == code], promise)
        for code, promise in promises.items()
        if any(row.destination == code for row in rows)
    }


def rests(transaction: Transaction) -> Mapping[str, Rest]:
    """How the destinations are that ever rested or did not answer."""
    return {row.destination: Rest(row.until, row.down_since, row.reason) for row in transaction.execute(_RESTS)}


def _delay(counted: Sequence[tuple[int, int]], promise: timedelta) -> Delay:
    """:param counted: buckets in their order, and how many deliveries fell into each."""
    so_far = list(accumulate(sent for _, sent in counted))
    total = so_far[-1]

    def within(share: float) -> float:
        """The upper bound of the bucket in which this share is reached."""
        bucket = next(each for (each, _), sent in zip(counted, so_far, strict=True) if sent >= share * total)
        return float(2 ** ((bucket + 1) / 4))

    in_time = sum(sent for bucket, sent in counted if bucket <= bucket_of(promise))
    return Delay(within(0.50), within(0.95), in_time / total)


#: Of so many of a kind the oldest is looked for.
_LOOKED_AT = 1000


def _oldest(number: int) -> Iterator[str]:
    """SQL: the first of each kind of a destination, each by a partial index of its own."""
    for lane in (Lane.FRESH, Lane.RETRY):
        due = f"q.lane = '{lane}' AND q.state IN ('queued', 'failed') AND q.shadowed_at IS NULL"
        yield _some(f"q.destination = :of_{number} AND {due}", "q.next_attempt_at, q.id")
    for state in (State.QUEUED, State.FAILED, State.HELD, State.DEAD):
        yield _some(state_arm.is_in(state, number), state_arm.OLDEST_FIRST)
    yield _some(f"q.destination = :of_{number} AND q.state = 'sending'", "q.lease_until")


def _some(condition: str, order: str) -> str:
    """SQL: the first of a kind; the backfill lane is left out after, or a large one would be read to its end."""
    return f"""
        (SELECT q.destination, q.state, q.lane, q.staged_at FROM bridge.export_queue q
         WHERE {condition} ORDER BY {order} LIMIT {_LOOKED_AT})
    """


_DELAYS = text(
    """
    SELECT destination, delay_bucket, cast(sum(sent) AS bigint) AS sent FROM bridge.delivery_hour
    WHERE destination = ANY(:destinations) AND hour >= date_trunc('hour', cast(:since AS timestamptz), 'UTC')
      AND delay_bucket >= 0
    GROUP BY 1, 2 ORDER BY 1, 2
    """
)

_RESTS = text(
    """
    SELECT destination, greatest(not_before, breaker_open_until) AS until, down_since, reason
    FROM bridge.destination_state
    """
)
