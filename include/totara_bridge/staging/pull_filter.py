"""The feed of completions: its items, and the conditions on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from totara_bridge.staging.pull import Feed, Wanted
from totara_bridge.staging.pull_form import Field, Part, Parts

_PAIR = "{0}.site = c.site AND {0}.user_id = c.user_id AND {0}.course_id = c.course_id"

#: What each caller gets; the value ``caller`` is its name.
COMPLETIONS = Feed(
    rows="bridge.completion",
    deleted="c.deleted_at IS NOT NULL",
    fields=(
        Field("id", "word", "c.site || '-' || c.user_id || '-' || c.course_id"),
        Field("version", "number", "c.change_seq"),
        Field("site", "word", "c.site"),
        Field("userId", "number", "c.user_id"),
        Field("courseId", "number", "c.course_id"),
        Field("status", "word", "c.status"),
        Field("progress", "number", "c.progress"),
        Field("grade", "number", "trim_scale(nullif(c.grade, 'NaN'))"),
        Field("rpl", "text", "c.rpl"),
        Field("timeenrolled", "time", "c.time_enrolled"),
        Field("timestarted", "time", "c.time_started"),
        Field("timecompleted", "time", "c.time_completed"),
        Field("changedAt", "instant", "c.changed_at"),
        Field("deleted", "flag", "c.deleted_at IS NOT NULL"),
        Part(
            "user",
            (
                Field("username", "text", "l.username"),
                Field("idnumber", "text", "l.id_number"),
                Field("email", "text", "l.email"),
                Field("firstname", "text", "l.first_name"),
                Field("lastname", "text", "l.last_name"),
                Field("suspended", "flag", "l.suspended"),
                Field("deleted", "flag", "l.deleted_at IS NOT NULL"),
            ),
            "bridge.learner l WHERE l.site = c.site AND l.user_id = c.user_id",
            shared=True,
        ),
        Part(
            "course",
            (
                Field("shortname", "text", "k.short_name"),
                Field("idnumber", "text", "k.id_number"),
                Field("fullname", "text", "k.full_name"),
                Field("categoryId", "number", "k.category_id"),
            ),
            "bridge.course k WHERE k.site = c.site AND k.course_id = c.course_id",
            shared=True,
        ),
        Parts(
            "instances",
            (
                Field("recordKey", "word", "i.record_key"),
                Field("revision", "number", "i.revision"),
                Field("status", "word", "i.status"),
                Field("timecompleted", "time", "i.time_completed"),
                Field("archived", "flag", "i.archived_at IS NOT NULL"),
                Field("ended", "flag", "i.ended_at IS NOT NULL"),
            ),
            # the order of the index that finds them; an erased learner's have lost all but their keys: row_id is 0 then
            f"""
            bridge.completion_instance i WHERE {_PAIR.format("i")} AND c.row_id <> 0
            ORDER BY i.first_time_completed, i.ordinal
            """,
        ),
        Part(
            "acknowledgement",
            (
                Field("status", "word", "a.status"),
                Field("reference", "text", "a.reference"),
                Field("message", "text", "a.message"),
                Field("version", "number", "a.change_seq"),
                Field("acknowledgedAt", "instant", "a.acknowledged_at"),
            ),
            f"bridge.acknowledgement a WHERE a.caller = :caller AND {_PAIR.format('a')}",
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class CompletionFilter:
    """What a caller wants of the feed; what is none does not matter."""

    caller: str
    deletions: bool = True  #: also what is no more
    erased: bool = (
        False  #: whatever is wanted, also what is left of erased learners: nobody knows any more whose it was
    )
    until: datetime | None = None  #: changed before
    completed_since: datetime | None = None
    completed_until: datetime | None = None
    site: str | None = None
    user_id: int | None = None
    course_id: int | None = None
    statuses: Sequence[str] | None = None
    username: str | None = None
    email: str | None = None
    id_number: str | None = None
    course_id_number: str | None = None
    acknowledged: bool | None = None  #: by the caller, as the completion is now


def wanted(asked: CompletionFilter) -> Wanted:
    """The rows that fulfil all of it."""
    values = {name: value for name, value in vars(asked).items() if value is not None}
    conditions = [condition for name, condition in _CONDITIONS.items() if name in values]
    conditions += [
        f"({condition}{' OR c.row_id = 0' if asked.erased else ''})"
        for name, condition in _BLANKED.items()
        if name in values
    ]
    if asked.acknowledged is not None:
        conditions.append(f"{_ACKNOWLEDGED} IS {'NOT ' if asked.acknowledged else ''}DISTINCT FROM c.change_seq")
    if not asked.deletions:
        conditions.append(f"NOT ({COMPLETIONS.deleted})")
    return Wanted(
        conditions=tuple(conditions),
        rows=_of_learners(values, erased=asked.erased),
        until=asked.until is not None,
        values=values,
    )


def completion(*, site: str, user_id: int, course_id: int, caller: str) -> Wanted:
    """The one completion of a learner in a course."""
    conditions = ("c.site = :site", "c.user_id = :user_id", "c.course_id = :course_id")
    return Wanted(conditions, values={"site": site, "user_id": user_id, "course_id": course_id, "caller": caller})


def is_site(connection: Connection, code: str) -> bool:
    """Whether there is a site with this code."""
    statement = text("SELECT EXISTS (SELECT FROM bridge.site WHERE code = :code)")
    return bool(connection.execute(statement, {"code": code}).scalar_one())


_CONDITIONS = {
    "site": "c.site = :site",
    "course_id": "c.course_id = :course_id",
    # not joined, which would read all that the page may examine before it gives the first row
    "course_id_number": """
        ((c.site, c.course_id) IN (SELECT site, course_id FROM bridge.course WHERE id_number = :course_id_number))
        IS TRUE
    """,
}

# of what is lost when a learner is erased
_BLANKED = {
    "statuses": "c.status = ANY(cast(:statuses AS text[]))",
    "completed_since": "c.time_completed >= :completed_since",
    "completed_until": "c.time_completed < :completed_until",
}

# one look into an index for each row, whatever there is of acknowledgements
_ACKNOWLEDGED = f"""
    (SELECT a.change_seq FROM bridge.acknowledgement a WHERE a.caller = :caller AND {_PAIR.format("a")})
"""

_NAMES = {
    "username": "l.username = :username",
    "email": "lower(l.email) = lower(:email)",
    "id_number": "l.id_number = :id_number",
}

_NUMBERS = {"site": "l.site = :site", "user_id": "l.user_id = :user_id"}


def _of_learners(values: Mapping[str, object], *, erased: bool) -> str | None:
    """SQL: the completions of the learners that are asked for; none: of everybody."""
    named = [condition for name, condition in _NAMES.items() if name in values]
    if named:
        also = [condition for name, condition in _NUMBERS.items() if name in values]
        learners = f"SELECT l.site, l.user_id FROM bridge.learner l WHERE {' AND '.join([*named, *also])}"
        if erased:
            among = " AND ".join(["true", *also])
            learners += f" UNION ALL SELECT l.site, l.user_id FROM bridge.erased_learner l WHERE {among}"
    elif "user_id" in values:  # also one who was erased
        learners = "SELECT s.code, cast(:user_id AS bigint) FROM bridge.site s"
    else:
        return None
    return f"""(
        WITH learner (site, user_id) AS MATERIALIZED ({learners})
        SELECT c.* FROM learner l CROSS JOIN LATERAL (
            SELECT * FROM bridge.completion c WHERE c.site = l.site AND c.user_id = l.user_id OFFSET 0) c)
    """
