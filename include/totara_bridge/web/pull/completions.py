"""``GET /completions`` and ``GET /completions/{id}``."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from sqlalchemy import Connection

from totara_bridge.completion import Status
from totara_bridge.staging import pull, pull_filter, setting
from totara_bridge.staging.pull_filter import COMPLETIONS, CompletionFilter
from totara_bridge.staging.pull_form import Form
from totara_bridge.web.problem import Problem, invalid_parameter
from totara_bridge.web.pull import completion_id, feed, form
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.parameters import Nothing, read
from totara_bridge.web.pull.written import Address, Time, TotaraId, Truth, Word


def _statuses(written: object) -> object:
    words = written.split(",") if isinstance(written, str) else written
    if not isinstance(words, list) or set(words) - set(Status) or len(words) > len(Status):
        raise ValueError(f"choose one or several, with commas between, of {', '.join(Status)}")
    return sorted(set(words))


class CompletionsAsked(feed.Asked):
    """The parameters."""

    since: Time | None = None
    until: Time | None = None
    completed_since: Time | None = None
    completed_until: Time | None = None
    userid: TotaraId | None = None
    courseid: TotaraId | None = None
    status: Annotated[list[Status], Field(min_length=1), BeforeValidator(_statuses)] | None = None
    username: Word | None = None
    email: Address | None = None
    idnumber: Word | None = None
    course_idnumber: Word | None = None
    site: Word | None = None
    acknowledged: Truth | None = None


def completions(call: Call) -> Answer:
    """What changed, in the order of the changes.

    :raises Problem: what is wanted cannot be known, or not be had.
    """
    reading = feed.read(call, CompletionsAsked, "completions")
    asked, chosen = reading.asked, form.choose(call.accept)
    first = reading.place is None and asked.since is None
    wanted = pull_filter.wanted(
        CompletionFilter(
            caller=call.caller.name,
            deletions=not first,
            erased=reading.place is not None,
            until=asked.until,
            completed_since=asked.completed_since,
            completed_until=asked.completed_until,
            site=asked.site,
            user_id=asked.userid,
            course_id=asked.courseid,
            statuses=asked.status,
            username=asked.username,
            email=asked.email,
            id_number=asked.idnumber,
            course_id_number=asked.course_idnumber,
            acknowledged=asked.acknowledged,
        )
    )
    _require_a_span(asked)
    with call.service.look() as connection:
        require_site(connection, asked.site)
        since = call.now - setting.read(connection, only="pull_since").pull_since if first else asked.since or 0
        return feed.answer(call, connection, reading, chosen, feed=COMPLETIONS, wanted=wanted, since=since)


def _require_a_span(asked: CompletionsAsked) -> None:
    """Say so where nothing can ever lie between two moments.

    :raises Problem: the second is before the first.
    """
    spans = (("until", asked.since, asked.until), ("completed_until", asked.completed_since, asked.completed_until))
    for name, begin, end in spans:
        if begin is not None and end is not None and begin > end:
            raise invalid_parameter((name, f"It is before {name.replace('until', 'since')}: nothing lies between."))


def completion(call: Call) -> Answer:
    """The one that the path names, as it is now.

    :raises Problem: there is none.
    """
    read(Nothing, call.query)
    form.choose(call.accept, [Form.JSON])
    found = None
    if key := completion_id.read(call.path["id"]):
        site, user_id, course_id = key
        only = pull_filter.completion(site=site, user_id=user_id, course_id=course_id, caller=call.caller.name)
        with call.service.look() as connection:
            found = pull.one(connection, COMPLETIONS, only)
    if found is None:
        raise Problem(404, "not-found", "There is no completion with this id: take one as an answer had it.")
    return Answer(found)


def require_site(connection: Connection, code: str | None) -> None:
    """Say so where a caller asks for a site that there is not: an empty answer would be taken for good news.

    :raises Problem: there is none with this code.
    """
    if code is not None and not pull_filter.is_site(connection, code):
        raise invalid_parameter(("site", "There is no such site: take a code as an item has it."))
