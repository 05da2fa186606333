"""What a drain is given, and what it gives back."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from totara_bridge.oracle.verdict import Reading
from totara_bridge.push.settle import Settled
from totara_bridge.settings import Settings
from totara_bridge.template import DEFAULT, Template


class Sends(Protocol):
    """What posts a batch; one per thread."""

    def send(self, keys: Sequence[str], payload_texts: Sequence[str]) -> Reading: ...

    def get_ready(self) -> None: ...


@dataclass(frozen=True)
class DrainPlan:
    """How a destination is drained."""

    destination: str
    settings: Settings
    request_timeout: timedelta
    time_box: timedelta
    template: Template = DEFAULT  #: that new items are made with

    @property
    def threads(self) -> int:
        """Two for each request in flight: while one waits for the destination, the other settles and claims."""
        return 2 * self.settings.requests_in_flight

    @property
    def connections(self) -> int:
        """How many connections to staging a drain uses: one for each thread, and one to keep the leases."""
        return self.threads + 1

    @property
    def lease(self) -> timedelta:
        """How long a claimed item is kept from others."""
        return max(3 * self.request_timeout, timedelta(seconds=60))


@dataclass
class Drained:
    """What a drain did."""

    sent: int = 0
    failed: int = 0
    dead: int = 0
    released: int = 0
    requests: int = 0
    answered: bool = False  #: the destination has stored items, or refused them for good: it is not down
    let_in: bool = False  #: in shadow mode: there was a token
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, settled: Settled) -> None:
        """Count one request."""
        with self._lock:
            self.requests += 1
            self.answered = self.answered or bool(settled.sent or settled.dead)
            self.sent += settled.sent
            self.failed += settled.failed
            self.dead += settled.dead
            self.released += settled.released

    def buried(self, items: int) -> None:
        """Count items that were never sent, because they are too large."""
        with self._lock:
            self.dead += items

    def shown(self, *, items: int, requests: int) -> None:
        """Count what was shown in shadow mode: it is where it was."""
        self.released += items
        self.requests += requests

    def counts(self) -> dict[str, int]:
        """The numbers."""
        return {name: getattr(self, name) for name in ("sent", "failed", "dead", "released", "requests")}
