"""``GET /users`` and ``GET /courses``: feeds of their own, as another name changes no completion."""

from totara_bridge.staging import pull_directory
from totara_bridge.staging.pull_directory import COURSES, USERS, CourseFilter, UserFilter
from totara_bridge.web.pull import feed, form
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.completions import require_site
from totara_bridge.web.pull.written import Address, TotaraId, Word


class UsersAsked(feed.Asked):
    """The parameters of ``/users``."""

    site: Word | None = None
    userid: TotaraId | None = None
    username: Word | None = None
    email: Address | None = None
    idnumber: Word | None = None


class CoursesAsked(feed.Asked):
    """The parameters of ``/courses``."""

    site: Word | None = None
    courseid: TotaraId | None = None
    idnumber: Word | None = None


def users(call: Call) -> Answer:
    """Learners, in the order in which they changed; without a cursor those who are not deleted.

    :raises Problem: what is wanted cannot be known, or not be had.
    """
    reading = feed.read(call, UsersAsked, "users")
    asked, chosen = reading.asked, form.choose(call.accept)
    wanted = pull_directory.users(
        UserFilter(
            deletions=reading.place is not None,
            site=asked.site,
            user_id=asked.userid,
            username=asked.username,
            email=asked.email,
            id_number=asked.idnumber,
        )
    )
    with call.service.look() as connection:
        require_site(connection, asked.site)
        return feed.answer(call, connection, reading, chosen, feed=USERS, wanted=wanted)


def courses(call: Call) -> Answer:
    """Courses, in the order in which they changed.

    :raises Problem: what is wanted cannot be known, or not be had.
    """
    reading = feed.read(call, CoursesAsked, "courses")
    asked, chosen = reading.asked, form.choose(call.accept)
    wanted = pull_directory.courses(CourseFilter(site=asked.site, course_id=asked.courseid, id_number=asked.idnumber))
    with call.service.look() as connection:
        require_site(connection, asked.site)
        return feed.answer(call, connection, reading, chosen, feed=COURSES, wanted=wanted)
