"""What the threads of a drain share: until when it goes on, why it ends before, and what it came to."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine

from totara_bridge.errors import CredentialsRefused, OracleRefused, OracleUnavailable
from totara_bridge.oracle.verdict import Outcome, Reading
from totara_bridge.push.bodies import Bodies
from totara_bridge.push.flow import Breaker
from totara_bridge.push.isolation import Isolation, Ruling
from totara_bridge.push.pace import Pace
from totara_bridge.push.packing import Packing
from totara_bridge.push.plan import Drained, DrainPlan
from totara_bridge.push.settle import Posted, Settled, settle
from totara_bridge.staging import destination, setting

log = logging.getLogger(__name__)

#: While it is down, a destination is asked again after this long.
BREAKER_PAUSE = timedelta(minutes=2)

#: A destination that asks to be left alone for no longer is waited for; the next run goes on after a longer rest.
LONGEST_REST = timedelta(seconds=60)

#: A drain looks so often, in seconds, whether another one let the destination rest or a person switched it off.
LOOK_AGAIN = 1.0

#: The outcome of a request that was answered item by item: one that was alone may be the only one to fail.
SPEAKS_OF_ITEMS = "none_sent"

#: A thread that waits looks this often, in seconds, whether the drain has ended meanwhile.
_LOOK = 0.2


class Run:
    """One drain."""

    def __init__(
        self,
        engine: Engine,
        plan: DrainPlan,
        bodies: Bodies,
        clock: Callable[[], datetime],
        *,
        stop: threading.Event,
        drained: Drained,
    ) -> None:
        """It begins now.

        :param stop: set from outside for a clean stop.
        :param drained: where it counts.
        """
        self.engine = engine
        self.plan = plan
        self.bodies = bodies
        self.clock = clock
        self.drained = drained
        self.pace = Pace(engine, plan.destination)
        self.packing = Packing(request_bytes=plan.settings.request_bytes, items=plan.template.items)
        self.problem: OracleRefused | OracleUnavailable | None = None
        self.open = threading.Semaphore(plan.settings.requests_in_flight)  #: held while a request is open
        self._stop = stop
        self._broken = threading.Event()
        self._breaker = Breaker()
        self._isolation = Isolation()
        self._ends_at = clock() + plan.time_box
        self._rests_until: datetime | None = None
        self._turns = threading.Lock()
        self._looked_at = time.monotonic()

    def over(self) -> bool:
        """Whether no request may begin any more."""
        return self._stop.is_set() or self._broken.is_set() or self.clock() >= self._ends_at

    def resting(self) -> bool:
        """Whether the destination asked to be left alone now."""
        return self._rests_until is not None and self.clock() < self._rests_until

    def rested(self, *, since: datetime) -> bool:
        """Wait while the destination rests, if it did then and not for long; whether it is worth to claim again."""
        until = self._rests_until
        if until is None or until <= since or until - since > LONGEST_REST or until >= self._ends_at:
            return False
        self._wait((until - self.clock()).total_seconds(), until=self.over)
        return not self.over() and not self.resting()

    def turn(self) -> bool:
        """Wait for the turn of the next request; whether it has come, and within the time box.

        One thread at a time takes a turn and waits for it: a drain that ends or rests meanwhile wastes one at most.
        """
        with self._turns:
            if self._pauses():
                return False
            seconds = self.pace.turn(within=(self._ends_at - self.clock()).total_seconds())
            if seconds is None:
                return False
            self._wait(seconds, until=self._pauses)
            if time.monotonic() - self._looked_at >= LOOK_AGAIN:
                self._look()
            return not self._pauses()

    def _pauses(self) -> bool:
        return self.over() or self.resting()

    def _look(self) -> None:
        """See what others wrote of the destination: that it is to be left alone, or that nothing is to be sent."""
        self._looked_at = time.monotonic()
        code = self.plan.destination
        with self.engine.begin() as transaction:
            until, _ = destination.resting_until(transaction, code)
            everywhere, here = setting.read(transaction), setting.read(transaction, code)
        if until is not None:
            self._rest(until)
        if here.shadow or not (everywhere.enabled and here.enabled):
            log.info("%s: shadow was switched on, or enabled off: the drain ends", code)
            self._broken.set()

    def _rest(self, until: datetime) -> None:
        self._rests_until = until if self._rests_until is None else max(until, self._rests_until)

    def _wait(self, seconds: float, *, until: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not until():
            self._stop.wait(min(left, _LOOK))

    def broke(self) -> None:
        """A thread failed: the others end cleanly."""
        self._broken.set()

    def others_succeed(self) -> bool:
        """Whether something was stored, and since then not so much failed that the destination counts as down."""
        return self.drained.sent > 0 and not self._breaker.open

    def settle(self, posted: Posted) -> Settled:
        """Write down what a request came to."""
        with self.engine.begin() as transaction:
            settled = settle(transaction, posted, self.plan.settings, pace=self.pace, now=self.clock())
        self.drained.add(settled)
        if posted.reading.retry_after:
            self._rest(self.clock() + timedelta(seconds=posted.reading.retry_after))
        return settled

    def refused_alone(self, posted: Posted) -> None:
        """A request with one item was refused without a word on whether the item or the contract is wrong."""
        self._rule(self._isolation.refused(posted, stored=self.drained.sent > 0))

    def stored(self) -> None:
        """The destination stored something."""
        self._rule(self._isolation.stored())

    def _rule(self, ruling: Ruling) -> None:
        """Write down what is known now of items that were refused alone."""
        for posted in ruling.dead:
            self.settle(posted)
        for posted in ruling.released:
            self.settle(posted.instead(Outcome.RELEASED))
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
            self.settle(posted.instead(outcome))

    def judge(self, reading: Reading, settled: Settled, *, alone: bool) -> None:
        """Stop the drain where the destination does not work, or is down."""
        if reading.problem is not None:
            self._stop_for(reading.problem, CredentialsRefused if reading.credentials_refused else OracleRefused)
        elif reading.having(Outcome.SENT) or reading.having(Outcome.DEAD):  # also what was recorded before
            self._breaker.worked()
        elif settled.too_fast:
            return  # it is asked more slowly now
        elif self._breaker.failed() and not (alone and reading.outcome == SPEAKS_OF_ITEMS and self.drained.sent):
            self._open_breaker(reading)

    def _open_breaker(self, reading: Reading) -> None:
        until = self.clock() + BREAKER_PAUSE
        said = reading.words or f"HTTP {reading.status}"
        with self.engine.begin() as transaction:
            destination.open_breaker(
                transaction,
                self.plan.destination,
                until=until,
                reason=f"failed repeatedly: {said}",
                now=self.clock(),
            )
        self.problem = OracleUnavailable(
            f"The destination {self.plan.destination} failed several times in a row, the last with: {said}. "
            f"Nothing is lost; it is asked again after {until:%H:%M:%S} UTC."
        )
        self._broken.set()

    def _stop_for(self, problem: str, kind: type[OracleRefused] = OracleRefused) -> None:
        self.problem = kind(f"The destination {self.plan.destination} cannot be used: {problem}")
        self._broken.set()
