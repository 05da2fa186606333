"""A limit of requests per second that is kept to exactly, over any second and not only whole ones."""

import time
from collections import deque


class Limiter:
    """Counts the requests that it let through in the last second, on a clock that only goes forward."""

    def __init__(self) -> None:
        """Nothing came through yet."""
        self._let_through: deque[float] = deque()

    def refuses(self, per_second: float | None) -> bool:
        """Whether one more request now would be one too many; it is counted if not."""
        now = time.monotonic()
        while self._let_through and self._let_through[0] <= now - 1:
            self._let_through.popleft()
        if per_second is not None and len(self._let_through) >= per_second:
            return True
        self._let_through.append(now)
        return False
