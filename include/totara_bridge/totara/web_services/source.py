"""A Totara read through its web services: who is enrolled where, and whether they have completed the course.

Totara says no date, no recognition of prior learning and no archived completion this way, and nothing of learners who
are not enrolled any more (measured on 17.3); none of it is made up.
"""

import html
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from totara_bridge.completion import Status, copy_line
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.source import CrawlBook, Dates, Gives, SourceKind, Window
from totara_bridge.totara.web_services import learners, permissions
from totara_bridge.totara.web_services.audiences import Audiences
from totara_bridge.totara.web_services.client import WebServices
from totara_bridge.totara.web_services.crawl import Crawl, Timing
from totara_bridge.totara.web_services.enrolments import Enrolments
from totara_bridge.totara.web_services.permissions import CATEGORIES, SITE_COURSE, Access
from totara_bridge.totara.web_services.wanted import WantedLearners, reads_course
from totara_bridge.totara.without_log import WithoutLog

log = logging.getLogger(__name__)

_GIVES = Gives(
    dates=Dates.NONE,
    history=False,
    row_ids=False,
    statuses=False,
    columns=frozenset({"user_id", "course_id", "status", "progress"}),
)
_NAMED_COURSES = 20


class WebServicesSource:
    """The web services of one Totara."""

    def __init__(
        self, connection: TotaraConnection, book: CrawlBook, *, clock: Callable[[], float] = time.time
    ) -> None:
        """:param clock: of this machine, in Unix seconds, for what is in the book."""
        self._connection = connection
        self._book = book
        self._clock = clock

    @contextmanager
    def snapshot(self) -> Iterator["WebServicesSnapshot"]:
        """Totara as a crawl has found it; see `totara_bridge.totara.source.Source`.

        All of the crawl, which may take hours, is before anything is given.

        :raises ConfigurationInvalid: the connection's query names what web services do not show.
        """
        with WebServices(self._connection) as services:
            access = _access(services, self._connection)
            audiences = Audiences(services, access)
            wanted = WantedLearners.by(self._connection.query, access, audiences)
            if access.lacks:
                log.warning("Web services of %s do not give: %s.", access.site, "; ".join(access.lacks))
            courses = [each["id"] for each in access.courses if reads_course(self._connection.query, each)]
            with Enrolments(services, courses, only_active=access.only_active, wanted=wanted.includes) as enrolments:
                now = int(self._clock())
                began = self._book.begin(now)
                timing = Timing(began, began < now, self._connection.recheck, lambda: int(self._clock()))
                crawl = Crawl(services, enrolments, self._book, timing)
                learners.try_graphql(self._connection, access)  # before hours of work that would be in vain
                crawl.hear()
                snapshot = WebServicesSnapshot(
                    self._connection,
                    services=services,
                    access=access,
                    audiences=audiences,
                    enrolments=enrolments,
                    crawl=crawl,
                )
                snapshot.say_what_was_left_out()
                yield snapshot
                self._book.end()


class WebServicesSnapshot(WithoutLog):
    """A Totara as it was crawled; see `totara_bridge.totara.source.Snapshot`."""

    kind = SourceKind.WEB_SERVICES
    gives = _GIVES
    whole = False

    def __init__(
        self,
        connection: TotaraConnection,
        *,
        services: WebServices,
        access: Access,
        audiences: Audiences,
        enrolments: Enrolments,
        crawl: Crawl,
    ) -> None:
        super().__init__(connection)
        self._connection = connection
        self._services = services
        self._access = access
        self._audiences = audiences
        self._enrolments = enrolments
        self._crawl = crawl
        self.fingerprint = next((each.get("timecreated") for each in access.courses if each["id"] == SITE_COURSE), None)
        self.clock = services.date or int(time.time())

    def completions(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `COMPLETION_COLUMNS`."""
        for place, ((user, course), crawled) in enumerate(self._crawl.statuses(), start=1):
            status = Status.COMPLETE if crawled.complete else Status.NOT_STARTED
            yield copy_line((place, user, course, status.value, crawled.progress, *[None] * 6))

    def learners(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `LEARNER_COLUMNS`, of everybody who is enrolled."""
        return learners.lines(self._connection, self._access, self._enrolments)

    def courses(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `COURSE_COLUMNS`, of the courses in which somebody is enrolled."""
        paths = {each["id"]: each.get("path") for each in self._categories()}
        taken = {course for course in self._enrolments.courses() if self._enrolments.of(course)}
        return (_course_line(each, paths) for each in self._access.courses if each["id"] in taken)

    def present_pairs(self, window: Window | None) -> Iterator[bytes]:
        """Nothing: what a crawl does not show is not taken for gone, so it need not be told apart."""
        return iter(())

    def audiences(self, id_numbers: Sequence[str]) -> frozenset[str]:
        """Those of these audiences that Totara has."""
        return self._audiences.there(id_numbers)

    def audience_members(self, id_numbers: Sequence[str], window: Window | None) -> Iterator[bytes]:
        """Lines with `AUDIENCE_MEMBER_COLUMNS`."""
        return (copy_line(member) for member in self._audiences.members(id_numbers))

    def refused(self) -> Iterator[bytes]:
        """Learners about whom Totara gave an error."""
        for (user, course), reason in self._crawl.refused:
            yield copy_line((f"web services, course {course}", user, user, course, reason))

    def _categories(self) -> Sequence[dict[str, Any]]:
        if CATEGORIES not in self._access.functions:
            return ()
        categories: Sequence[dict[str, Any]] = self._services.call(CATEGORIES)
        return categories

    def say_what_was_left_out(self) -> None:
        """Name the courses that the token's user may not see."""
        left_out = sorted({*self._enrolments.refused_courses, *self._crawl.closed_courses})
        if left_out:
            log.warning(
                "Web services of %s do not show who completed %d courses (%s), which were left out: have their "
                "completion tracking turned on, or give the token's user %s moodle/course:viewparticipants and "
                "report/completion:view there.",
                self._access.site,
                len(left_out),
                ", ".join(map(str, left_out[:_NAMED_COURSES])),
                self._access.user,
            )


def check(connection: TotaraConnection) -> str:
    """What is there, in one sentence; see `totara_bridge.totara.sources.check`.

    :raises ConfigurationInvalid: the connection's query names what web services do not show.
    """
    with WebServices(connection) as services:
        access = _access(services, connection)
        WantedLearners.by(connection.query, access, Audiences(services, access))
        courses = sum(reads_course(connection.query, each) for each in access.courses)
        learners.try_graphql(connection, access)
    lacks = f" It does not give: {'; '.join(access.lacks)}." if access.lacks else ""
    return f"{access.site}: {courses} courses are read as the user {access.user}.{lacks}"


def _access(services: WebServices, connection: TotaraConnection) -> Access:
    reads = partial(reads_course, connection.query)
    return permissions.find(services, reads=reads, graphql=bool(connection.api_client))


def _course_line(course: dict[str, Any], paths: Mapping[int, str | None]) -> bytes:
    """What is known of a course; its names come as Totara writes them into pages (measured)."""
    visible = course.get("visible")
    return copy_line(
        (
            course["id"],
            course["categoryid"],
            paths.get(course["categoryid"]),
            html.unescape(course["shortname"]),
            course.get("idnumber"),
            html.unescape(course["fullname"]),
            None if visible is None else bool(visible),
        )
    )
