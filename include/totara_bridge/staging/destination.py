"""How a destination is, shared by all that send to it; and the log of what was asked of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import DestinationStateRow, ExportLogRow

#: No rate is lower, in requests per second.
SLOWEST = 0.1

#: A rate that gets here is none any more: its pauses, below 20 ms, are shorter than nearly any request.
FASTEST = 50.0


@dataclass(frozen=True)
class Request:
    """One request to a destination."""

    batch: UUID
    destination: str
    at: datetime
    duration_ms: int
    items: int
    http_status: int | None
    outcome: str
    error: str | None
    request_id: str | None


def log_request(transaction: Transaction, request: Request) -> int:
    """Write the request down; its number in the log."""
    return transaction.execute(insert(ExportLogRow).values(vars(request)).returning(ExportLogRow.id)).scalar_one()


def rest(transaction: Transaction, destination: str, *, not_before: datetime, reason: str, now: datetime) -> None:
    """Let nothing be claimed until then: the destination asked for it."""
    later = func.greatest(DestinationStateRow.not_before, not_before)
    _put(transaction, destination, {"not_before": not_before, "reason": reason, "changed_at": now}, not_before=later)


def open_breaker(transaction: Transaction, destination: str, *, until: datetime, reason: str, now: datetime) -> None:
    """Let nothing be claimed until then: the destination failed repeatedly."""
    _put(transaction, destination, {"breaker_open_until": until, "reason": reason, "changed_at": now})


def went_down(transaction: Transaction, destination: str, *, now: datetime) -> None:
    """It does not answer, since now or before."""
    since = func.coalesce(DestinationStateRow.down_since, now)
    _put(transaction, destination, {"down_since": now, "changed_at": now}, down_since=since)


def went_down_unless_answered(transaction: Transaction, destination: str, *, requests: int, now: datetime) -> None:
    """It does not answer, if its last so many requests got none, whichever drains made them; since the first of them.

    For a drain with too little to send to notice it alone.
    """
    transaction.execute(_WENT_DOWN, {"destination": destination, "requests": requests, "now": now})


def works(transaction: Transaction, destination: str) -> None:
    """It has stored something, or refused it for good: it is not down, or no more."""
    transaction.execute(
        update(DestinationStateRow)
        .where(DestinationStateRow.destination == destination, DestinationStateRow.down_since.is_not(None))
        .values(down_since=None)
    )


def resting_until(transaction: Transaction, destination: str) -> tuple[datetime | None, str | None]:
    """Until when nothing is claimed, and why; the time may have passed."""
    row = transaction.execute(
        select(
            DestinationStateRow.not_before, DestinationStateRow.breaker_open_until, DestinationStateRow.reason
        ).where(DestinationStateRow.destination == destination)
    ).one_or_none()
    if row is None:
        return None, None
    times = [each for each in (row.not_before, row.breaker_open_until) if each is not None]
    return (max(times) if times else None), row.reason


def reserve(transaction: Transaction, destination: str, *, within: float) -> float | None:
    """Take the next turn at the destination's rate; the seconds until then, or none where it has no rate.

    By the database's clock, which all drains share. A turn that comes later than ``within`` seconds is not taken.
    """
    return transaction.execute(_RESERVE, {"destination": destination, "within": within}).scalar_one_or_none()


def lower_rate(
    transaction: Transaction, destination: str, *, measured: float, started: float, now: datetime
) -> float | None:
    """Halve the rate, after a request was refused for it; the new rate, requests per second.

    None where it was lowered already since the request began: what was in flight together counts once.

    :param measured: how many requests per second were made, where there was no rate yet.
    :param started: how many seconds ago the request began.
    """
    values = {"destination": destination, "measured": measured, "started": started, "slowest": SLOWEST, "now": now}
    return transaction.execute(_LOWER, values).scalar_one_or_none()


def raise_rate(transaction: Transaction, destination: str) -> None:
    """Let the rate creep up after a good request: by half a request per second for each second of its turn.

    It doubles at most, and at `FASTEST` it is none any more.
    """
    transaction.execute(_RAISE, {"destination": destination, "fastest": FASTEST})


# what is shown in shadow mode is no request; a problem, such as a wrong certificate, the drain tells by failing
_WENT_DOWN = text(
    """
    INSERT INTO bridge.destination_state AS s (destination, down_since, reason, changed_at)
    SELECT :destination, min(at),
           'failed repeatedly: ' || (array_agg(coalesce(error, 'HTTP ' || http_status, outcome) ORDER BY id DESC))[1],
           :now
    FROM (SELECT id, at, error, http_status, outcome FROM bridge.export_log
          WHERE destination = :destination ORDER BY id DESC LIMIT :requests) AS last
    HAVING count(*) = :requests
       AND bool_and(outcome NOT IN ('problem', 'shadow')
                    AND (http_status IS NULL OR http_status IN (408, 425) OR http_status >= 500))
    ON CONFLICT (destination) DO UPDATE
    SET down_since = coalesce(s.down_since, excluded.down_since), reason = excluded.reason,
        changed_at = excluded.changed_at
    """
)

#: The turn is looked for and taken in one statement: two drains get two turns.
_RESERVE = text(
    """
    WITH next AS MATERIALIZED (
        SELECT rate, greatest(next_request_at, clock_timestamp()) AS turn, clock_timestamp() AS now
        FROM bridge.destination_state WHERE destination = :destination AND rate IS NOT NULL
        FOR UPDATE
    ),
    taken AS (
        UPDATE bridge.destination_state s SET next_request_at = next.turn + make_interval(secs => 1 / next.rate)
        FROM next WHERE s.destination = :destination AND next.turn <= next.now + make_interval(secs => :within)
    )
    SELECT cast(extract(epoch FROM turn - now) AS float8) FROM next
    """
)

# statement_timestamp: while the statement waits for another that lowers the rate, the request begins no later
_LOWER = text(
    """
    INSERT INTO bridge.destination_state AS s (destination, rate, rate_lowered_at, changed_at)
    VALUES (:destination, greatest(:slowest, :measured / 2), clock_timestamp(), :now)
    ON CONFLICT (destination) DO UPDATE
    SET rate = greatest(:slowest, coalesce(s.rate, :measured) / 2), rate_lowered_at = clock_timestamp(),
        changed_at = :now
    WHERE s.rate_lowered_at IS NULL
       OR s.rate_lowered_at < statement_timestamp() - make_interval(secs => :started)
    RETURNING cast(rate AS float8)
    """
)

_RAISE = text(
    """
    WITH next AS (
        SELECT destination, rate + least(rate, 0.5 / rate) AS rate FROM bridge.destination_state
        WHERE destination = :destination AND rate IS NOT NULL
        FOR UPDATE
    )
    UPDATE bridge.destination_state s
    SET rate = CASE WHEN next.rate < :fastest THEN next.rate END,
        next_request_at = CASE WHEN next.rate < :fastest THEN s.next_request_at END
    FROM next WHERE s.destination = next.destination
    """
)


def _put(transaction: Transaction, destination: str, values: dict[str, object], **instead: object) -> None:
    transaction.execute(
        upsert(DestinationStateRow)
        .values(destination=destination, **values)
        .on_conflict_do_update(index_elements=[DestinationStateRow.destination], set_=values | instead)
    )
