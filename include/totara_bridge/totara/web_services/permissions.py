"""What the token's user may do is found before a crawl begins, and what it may not is said in one list."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.web_services.answers import NOT_ALLOWED, OF_A_PAIR, CallRefused
from totara_bridge.totara.web_services.client import WebServices

SITE_INFO = "core_webservice_get_site_info"
COURSES = "core_course_get_courses"
CATEGORIES = "core_course_get_categories"
ENROLLED = "core_enrol_get_enrolled_users"
STATUS = "core_completion_get_course_completion_status"
AUDIENCES = "core_cohort_get_cohorts"
MEMBERS = "core_cohort_get_cohort_members"

NEEDED = (SITE_INFO, COURSES, ENROLLED, STATUS)
#: The site itself is a course, too.
SITE_COURSE = 1

#: Columns of a learner and what web services call them.
LEARNER_FIELDS = {
    "username": "username",
    "id_number": "idnumber",
    "email": "email",
    "first_name": "firstname",
    "last_name": "lastname",
}
#: Which capability shows them; sites may hide more by their settings.
_SHOWN_BY = {
    "username": "moodle/user:viewalldetails",
    "id_number": "moodle/site:viewuseridentity",
    "email": "moodle/site:viewuseridentity",
    "first_name": "moodle/site:viewfullnames",
    "last_name": "moodle/site:viewfullnames",
}
#: The administrator that Totara's installation makes: somebody to ask about where learners are not shown.
_SOMEBODY = 2
_PROBED_COURSES = 25
_PROBED_LEARNERS = 50


@dataclass(frozen=True, kw_only=True)
class Access:
    """What web services show to the token's user."""

    site: str  #: its name
    user: str  #: the token's
    functions: frozenset[str]
    courses: Sequence[dict[str, Any]]  #: as Totara tells them, the site's own among them
    only_active: bool  #: whether enrolments that are off can be left out
    saw_learners: bool  #: in the courses that were tried
    learner_columns: frozenset[str]  #: those that it shows of one of them
    lacks: Sequence[str] = ()  #: what will be missing, and the remedy

    @property
    def audiences(self) -> bool:
        """Whether the service has the functions for them."""
        return {AUDIENCES, MEMBERS} <= self.functions

    @property
    def shows_learners(self) -> bool:
        """Whether it shows all that is kept of a learner."""
        return self.learner_columns == LEARNER_FIELDS.keys()


def find(services: WebServices, *, reads: Callable[[Mapping[str, Any]], bool], graphql: bool) -> Access:
    """Ask for what a crawl needs.

    :param reads: which courses the crawl asks about: elsewhere nothing need be allowed.
    :param graphql: learners are to be had by the external GraphQL API as well.
    :raises TotaraRefused: not all of it is allowed; names all that is not.
    """
    info = services.call(SITE_INFO)
    functions = frozenset(each["name"] for each in info["functions"])
    user = info["username"]
    if missing := [name for name in NEEDED if name not in functions]:
        raise TotaraRefused(
            f"The service of the token (user {user}) lacks functions that are needed to read completions: add "
            f"{', '.join(missing)} in Totara under Server > Web services > External services > Functions."
        )
    probe = _Probe(services)
    courses = probe.courses()
    probe.some([each["id"] for each in courses if reads(each)])
    if probe.refused:
        refused = "; ".join(probe.refused.values())
        raise TotaraRefused(f"The token's user {user} may not do what is needed to read completions: {refused}.")
    access = Access(
        site=info["sitename"],
        user=user,
        functions=functions,
        courses=courses,
        saw_learners=bool(probe.learners),
        only_active=probe.only_active,
        learner_columns=frozenset(
            name for name, field in LEARNER_FIELDS.items() if any(each.get(field) for each in probe.learners)
        ),
    )
    known = not access.saw_learners or graphql
    return replace(access, lacks=(*_lacks(access), *(() if known else _lacks_of_learners(access))))


def enrolled_options(*, only_active: bool, first: int, number: int) -> list[dict[str, str]]:
    """The options of `ENROLLED` for one page, in the order of the learners' ids."""
    options = {
        "userfields": ",".join(("id", *LEARNER_FIELDS.values())),  # without it each has all courses with it
        "sortby": "id",
        "sortdirection": "ASC",
        "limitfrom": str(first),
        "limitnumber": str(number),
        **({"onlyactive": "1"} if only_active else {}),
    }
    return [{"name": name, "value": value} for name, value in options.items()]


class _Probe:
    """A few courses are asked about as a crawl asks about all."""

    def __init__(self, services: WebServices) -> None:
        self._services = services
        self.only_active = True
        self.learners: Sequence[dict[str, Any]] = ()
        self.refused: dict[str, str] = {}  #: by function, in words; what another course shows is not refused

    def courses(self) -> Sequence[dict[str, Any]]:
        """All courses."""
        return self._call(COURSES) or ()

    def some(self, courses: Sequence[int]) -> None:
        """Ask about courses until one shows what was asked."""
        for course in courses[:_PROBED_COURSES]:
            found = self._page(course)
            if found or ENROLLED in self.refused:
                self.learners = self.learners or found or ()
                self._call(STATUS, courseid=course, userid=found[0]["id"] if found else _SOMEBODY)
                if not self.refused:
                    return

    def _page(self, course: int) -> Any:
        found = self._enrolled(course)
        if ENROLLED in self.refused and self.only_active:
            self.only_active = False
            found = self._enrolled(course)
        return found

    def _enrolled(self, course: int) -> Any:
        options = enrolled_options(only_active=self.only_active, first=0, number=_PROBED_LEARNERS)
        return self._call(ENROLLED, courseid=course, options=options)

    def _call(self, function: str, **parameters: object) -> Any:
        """What it gives; none where it is not allowed, which is noted, or where there is nothing."""
        try:
            answer = self._services.call(function, **parameters)
        except CallRefused as refused:
            if refused.code in NOT_ALLOWED:
                self.refused[function] = str(refused).rstrip(".")
            elif refused.code not in OF_A_PAIR:
                raise
            return None
        self.refused.pop(function, None)
        return answer


def _lacks(access: Access) -> Iterator[str]:
    courses = [each for each in access.courses if each["id"] != SITE_COURSE]
    if courses and not any("idnumber" in each for each in courses):
        yield (
            "id numbers and visibility of courses, and the sign by which this Totara is known again (capability "
            "moodle/course:update)"
        )
    if CATEGORIES not in access.functions:
        yield f"the categories above a course's own (function {CATEGORIES})"
    if not access.audiences:
        yield f"audiences, for routes and for the query (functions {AUDIENCES} and {MEMBERS})"
    if not access.only_active:
        yield (
            "which enrolments are off, so that one call is made for each of them in vain (capability "
            "moodle/course:enrolreview)"
        )


def _lacks_of_learners(access: Access) -> Iterator[str]:
    for name in LEARNER_FIELDS:
        if name not in access.learner_columns:
            yield f"{name} of learners (capability {_SHOWN_BY[name]})"
