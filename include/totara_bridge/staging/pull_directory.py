"""The feeds of learners and of courses: what they are called now, in the order in which that changed."""

from collections.abc import Mapping
from dataclasses import dataclass

from totara_bridge.staging.pull import Feed, Wanted
from totara_bridge.staging.pull_form import Field

# learners who were erased are numbered with the others: whoever follows the feed is told of each in its turn
_LEARNERS = """(
    SELECT change_seq, site, user_id, username, id_number, email, first_name, last_name, suspended,
           deleted_at IS NOT NULL AS deleted, false AS erased, changed_at
    FROM bridge.learner
    UNION ALL
    SELECT change_seq, site, user_id, NULL, NULL, NULL, NULL, NULL, false, true, true, erased_at
    FROM bridge.erased_learner
)"""

USERS = Feed(
    rows=_LEARNERS,
    deleted="c.deleted",
    fields=(
        Field("id", "word", "c.site || '-' || c.user_id"),
        Field("version", "number", "c.change_seq"),
        Field("site", "word", "c.site"),
        Field("userId", "number", "c.user_id"),
        Field("username", "text", "c.username"),
        Field("idnumber", "text", "c.id_number"),
        Field("email", "text", "c.email"),
        Field("firstname", "text", "c.first_name"),
        Field("lastname", "text", "c.last_name"),
        Field("suspended", "flag", "c.suspended"),
        Field("deleted", "flag", "c.deleted"),
        Field("erased", "flag", "c.erased"),
        Field("changedAt", "instant", "c.changed_at"),
    ),
)

#: A course that Totara has no more stays as it was: completions name it.
COURSES = Feed(
    rows="bridge.course",
    deleted="false",
    fields=(
        Field("id", "word", "c.site || '-' || c.course_id"),
        Field("version", "number", "c.change_seq"),
        Field("site", "word", "c.site"),
        Field("courseId", "number", "c.course_id"),
        Field("shortname", "text", "c.short_name"),
        Field("idnumber", "text", "c.id_number"),
        Field("fullname", "text", "c.full_name"),
        Field("categoryId", "number", "c.category_id"),
        Field("visible", "flag", "c.visible"),
        Field("changedAt", "instant", "c.changed_at"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class UserFilter:
    """What a caller wants of the learners; what is none does not matter."""

    deletions: bool = True  #: also those who are no more
    site: str | None = None
    user_id: int | None = None
    username: str | None = None
    email: str | None = None
    id_number: str | None = None


@dataclass(frozen=True, kw_only=True)
class CourseFilter:
    """What a caller wants of the courses; what is none does not matter."""

    site: str | None = None
    course_id: int | None = None
    id_number: str | None = None


def users(asked: UserFilter) -> Wanted:
    """The learners for whom all of it is so; with ``deletions`` also all who are erased: nobody knows any more whose
    names they had.
    """
    values = {name: value for name, value in vars(asked).items() if name != "deletions" and value is not None}
    told = {name: condition for name, condition in _CONDITIONS.items() if name in values}
    if asked.deletions:
        told |= {name: f"({told[name]} OR c.erased)" for name in _NAMES if name in told}
    conditions = [*told.values()] if asked.deletions else [*told.values(), f"NOT {USERS.deleted}"]
    return Wanted(tuple(conditions), rows=_of_learners(told), values=values)


def courses(asked: CourseFilter) -> Wanted:
    """The courses for which all of it is so."""
    values = {name: value for name, value in vars(asked).items() if value is not None}
    return Wanted(tuple(_CONDITIONS[name] for name in values), values=values)


_CONDITIONS = {
    "site": "c.site = :site",
    "user_id": "c.user_id = :user_id",
    "course_id": "c.course_id = :course_id",
    "username": "c.username = :username",
    "email": "lower(c.email) = lower(:email)",
    "id_number": "c.id_number = :id_number",
}


_NAMES = ("username", "email", "id_number")


def _of_learners(conditions: Mapping[str, str]) -> str | None:
    """SQL: those that an index finds by one of these conditions; none: there is no index for any.

    They are looked up before they are put into order: nobody is to read all learners for the sake of it.
    """
    for name in _NAMES:
        if name in conditions:
            return f"(WITH found AS MATERIALIZED (SELECT * FROM {_LEARNERS} c WHERE {conditions[name]}) TABLE found)"
    if "user_id" in conditions:
        return f"""(
            WITH found AS MATERIALIZED (
                SELECT c.* FROM bridge.site s CROSS JOIN LATERAL (
                    SELECT * FROM {_LEARNERS} c WHERE c.site = s.code AND c.user_id = :user_id OFFSET 0) c)
            TABLE found)"""
    return None
