"""Draining one destination's queue: several requests in flight, until nothing is due or the time box is over.

Each thread claims a batch, sends it and writes down what became of it, over and over. What it holds is leased: a
drain that is killed holds nothing for longer than the lease, and what it had sent is sent again under the same key.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, Row

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.oracle.verdict import Outcome, Reading
from totara_bridge.push.flow import FAILURES_TO_ISOLATE, Breaker
from totara_bridge.push.isolation import Isolation, Ruling
from totara_bridge.push.keeper import LeaseKeeper
from totara_bridge.push.plan import Drained, DrainPlan, Sends
from totara_bridge.push.settle import Posted, Settled, settle
from totara_bridge.staging import completion, destination, lease

log = logging.getLogger(__name__)

#: While it is down, a destination is asked again after this long.
BREAKER_PAUSE = timedelta(minutes=2)


def drain(
    engine: Engine,
    new_sender: Callable[[], AbstractContextManager[Sends]],
    plan: DrainPlan,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
) -> Drained:
    """Send what is due.

    :param engine: with a connection for each request in flight, and one more.
    :param new_sender: called once by each thread.
    :param stop: set from outside for a clean stop: requests in flight end, leases are returned.
    :raises OracleRefused: the destination does not work; items are back in the queue as they were.
    :raises OracleUnavailable: it is down; nothing is claimed for it for a while.
    """
    run = _Run(engine, new_sender, plan, clock, stop)
    with engine.begin() as transaction:
        if expired := lease.release_expired(transaction, destination=plan.destination, now=clock()):
            log.warning("%s: %d items of a sender that went silent are due again", plan.destination, expired)
        until, reason = destination.resting_until(transaction, plan.destination)
    if until is not None and until > clock():
        log.info("%s is left alone until %s: it %s", plan.destination, until.isoformat(), reason)
    with (
        LeaseKeeper(engine, plan.lease, clock) as keeper,
        ThreadPoolExecutor(plan.settings.requests_in_flight, thread_name_prefix=f"push-{plan.destination}") as threads,
    ):
        working = [threads.submit(run.work, keeper) for _ in range(plan.settings.requests_in_flight)]
    run.end()
    log.info("%s: %s", plan.destination, run.drained.counts())
    for each in working:
        each.result()
    if run.problem is not None:
        raise run.problem
    return run.drained


class _Run:
    """What the threads of a drain share."""

    def __init__(
        self,
        engine: Engine,
        new_sender: Callable[[], AbstractContextManager[Sends]],
        plan: DrainPlan,
        clock: Callable[[], datetime],
        stop: threading.Event,
    ) -> None:
        self.drained = Drained()
        self.problem: OracleRefused | OracleUnavailable | None = None
        self._engine = engine
        self._new_sender = new_sender
        self._plan = plan
        self._clock = clock
        self._stop = stop
        self._broken = threading.Event()
        self._breaker = Breaker()
        self._isolation = Isolation()
        self._ends_at = clock() + plan.time_box

    def work(self, keeper: LeaseKeeper) -> None:
        """Claim, send and settle until there is nothing to do."""
        try:
            with self._new_sender() as sender:
                while not self._over() and self._batch(sender, keeper):
                    pass
        except BaseException:
            self._broken.set()  # the other threads end cleanly; this one's error is the drain's
            raise

    def _over(self) -> bool:
        return self._stop.is_set() or self._broken.is_set() or self._clock() >= self._ends_at

    def _batch(self, sender: Sends, keeper: LeaseKeeper) -> bool:
        """Whether there was one."""
        token, now = uuid4(), self._clock()
        with self._engine.begin() as transaction:
            items = lease.claim(
                transaction,
                destination=self._plan.destination,
                token=token,
                limit=self._plan.settings.batch_size,
                now=now,
                lease_until=now + self._plan.lease,
            )
        waiting = deque(_requests(items))
        with keeper.keeping(token, until=now + self._plan.lease) as kept:
            try:
                while waiting and not self._over() and kept.for_another(self._plan.request_timeout):
                    waiting.extendleft(self._post(sender, token, waiting.popleft()))
            finally:
                if waiting:
                    self._return([item.id for request in waiting for item in request], token)
        return bool(items)

    def _return(self, unposted: Sequence[int], token: UUID) -> None:
        with self._engine.begin() as transaction:
            # an extract that is changing these completions now sees them as on their way, or not at all
            completion.begin_merge(transaction)
            lease.release(transaction, token, ids=unposted, posted=False)

    def _post(self, sender: Sends, token: UUID, items: Sequence[Row[Any]]) -> Sequence[Sequence[Row[Any]]]:
        """Send one request; what must be sent again in smaller ones."""
        at = self._clock()
        reading = sender.send([item.idempotency_key for item in items], [item.payload for item in items])
        posted = Posted(
            destination=self._plan.destination,
            token=token,
            items=items,
            reading=reading,
            at=at,
            others_succeed=self.drained.sent > 0 or bool(reading.having(Outcome.SENT)),
        )
        if reading.isolated:
            self._rule(self._isolation.refused(posted, stored=self.drained.sent > 0))
            return ()
        settled = self._settle(posted)
        if settled.sent:
            self._rule(self._isolation.stored())
        if reading.split:
            middle = len(items) // 2
            return items[:middle], items[middle:]
        self._judge(reading, settled, alone=len(items) == 1)
        return ()

    def _settle(self, posted: Posted) -> Settled:
        with self._engine.begin() as transaction:
            settled = settle(transaction, posted, self._plan.settings, now=self._clock())
        self.drained.add(settled)
        return settled

    def _rule(self, ruling: Ruling) -> None:
        """Write down what is known now of items that were refused alone."""
        for posted in ruling.dead:
            self._settle(posted)
        for posted in ruling.released:
            self._settle(posted.instead(Outcome.RELEASED))
        if ruling.released:
            said = ruling.released[0].reading.words or f"HTTP {ruling.released[0].reading.status}"
            self._stop_for(
                f"it refuses one item after the other in the same way ({said}), so the contract is wrong and not the "
                "items: compare what it expects with docs/oracle-endpoint.md and correct it, then run the push again."
            )

    def end(self) -> None:
        """Put off what was never judged: too few were refused, and nothing was stored, to say whose fault it is."""
        outcome = Outcome.FAILED if self.problem is None else Outcome.RELEASED
        for posted in self._isolation.undecided():
            self._settle(posted.instead(outcome))

    def _stop_for(self, problem: str) -> None:
        self.problem = OracleRefused(f"The destination {self._plan.destination} cannot be used: {problem}")
        self._broken.set()

    def _judge(self, reading: Reading, settled: Settled, *, alone: bool) -> None:
        """Stop the drain where the destination does not work, or is down."""
        if reading.problem is not None:
            self._stop_for(reading.problem)
        elif settled.sent or settled.dead:
            self._breaker.worked()
        elif alone and self.drained.sent:
            return  # its own fault: others are delivered
        elif self._breaker.failed():
            until = self._clock() + BREAKER_PAUSE
            said = reading.words or f"HTTP {reading.status}"
            with self._engine.begin() as transaction:
                destination.open_breaker(
                    transaction,
                    self._plan.destination,
                    until=until,
                    reason=f"failed repeatedly: {said}",
                    now=self._clock(),
                )
            self.problem = OracleUnavailable(
                f"The destination {self._plan.destination} failed several times in a row, the last with: {said}. "
                f"Nothing is lost; it is asked again after {until:%H:%M:%S} UTC."
            )
            self._broken.set()


def _requests(items: Sequence[Row[Any]]) -> Iterator[Sequence[Row[Any]]]:
    """The claimed items by request: together, but those that failed often alone."""
    together = [item for item in items if item.failures < FAILURES_TO_ISOLATE]
    if together:
        yield together
    for item in items:
        if item.failures >= FAILURES_TO_ISOLATE:
            yield [item]
