"""Writing down what one request came to: in one transaction, so that the log, the queue and the ledger agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from totara_bridge.oracle.verdict import Outcome, Reading, Verdict
from totara_bridge.push.flow import wait_before_retry
from totara_bridge.settings import Settings
from totara_bridge.staging import delivery, destination, lease
from totara_bridge.staging.delivery import Failure
from totara_bridge.staging.destination import Request
from totara_bridge.staging.engine import Transaction


@dataclass(frozen=True)
class Settled:
    """How many items of a request moved where."""

    sent: int
    failed: int
    dead: int
    released: int


@dataclass(frozen=True)
class Posted:
    """One request that was made: the claimed items it carried, and what was read of the answer."""

    destination: str
    token: UUID
    items: Sequence[Row[Any]]
    reading: Reading
    at: datetime
    others_succeed: bool  #: something was delivered in this drain: a failure may be an item's own

    def instead(self, outcome: Outcome) -> "Posted":
        """The same request with another outcome for all of its items."""
        verdicts = {key: replace(verdict, outcome=outcome) for key, verdict in self.reading.verdicts.items()}
        return replace(self, reading=replace(self.reading, verdicts=verdicts))


def settle(transaction: Transaction, posted: Posted, settings: Settings, *, now: datetime) -> Settled:
    """Log the request and move its items by their verdicts.

    What was too large for one request stays claimed, for smaller ones.
    """
    reading, by_outcome = posted.reading, _by_outcome(posted)
    log_id = destination.log_request(transaction, _request(posted))
    failed = [_failure(item, verdict, posted, settings, now) for item, verdict in by_outcome[Outcome.FAILED]]
    exhausted = [each for each in failed if each.attempts_now >= settings.max_attempts]
    again = [each.failure for each in failed if each.attempts_now < settings.max_attempts]
    refused = [_failure(item, verdict, posted, settings, now).failure for item, verdict in by_outcome[Outcome.DEAD]]
    if reading.retry_after:
        until = now + timedelta(seconds=reading.retry_after)
        reason = f"asked to be left alone for {reading.retry_after:.0f} s (HTTP {reading.status})"
        destination.rest(transaction, posted.destination, not_before=until, reason=reason, now=now)
    token = posted.token
    return Settled(
        sent=delivery.acknowledge(
            transaction,
            token,
            {item.id: verdict.reference for item, verdict in by_outcome[Outcome.SENT]},
            log_id=log_id,
            now=now,
        ),
        failed=delivery.retry(transaction, token, again, log_id=log_id, now=now),
        dead=delivery.reject(transaction, token, [*refused, *map(_spent, exhausted)], log_id=log_id, now=now),
        released=lease.release(
            transaction, token, ids=[] if reading.split else _ids(by_outcome[Outcome.RELEASED]), posted=True
        ),
    )


def _ids(judged: Sequence[tuple[Row[Any], Verdict]]) -> list[int]:
    return [item.id for item, _ in judged]


def _by_outcome(posted: Posted) -> dict[Outcome, list[tuple[Row[Any], Verdict]]]:
    sorted_out: dict[Outcome, list[tuple[Row[Any], Verdict]]] = {outcome: [] for outcome in Outcome}
    for item in posted.items:
        verdict = posted.reading.verdicts[item.idempotency_key]
        sorted_out[verdict.outcome].append((item, verdict))
    return sorted_out


@dataclass(frozen=True)
class _Counted:
    failure: Failure
    attempts_now: int


def _failure(item: Row[Any], verdict: Verdict, posted: Posted, settings: Settings, now: datetime) -> _Counted:
    attempts = int(verdict.counts_attempt and posted.others_succeed)
    wait = wait_before_retry(settings, failures=item.failures + 1, retry_after=posted.reading.retry_after)
    failure = Failure(
        item_id=item.id,
        error_class=verdict.error_class or verdict.outcome,
        error_code=verdict.code,
        error_words=verdict.words or posted.reading.words or f"HTTP {posted.reading.status}",
        attempts=attempts,
        next_attempt_at=now + wait,
    )
    return _Counted(failure, item.attempts + attempts)


def _spent(counted: _Counted) -> Failure:
    values = vars(counted.failure)
    words = f"out of attempts ({counted.attempts_now}); the last: {counted.failure.error_words}"
    return Failure(**values | {"error_words": words})


def _request(posted: Posted) -> Request:
    reading = posted.reading
    return Request(
        batch=posted.token,
        destination=posted.destination,
        at=posted.at,
        duration_ms=round(reading.duration * 1000),
        items=len(posted.items),
        http_status=reading.status,
        outcome=reading.outcome,
        error=reading.problem or reading.words,
        request_id=reading.request_id,
    )
