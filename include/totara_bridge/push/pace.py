"""The pace of a drain: no request begins before its turn at the rate that all drains of the destination share.

A destination that answers 429 has its rate halved; each good request lets it creep up again, until there is none.
While there is none, keeping the pace costs nothing.
"""

import threading
import time
from collections import deque
from datetime import datetime

from sqlalchemy import Engine

from totara_bridge.staging import destination
from totara_bridge.staging.engine import Transaction

#: How a destination says that it is asked too fast.
TOO_MANY = 429

#: How fast a drain asks is measured over so many seconds, and over one at least: a burst is no rate.
_WINDOW = 10.0


class Pace:
    """The pace of one drain, kept by all of its threads."""

    def __init__(self, engine: Engine, code: str) -> None:
        """Without a rate, until one is seen.

        :param code: of the destination.
        """
        self._engine = engine
        self._code = code
        self._lock = threading.Lock()
        self._begun: deque[float] = deque()
        self._limited = False

    def has_rate(self) -> None:
        """The destination was seen to have a rate."""
        self._limited = True

    def turn(self, *, within: float) -> float | None:
        """The seconds until the next request may begin; none if that is more than ``within``."""
        if not self._limited:
            return 0.0
        with self._engine.begin() as transaction:
            seconds = destination.reserve(transaction, self._code, within=within)
        if seconds is None:
            self._limited = False
            return 0.0
        return seconds if seconds <= within else None

    def begin(self) -> float:
        """A request begins now; gives the time, for `answered`."""
        now = time.monotonic()
        with self._lock:
            self._begun.append(now)
            while self._begun[0] < now - _WINDOW:
                self._begun.popleft()
        return now

    def answered(
        self, transaction: Transaction, *, status: int | None, good: bool, begun: float, now: datetime
    ) -> bool:
        """Lower or raise the rate by an answer; whether the destination refused only for being asked too fast.

        Where it refuses at the slowest rate there is, it is as good as down.
        """
        if status != TOO_MANY:
            if good and self._limited:
                destination.raise_rate(transaction, self._code)
            return False
        self._limited = True
        started = time.monotonic() - begun
        rate = destination.lower_rate(transaction, self._code, measured=self._measured(), started=started, now=now)
        return rate is None or rate > destination.SLOWEST

    def _measured(self) -> float:
        with self._lock:
            return len(self._begun) / max(1.0, time.monotonic() - self._begun[0])
