"""What Docker does with ``restart: unless-stopped``: a service that ended by itself is started again."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.production.stack import Stack

#: Seconds that Docker waits before it starts a service again; twice as long each time that it ended soon.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 60.0
#: Seconds that a service must have run to begin with the shortest wait again.
_LASTED = 10.0


@dataclass(frozen=True)
class Kept:
    """A service that is to run."""

    name: str  #: in the compose file
    variables: Mapping[str, str] = field(default_factory=dict)  #: of .env, for this one only


class Keeper:
    """Starts and ends the services of a stack, and keeps those running that are to run."""

    def __init__(self, stack: Stack, services: Mapping[str, Kept]) -> None:
        """Nothing is started by this.

        :param services: all that are to run, by the name that each is given here.
        """
        self.stack = stack
        self.services = services
        self.by_itself: Counter[str] = Counter()  #: how often each service ended by itself
        self.since = dict.fromkeys(services, datetime.min.replace(tzinfo=UTC))  #: when each was started last
        self._held: set[str] = set()  #: ended on purpose
        self._waits = dict.fromkeys(services, _FIRST_WAIT)
        self._begun = dict.fromkeys(services, time.monotonic())
        self._ended: dict[str, float] = {}

    def start(self, called: str) -> None:
        """Start one that does not run."""
        kept = self.services[called]
        self.since[called], self._begun[called] = datetime.now(UTC), time.monotonic()
        self.stack.start(kept.name, called=called, **kept.variables)
        self._held.discard(called)

    def kill(self, called: str) -> None:
        """End one as if its machine were gone; it stays away."""
        self._held.add(called)
        self.stack.kill(called)

    def stop(self, called: str) -> None:
        """End one as Docker does; it stays away."""
        self._held.add(called)
        self.stack.stop(self.services[called].name, called=called)

    def tend(self) -> None:
        """Start whatever has ended by itself, once Docker would."""
        for called in self.services:
            if called in self._held or self.stack.runs(called):
                continue
            now = time.monotonic()
            if called not in self._ended:
                self._ended[called] = now
                self.by_itself[called] += 1
                lasted = now - self._begun[called] > _LASTED
                self._waits[called] = _FIRST_WAIT if lasted else min(2 * self._waits[called], _LONGEST_WAIT)
            if now - self._ended[called] >= self._waits[called]:
                del self._ended[called]
                self.stack.kill(called)  # in a container nothing outlives the first process
                self.start(called)
