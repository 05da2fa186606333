"""How big a generated site is, and the pseudo-random numbers that it is made of."""

import math
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

DAY = 86_400
YEARS = 365 * DAY
_COMPLETIONS_PER_USER = 7.7


@dataclass(frozen=True)
class Plan:
    """Counts and times that every statement shares. Learners have the ids from 3, courses those from 2."""

    completions: int
    random_seed: int
    latest: int  #: Unix time of the last thing that happened: an hour before the day began

    @classmethod
    def on(cls, day: date, completions: int, random_seed: int) -> "Plan":
        """The plan for a site as it is on this day (UTC)."""
        midnight = int(datetime.combine(day, time(), UTC).timestamp())
        return cls(completions, random_seed, midnight - 3600)

    @property
    def users(self) -> int:
        """Learners."""
        return max(1, round(self.completions / _COMPLETIONS_PER_USER))

    @property
    def courses(self) -> int:
        """Courses: 20 as recorded, 120 for 200 000 completions, 250 for a million."""
        return max(20, math.isqrt(self.completions) // 4)

    @property
    def most_per_user(self) -> int:
        """The most completions that a learner has: each is in another course."""
        return math.ceil(self.completions / self.users)

    @property
    def archived_pairs(self) -> int:
        """Pairs of learner and course with archived completions, one of five with two of them."""
        return min(self.users, max(2, round(self.completions * 0.0026)))

    def dice(self, of: str, what: str, sides: int | str) -> str:
        """SQL for a number from 0 to ``sides`` - 1 that depends on the SQL number ``of``, on ``what`` and the seed."""
        salt = zlib.crc32(f"{self.random_seed} {what}".encode())
        return f"((hashint8extended({of}, {salt}) & 2147483647) % ({sides}))"


def literal(text: str) -> str:
    """A text of our own as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
