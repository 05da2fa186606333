"""What sources keep in staging between runs: the files that were read, and the book of a site's crawls.

Each entry of the book is a transaction of its own, kept whatever becomes of the run.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from totara_bridge.completion import Crawled
from totara_bridge.staging import crawl, loaded_file
from totara_bridge.totara.sources import Kept

#: A crawl that did not end and is older began in another time: the next one asks about everybody again.
ABANDONED_AFTER = timedelta(days=1)


class StagedCrawlBook:
    """The book of one site; see `totara_bridge.totara.source.CrawlBook`."""

    def __init__(self, engine: Engine, site: str) -> None:
        self._engine = engine
        self._site = site
        self._now = datetime.fromtimestamp(0, UTC)

    def begin(self, now: int) -> int:
        """When the crawl began that goes on now; Unix seconds."""
        self._now = datetime.fromtimestamp(now, UTC)
        with self._engine.begin() as transaction:
            began = crawl.begin(transaction, self._site, now=self._now, since=self._now - ABANDONED_AFTER)
        return int(began.timestamp())

    def end(self) -> None:
        """The crawl has come to its end."""
        with self._engine.begin() as transaction:
            crawl.end(transaction, self._site, now=self._now)

    def found(self, course_id: int) -> Mapping[int, Crawled]:
        """What is known of a course's learners, by user id."""
        with self._engine.begin() as transaction:
            return crawl.found(transaction, self._site, course_id)

    def write(self, course_id: int, found: Mapping[int, Crawled]) -> None:
        """Keep what was heard of some of a course's learners."""
        with self._engine.begin() as transaction:
            crawl.write(transaction, self._site, course_id, found)

    def forget(self, course_id: int, user_ids: Collection[int]) -> None:
        """They are enrolled there no more."""
        with self._engine.begin() as transaction:
            crawl.forget(transaction, self._site, course_id, user_ids)


def kept_in_staging(engine: Engine, site: str) -> Kept:
    """What the sources of a site find again of earlier runs."""

    def is_loaded(digest: str) -> bool:
        with engine.begin() as transaction:
            return loaded_file.is_loaded(transaction, site, digest)

    return Kept(StagedCrawlBook(engine, site), is_loaded)
