"""How a destination is, shared by all that send to it; and the log of what was asked of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import DestinationStateRow, ExportLogRow


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


def _put(transaction: Transaction, destination: str, values: dict[str, object], **instead: object) -> None:
    transaction.execute(
        upsert(DestinationStateRow)
        .values(destination=destination, **values)
        .on_conflict_do_update(index_elements=[DestinationStateRow.destination], set_=values | instead)
    )
