"""What one client may ask for in a minute; beyond it, the next request is refused."""

import threading
from collections import deque

WINDOW = 60.0  #: seconds


class Minute:
    """The complexity of what was asked in the last 60 seconds."""

    def __init__(self) -> None:
        """Nothing was asked."""
        self._lock = threading.Lock()
        self._asked = deque[tuple[float, int]]()

    def is_full(self, now: float, limit: int) -> bool:
        """Whether the limit is reached, so that nothing more is answered before some of it is a minute ago."""
        with self._lock:
            while self._asked and self._asked[0][0] <= now - WINDOW:
                self._asked.popleft()
            return sum(complexity for _, complexity in self._asked) >= limit

    def add(self, now: float, complexity: int) -> None:
        """Something was asked."""
        with self._lock:
            self._asked.append((now, complexity))
