"""Writing down what one request came to: in one transaction, so that the log, the queue and the ledger agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from totara_bridge.oracle.verdict import Outcome, Reading, Verdict
from totara_bridge.push.flow import wait_before_retry
from totara_bridge.push.pace import Pace
from totara_bridge.settings import Settings
from totara_bridge.staging import body, delivery, destination, erased, lease
from totara_bridge.staging.body import Body
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
    too_fast: bool  #: the destination refused only for being asked too fast, and is asked more slowly now


@dataclass(frozen=True)
class Posted:
    """One request that was made: the claimed items it carried, and what was read of the answer."""

    destination: str
    token: UUID
    items: Sequence[Row[Any]]
    reading: Reading
    at: datetime
    begun: float  #: as `Pace.begin` gave it
    body: Body | None  #: what is kept of it
    others_succeed: bool  #: something was delivered not long before: a failure may be an item's own

    def instead(self, outcome: Outcome) -> "Posted":
        """The same request with another outcome for all of its items."""
        verdicts = {key: replace(verdict, outcome=outcome) for key, verdict in self.reading.verdicts.items()}
        return replace(self, reading=replace(self.reading, verdicts=verdicts))

    @property
    def says_something(self) -> bool:
        """Whether more is to be written down of it than numbers and references."""
        said = (self.reading.problem, self.reading.words, *(each.words for each in self.reading.verdicts.values()))
        return self.body is not None or any(said)

    def without_words(self) -> "Posted":
        """The same request, but for its body and what was said of it as a whole."""
        words = erased.WORDS_REMOVED if self.reading.problem or self.reading.words else None
        return replace(self, body=None, reading=replace(self.reading, problem=None, words=words))


def settle(transaction: Transaction, posted: Posted, settings: Settings, *, pace: Pace, now: datetime) -> Settled:
    """Log the request and move its items by their verdicts.

    What was too large for one request stays claimed, for smaller ones.
    """
    # a sender that lost its lease may come back after the learner of one of its items was erased
    if posted.says_something and erased.has_item_of(transaction, [item.id for item in posted.items]):
        posted = posted.without_words()
    token, reading, by_outcome = posted.token, posted.reading, _by_outcome(posted)
    log_id = destination.log_request(transaction, _request(posted))
    if posted.body is not None:
        body.keep(transaction, posted.body, log_id=log_id, destination=posted.destination, at=posted.at)
    failed = [_failure(item, verdict, posted, settings, now) for item, verdict in by_outcome[Outcome.FAILED]]
    again = [each.failure for each in failed if not each.was_last(settings)]
    dead = [_failure(item, verdict, posted, settings, now).failure for item, verdict in by_outcome[Outcome.DEAD]]
    dead += [_spent(each) for each in failed if each.was_last(settings)]
    sent = {item.id: verdict.reference for item, verdict in by_outcome[Outcome.SENT]}
    settled = Settled(
        sent=delivery.acknowledge(transaction, token, sent, log_id=log_id, now=now) if sent else 0,
        failed=delivery.retry(transaction, token, again, log_id=log_id, now=now) if again else 0,
        dead=delivery.reject(transaction, token, dead, log_id=log_id, now=now) if dead else 0,
        released=_release(transaction, posted, _ids(by_outcome[Outcome.RELEASED]), log_id=log_id, now=now),
        too_fast=pace.answered(transaction, status=reading.status, good=bool(sent), begun=posted.begun, now=now),
    )
    if reading.retry_after:
        until = now + timedelta(seconds=reading.retry_after)
        reason = f"asked to be left alone for {reading.retry_after:.0f} s ({_said(reading)})"
        destination.rest(transaction, posted.destination, not_before=until, reason=reason, now=now)
    return settled


def bury(transaction: Transaction, token: UUID, sizes: Mapping[int, int], settings: Settings, *, now: datetime) -> int:
    """Mark claimed items dead that are too large for any request; how many were still ours.

    :param sizes: by item, the bytes of a request with it alone.
    """
    failures = [
        Failure(
            item_id=item,
            error_class="too_large",
            error_code=None,
            error_words=too_large_words(size, settings),
            attempts=0,
            next_attempt_at=now,
        )
        for item, size in sizes.items()
    ]
    lease.never_posted(transaction, token, ids=list(sizes))
    return delivery.reject(transaction, token, failures, log_id=None, now=now)


def too_large_words(size: int, settings: Settings) -> str:
    """Why an item is not sent, and what to do."""
    return (
        f"a request with this item alone takes {size} bytes, more than the {settings.request_bytes} that the setting "
        "request_bytes allows: raise it or shorten the item's texts, then requeue the item"
    )


def _release(transaction: Transaction, posted: Posted, ids: Sequence[int], *, log_id: int, now: datetime) -> int:
    if not ids:
        return 0
    token, reading = posted.token, posted.reading
    verb = "split" if reading.split else "release"
    delivery.note(transaction, token, ids, verb=verb, words=_said(reading), log_id=log_id, now=now)
    return 0 if reading.split else lease.release(transaction, token, ids=ids, posted=True)


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

    def was_last(self, settings: Settings) -> bool:
        """Whether its last attempt was used now; an outage uses none, however few are allowed by now."""
        return self.failure.attempts > 0 and self.attempts_now >= settings.max_attempts


def _failure(item: Row[Any], verdict: Verdict, posted: Posted, settings: Settings, now: datetime) -> _Counted:
    attempts = int(verdict.counts_attempt and posted.others_succeed)
    wait = wait_before_retry(settings, failures=item.failures + 1, retry_after=posted.reading.retry_after)
    failure = Failure(
        item_id=item.id,
        error_class=verdict.error_class or verdict.outcome,
        error_code=verdict.code,
        error_words=verdict.words or _said(posted.reading),
        attempts=attempts,
        next_attempt_at=now + wait,
    )
    return _Counted(failure, item.attempts + attempts)


def _said(reading: Reading) -> str:
    return reading.problem or reading.words or f"HTTP {reading.status}"


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
