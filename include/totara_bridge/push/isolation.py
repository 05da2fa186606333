"""Who is to blame when an item is refused alone: the item, or the contract that all of them are sent under.

A destination that refuses a request as a whole does not say which item it means, so the request is split until an
item stands alone. That item is dead, unless everything is refused the same way: then the contract is wrong, and
writing verdicts would kill a whole queue for one wrong setting.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from totara_bridge.push.settle import Posted

#: So many items that are refused alone, with nothing stored in between, show whose fault it is.
ENOUGH = 3


@dataclass(frozen=True)
class Ruling:
    """What is known now of items that were refused alone."""

    dead: Sequence[Posted] = ()  #: their own fault
    released: Sequence[Posted] = ()  #: not theirs: the contract is wrong


class Isolation:
    """The items of a drain that were refused alone and not judged yet; shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Posted] = []

    def refused(self, posted: Posted, *, stored: bool) -> Ruling:
        """An item was refused alone.

        :param stored: whether the destination stored any item in this drain.
        """
        with self._lock:
            self._waiting.append(posted)
            if stored or (len(self._waiting) >= ENOUGH and len(set(map(_fingerprint, self._waiting))) > 1):
                return Ruling(dead=self._take())
            if len(self._waiting) >= ENOUGH:
                return Ruling(released=self._take())
        return Ruling()

    def stored(self) -> Ruling:
        """The destination stored something: what it refused was the items' own fault."""
        with self._lock:
            return Ruling(dead=self._take())

    def undecided(self) -> Sequence[Posted]:
        """What was never judged, at the end of the drain."""
        with self._lock:
            return self._take()

    def _take(self) -> Sequence[Posted]:
        taken, self._waiting = self._waiting, []
        return taken


def _fingerprint(posted: Posted) -> tuple[str | None, ...]:
    [verdict] = posted.reading.verdicts.values()
    return verdict.error_class, verdict.code, verdict.words
