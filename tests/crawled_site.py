"""A Totara that is crawled through its web services: the site, what it was asked, and the bridge that asks."""

import os
import signal
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine

from tests.bridge import SITE, Bridge
from totara_bridge.completion import Crawled
from totara_bridge.extract.crawl_book import StagedCrawlBook
from totara_bridge.extract.plan import Extracted, ExtractPlan
from totara_bridge.extract.run import extract_site
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.tokens import CAPABILITIES, REST_TOKEN
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.source import SourceKind
from totara_bridge.totara.web_services import WebServicesSource

#: Eighty learners in each.
COURSES = (4, 5)
STATUS = "core_completion_get_course_completion_status"
ENROLLED = "core_enrol_get_enrolled_users"

Pair = tuple[int, int]


class CrawledSite:
    """One Totara, read through its web services; time passes only when `later` is called."""

    def __init__(self, bridge: Bridge, site: SandboxTotara) -> None:
        self.bridge = bridge
        self.site = site
        self.now = int(datetime.now(UTC).timestamp())
        query = ReadQuery(course_ids=COURSES)
        self.connection = TotaraConnection(
            source=SourceKind.WEB_SERVICES, server_url=site.url, api_token=REST_TOKEN, query=query
        )

    def later(self, **time: int) -> None:
        """Let time pass for the bridge, and forget what was asked before."""
        self.now += int(timedelta(**time).total_seconds())
        self.site.site.counted.requests.clear()

    def book(self) -> StagedCrawlBook:
        return StagedCrawlBook(self.bridge.staging, SITE)

    def source(self, **changes: Any) -> WebServicesSource:
        return WebServicesSource(replace(self.connection, **changes), self.book(), clock=lambda: self.now)

    def extract(self, **changes: Any) -> Extracted:
        """Crawl the site and stage what was found.

        :param changes: of the connection.
        """
        return extract_site(self.bridge.staging, self.source(**changes), self.bridge.plan, now=self.bridge.now)

    def asked(self) -> Counter[Pair]:
        """How often the status of each learner in each course was asked for."""
        return Counter(
            (int(given["userid"]), int(given["courseid"]))
            for function, given in list(self.site.site.counted.requests)
            if function == STATUS
        )

    def called(self) -> Counter[str]:
        """How often each function was called."""
        return Counter(function for function, _ in list(self.site.site.counted.requests))

    def probed(self) -> Counter[Pair]:
        """What is asked before each crawl: the first learner of the first course."""
        return Counter([next(iter(self.asked()))])

    def allow(self, *more: str, without: Collection[str] = ()) -> None:
        """Give the token's user these capabilities as well, and take others."""
        tokens = self.site.site.switches.tokens
        now = tokens[REST_TOKEN]
        tokens[REST_TOKEN] = replace(now, capabilities=(now.capabilities | set(more)) - set(without))

    def allow_everything(self) -> None:
        """As an administrator's token."""
        self.allow(*CAPABILITIES)

    def enrolled(self, courses: Iterable[int] = COURSES) -> Mapping[Pair, bool]:
        """Whether each learner who is enrolled there has completed the course, as the tables say."""
        rows = self.bridge_rows(
            """SELECT DISTINCT ue.userid, e.courseid, coalesce(c.timecompleted, 0) <> 0 AS complete
               FROM ttr_user_enrolments ue JOIN ttr_enrol e ON e.id = ue.enrolid JOIN ttr_user u ON u.id = ue.userid
               LEFT JOIN ttr_course_completions c ON c.userid = ue.userid AND c.course = e.courseid
               WHERE u.deleted = 0 AND ue.status = 0 AND e.status = 0"""
        )
        wanted = set(courses)
        return {(user, course): complete for user, course, complete in rows if course in wanted}

    def bridge_rows(self, statement: str) -> list[Any]:
        """What Totara's tables say."""
        with self.bridge.totara.engine.connect() as connection:
            return list(connection.exec_driver_sql(statement))

    def staged(self) -> dict[Pair, str]:
        """The status of each staged completion."""
        rows = self.bridge.rows("SELECT user_id, course_id, status FROM bridge.completion WHERE deleted_at IS NULL")
        return {(row["user_id"], row["course_id"]): row["status"] for row in rows}

    def booked(self) -> dict[Pair, bool]:
        """What is in the book: whether each pair is complete."""
        rows = self.bridge.rows("SELECT user_id, course_id, complete FROM bridge.crawled_pair")
        return {(row["user_id"], row["course_id"]): row["complete"] for row in rows}


@contextmanager
def crawled(bridge: Bridge) -> Iterator[CrawledSite]:
    """The captured Totara, running."""
    with SandboxTotara(bridge.totara.engine) as site:
        yield CrawledSite(bridge, site)


class _DeadlyBook(StagedCrawlBook):
    """Kills its process once something was written into it so many times."""

    def __init__(self, engine: Engine, writes: int) -> None:
        super().__init__(engine, SITE)
        self._left = writes

    def write(self, course_id: int, found: Mapping[int, Crawled]) -> None:
        super().write(course_id, found)
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class KilledCrawl:
    """What a crawl that is killed is told."""

    staging: str
    connection: TotaraConnection
    plan: ExtractPlan
    now: int
    writes: int  #: into the book, before it is killed


def crawl(orders: KilledCrawl) -> None:
    """Crawl in a process of its own, until it is killed."""
    engine = create_engine(orders.staging, poolclass=NullPool)
    source = WebServicesSource(orders.connection, _DeadlyBook(engine, orders.writes), clock=lambda: orders.now)
    extract_site(engine, source, orders.plan, now=datetime.fromtimestamp(orders.now, UTC))
