"""How fast a destination is asked: waits between attempts, and the breaker that stops asking one that is down."""

import random
import threading
from datetime import timedelta

from totara_bridge.settings import Settings

#: Requests in a row that came to nothing, over all threads of a drain, after which a destination counts as down.
FAILURES_TO_OPEN = 3

#: Failures of its requests after which an item is sent alone, so that it can be told from its neighbours.
FAILURES_TO_ISOLATE = 3


def wait_before_retry(settings: Settings, *, failures: int, retry_after: float | None) -> timedelta:
    """How long an item waits after its ``failures``-th failure.

    Full jitter: anything between nothing and the longest wait, which doubles with each failure, so that what failed
    together does not come back together. What the destination asks for with Retry-After is added before it.

    :param retry_after: seconds.
    """
    most = settings.retry_longest / settings.retry_first
    longest = settings.retry_first * min(2.0 ** min(failures - 1, 30), most)
    jitter = longest * random.random()  # noqa: S311  no secret depends on it
    return timedelta(seconds=retry_after or 0) + jitter


class Breaker:
    """Counts the requests in a row that came to nothing; shared by a drain's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0

    @property
    def open(self) -> bool:
        """Whether the destination counts as down."""
        return self._in_a_row >= FAILURES_TO_OPEN

    def worked(self) -> None:
        """A request delivered something."""
        with self._lock:
            self._in_a_row = 0

    def failed(self) -> bool:
        """A request came to nothing; whether the destination now counts as down."""
        with self._lock:
            self._in_a_row += 1
            return self.open
