"""What a source finds again of earlier runs when a site is reconciled: next to nothing, as all is to be read anew."""

from array import array
from collections.abc import Collection, Mapping

from sqlalchemy import Engine

from totara_bridge.completion import Crawled
from totara_bridge.extract.crawl_book import kept_in_staging
from totara_bridge.staging import loaded_file
from totara_bridge.totara.sources import Kept


class PassingCrawlBook:
    """A crawl that asks about everybody, and is forgotten after it; see `totara_bridge.totara.source.CrawlBook`.

    Memory holds eight bytes for each learner in a course.
    """

    def __init__(self) -> None:
        """Nobody was asked about."""
        self._began = 0
        self._heard: dict[int, array[int]] = {}

    def begin(self, now: int) -> int:
        """Each crawl is a new one."""
        self._began = now
        self._heard.clear()
        return now

    def end(self) -> None:
        """What was heard is read still; the next crawl forgets it."""

    def found(self, course_id: int) -> Mapping[int, Crawled]:
        """What this crawl has heard of a course's learners, by user id."""
        return dict(map(self._unpacked, self._heard.get(course_id, ())))

    def write(self, course_id: int, found: Mapping[int, Crawled]) -> None:
        """Keep what was heard of some of a course's learners."""
        self._heard.setdefault(course_id, array("q")).extend(_packed(user, heard) for user, heard in found.items())

    def forget(self, course_id: int, user_ids: Collection[int]) -> None:
        """They are enrolled there no more."""
        heard, gone = self._heard.get(course_id, ()), frozenset(user_ids)
        self._heard[course_id] = array("q", (each for each in heard if each >> 8 not in gone))

    def _unpacked(self, packed: int) -> tuple[int, Crawled]:
        progress = packed & _NO_PROGRESS
        return packed >> 8, Crawled(
            bool(packed & _COMPLETE), None if progress == _NO_PROGRESS else progress, self._began + 1
        )


_COMPLETE, _NO_PROGRESS = 0x80, 0x7F


def _packed(user_id: int, heard: Crawled) -> int:
    """Above the lowest byte the learner; in it whether they are complete, and their progress of up to 100."""
    progress = _NO_PROGRESS if heard.progress is None else heard.progress
    return user_id << 8 | (_COMPLETE if heard.complete else 0) | progress


def afresh(engine: Engine, site: str) -> Kept:
    """All is read anew: of files the one that was read last, as those before it say what was."""
    with engine.begin() as transaction:
        last = loaded_file.last(transaction, site)
    kept = kept_in_staging(engine, site)
    return Kept(PassingCrawlBook(), lambda digest: digest != last and kept.is_loaded(digest))
