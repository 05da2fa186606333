"""Whether each enrolled learner has completed the course: one call for each, but for what is known already.

What was heard is in the book at once, so that a crawl that was killed goes on with those who are left. Who is known
to be complete is asked about again rarely, as a completion can be taken back; not all on one day.
"""

import logging
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from totara_bridge.completion import Crawled
from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.source import CrawlBook
from totara_bridge.totara.web_services.answers import NO_CRITERIA, NOT_ALLOWED, OF_A_PAIR, CallRefused
from totara_bridge.totara.web_services.client import WebServices
from totara_bridge.totara.web_services.enrolments import Enrolments
from totara_bridge.totara.web_services.permissions import STATUS

log = logging.getLogger(__name__)

_WRITTEN_TOGETHER = 50
_TOLD_EVERY = 1_000
#: Errors about single learners that a crawl bears: so many, or one in ten answers, up to the most.
_REFUSED_BORNE, _MOST_REFUSED = 100, 1_000

Pair = tuple[int, int]  #: user id, course id


@dataclass(frozen=True)
class Timing:
    """Who is due."""

    began: int  #: when this crawl began, Unix seconds
    goes_on: bool  #: it began in an earlier run
    recheck: timedelta
    now: Callable[[], int]

    def is_due(self, pair: Pair, known: Crawled) -> bool:
        """Whether Totara is to be asked again about the pair now."""
        if self.goes_on and known.checked_at > self.began:
            return False
        return not known.complete or self.now() - known.checked_at >= self._patience(pair)

    def heard_at(self) -> int:
        """The present, in this crawl for certain: within its first second, too."""
        return max(self.now(), self.began + 1)

    def _patience(self, pair: Pair) -> float:
        """Seconds until who is complete is asked about again: up to half as long again, always the same for a pair."""
        share = zlib.crc32(f"{pair[0]}/{pair[1]}".encode()) / (1 << 32)
        return self.recheck.total_seconds() * (1 + share / 2)


@dataclass(frozen=True)
class _Heard:
    """What Totara says of a pair; nothing of one that it does not know."""

    pair: Pair
    crawled: Crawled | None = None
    reason: str = ""  #: why it was not answered


class Crawl:
    """One crawl over all courses."""

    def __init__(self, services: WebServices, enrolments: Enrolments, book: CrawlBook, timing: Timing) -> None:
        """Nothing is asked yet."""
        self._services = services
        self._enrolments = enrolments
        self._book = book
        self._timing = timing
        self._unwritten: dict[int, dict[int, Crawled]] = defaultdict(dict)
        self._gone: dict[int, list[int]] = defaultdict(list)
        self._answered = 0
        self._silent: dict[int, str] = {}  #: courses of which Totara tells nothing, and its code
        self.refused: list[tuple[Pair, str]] = []  #: pairs and why they were not answered

    @property
    def closed_courses(self) -> Sequence[int]:
        """Those whose completions the token's user may not see."""
        return [course for course, code in self._silent.items() if code in NOT_ALLOWED]

    def hear(self) -> None:
        """Ask about everybody who is due.

        :raises TotaraUnavailable: no answer now; what was heard is kept.
        :raises TotaraRefused: nothing more may be asked.
        """
        try:
            for heard in self._services.each(self._ask, self._due()):
                self._note(heard)
        finally:
            self._write()

    def statuses(self) -> Iterator[tuple[Pair, Crawled]]:
        """What the book says of each who is enrolled, heard now or before."""
        for course in self._enrolments.courses():
            found = self._book.found(course)
            for user in self._enrolments.of(course):
                if user in found:
                    yield (user, course), found[user]

    def _due(self) -> Iterator[Pair]:
        """Course by course, whom to ask about; who left a course is forgotten."""
        for course in self._enrolments.courses():
            found = self._book.found(course)
            enrolled = self._enrolments.of(course)
            if gone := found.keys() - set(enrolled):
                self._book.forget(course, gone)
            for user in enrolled:
                if user not in found or self._timing.is_due((user, course), found[user]):
                    yield user, course

    def _ask(self, pair: Pair) -> _Heard:
        user, course = pair
        if course in self._silent:
            return _Heard(pair)
        try:
            answer = self._services.call(STATUS, courseid=course, userid=user)
        except CallRefused as refused:
            return self._refusal(pair, refused)
        return _Heard(pair, _crawled(answer["completionstatus"], self._timing.heard_at()))

    def _refusal(self, pair: Pair, refused: CallRefused) -> _Heard:
        """What it means for the crawl.

        :raises CallRefused: nothing else would be answered.
        """
        if refused.ends_all:
            raise refused
        if refused.code == NO_CRITERIA or refused.code in NOT_ALLOWED:
            self._silent[pair[1]] = refused.code
            return _Heard(pair)
        return _Heard(pair, reason="" if refused.code in OF_A_PAIR else str(refused))

    def _note(self, heard: _Heard) -> None:
        """Put it into the book, together with others."""
        user, course = heard.pair
        if heard.crawled is not None:
            self._unwritten[course][user] = heard.crawled
            self._answered += 1
            if self._answered % _TOLD_EVERY == 0:
                log.info("%d learners in their courses were asked about so far", self._answered)
        elif heard.reason:
            self._refuse(heard)
        else:
            self._gone[course].append(user)
        if sum(map(len, (*self._unwritten.values(), *self._gone.values()))) >= _WRITTEN_TOGETHER:
            self._write()

    def _refuse(self, heard: _Heard) -> None:
        self.refused.append((heard.pair, heard.reason))
        if len(self.refused) > max(_REFUSED_BORNE, min(self._answered // 10, _MOST_REFUSED)):
            raise TotaraRefused(
                f"Totara did not answer for {len(self.refused)} learners in their courses, so the crawl stopped. The "
                f"last reason: {heard.reason}"
            )

    def _write(self) -> None:
        for course, heard in self._unwritten.items():
            self._book.write(course, heard)
        for course, gone in self._gone.items():
            self._book.forget(course, gone)
        self._unwritten.clear()
        self._gone.clear()


def _crawled(status: Mapping[str, Any], heard_at: int) -> Crawled:
    """What is kept of an answer; the times of criteria are not the time of the completion, and are not kept."""
    criteria = status["completions"]
    met = sum(bool(each["complete"]) for each in criteria)
    complete = bool(status["completed"])
    share = (200 * met + len(criteria)) // (2 * len(criteria)) if criteria else None
    return Crawled(complete, 100 if complete else share, heard_at)
