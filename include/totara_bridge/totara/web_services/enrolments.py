"""Who is enrolled in which course, asked once in a crawl and kept on disk.

Memory holds a number for each course and one for each learner; a learner has one line on disk, an enrolment 8 bytes.
"""

import itertools
import json
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from totara_bridge.totara.web_services.answers import NOT_ALLOWED, OF_A_PAIR, CallRefused
from totara_bridge.totara.web_services.client import WebServices
from totara_bridge.totara.web_services.permissions import ENROLLED, enrolled_options

_PAGE = 500
_READINGS = 5

Enrolled = dict[str, Any]  #: a learner as Totara tells of one


class Enrolments:
    """The learners of the given courses, for ``with``."""

    def __init__(
        self,
        services: WebServices,
        courses: Sequence[int],
        *,
        only_active: bool,
        wanted: Callable[[Enrolled], bool],
        page: int = _PAGE,
    ) -> None:
        """Nothing is asked yet.

        :param wanted: which learners.
        :param page: how many are asked for at once; at least 2.
        """
        self._page_size = page
        self._services = services
        self._courses = courses
        self._only_active = only_active
        self._wanted = wanted
        self._ids = tempfile.TemporaryFile()  # noqa: SIM115  closed with this
        self._lines = tempfile.TemporaryFile()  # noqa: SIM115
        self._of_course: dict[int, tuple[int, int]] = {}  #: where its ids begin, and how many there are
        self._of_learner: dict[int, int] = {}  #: where the line begins
        self._read = False
        self.refused_courses: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget them."""
        self._ids.close()
        self._lines.close()

    def courses(self) -> Sequence[int]:
        """Those of which it is known who is enrolled, be it nobody."""
        self._read_once()
        return [course for course in self._courses if course in self._of_course]

    def of(self, course: int) -> Sequence[int]:
        """The ids of its learners."""
        self._read_once()
        start, number = self._of_course.get(course, (0, 0))
        ids = array("q")
        self._ids.seek(start)
        ids.frombytes(self._ids.read(number * ids.itemsize))
        return ids

    def learners(self) -> Iterator[Enrolled]:
        """All, each once, as web services tell them."""
        self._read_once()
        for start in self._of_learner.values():
            yield self._line(start)

    def learner(self, user_id: int) -> Enrolled | None:
        """The one with this id, if there is one."""
        self._read_once()
        start = self._of_learner.get(user_id)
        return None if start is None else self._line(start)

    def _line(self, start: int) -> Enrolled:
        self._lines.seek(start)
        line: Enrolled = json.loads(self._lines.readline())
        return line

    def _read_once(self) -> None:
        if self._read:
            return
        asked = self._services.each(self._enrolled, self._courses)
        for course, learners in zip(self._courses, asked, strict=True):
            if learners is None:
                self.refused_courses.append(course)
            else:
                self._keep(course, [each for each in learners if self._wanted(each)])
        self._read = True

    def _keep(self, course: int, learners: Sequence[Enrolled]) -> None:
        ids = array("q", sorted({each["id"] for each in learners}))
        self._of_course[course] = (self._ids.seek(0, 2), len(ids))
        self._ids.write(ids.tobytes())
        end = self._lines.seek(0, 2)
        for each in learners:
            if each["id"] not in self._of_learner:
                self._of_learner[each["id"]] = end
                end += self._lines.write(json.dumps(each).encode() + b"\n")

    def _enrolled(self, course: int) -> Sequence[Enrolled] | None:
        """The learners of a course; none: Totara does not say."""
        try:
            for _ in range(_READINGS):
                learners, moved = self._pages(course)
                if not moved:
                    break
        except CallRefused as refused:
            if refused.code in OF_A_PAIR:  # the course has been deleted meanwhile
                return ()
            if refused.code in NOT_ALLOWED:
                return None
            raise
        return learners

    def _pages(self, course: int) -> tuple[Sequence[Enrolled], bool]:
        """Page by page, and whether somebody left meanwhile, so that others moved to a page that was read already.

        Each page begins with the last learner of the one before. Totara leaves out whom the token's user may not see,
        so a page that is not full need not be the last: that is one with nobody new.
        """
        learners = list(self._page(course, 0))
        moved = False
        for first in itertools.count(self._page_size - 1, self._page_size - 1):
            page = self._page(course, first) if learners else ()
            moved = moved or (bool(page) and page[0]["id"] != learners[-1]["id"])
            new = [each for each in page if each["id"] > learners[-1]["id"]]
            if not new:
                break
            learners += new
        return learners, moved

    def _page(self, course: int, first: int) -> Sequence[Enrolled]:
        options = enrolled_options(only_active=self._only_active, first=first, number=self._page_size)
        page: Sequence[Enrolled] = self._services.call(ENROLLED, courseid=course, options=options)
        return page
