"""Answering from a feed: one page, or all of it as a stream; each answer says where to go on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from totara_bridge.staging import pull
from totara_bridge.staging.pull import Feed, Page, Wanted
from totara_bridge.staging.pull_form import Form, header
from totara_bridge.web.problem import Problem, invalid_parameter
from totara_bridge.web.pull import cursor, parameters
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.cursor import Cursor
from totara_bridge.web.pull.stream import stream
from totara_bridge.web.pull.written import Limit

#: Items of a page of JSON, where the caller does not say.
USUAL = 500

#: Parameters that say from where on, and not what.
_PLACE = {"since", "cursor", "limit"}


class Asked(BaseModel):
    """The parameters that every feed takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    limit: Limit | None = None
    cursor: str | None = None


Narrowing = TypeVar("Narrowing", bound=Asked)


@dataclass(frozen=True)
class Reading(Generic[Narrowing]):
    """What a call wants."""

    feed: cursor.Feed
    asked: Narrowing  #: with a cursor: what was asked for in the first call
    said: Mapping[str, str]  #: the same as it was written, but for the place
    place: Cursor | None  #: where to go on; none: it is a first call
    limit: int | None


def read(call: Call, model: type[Narrowing], feed: cursor.Feed) -> Reading[Narrowing]:
    """What the call wants.

    :raises Problem: it cannot be known.
    """
    given = dict(call.query)
    if "cursor" not in given:
        asked = parameters.read(model, call.query)
        said = {name: word for name, word in given.items() if name not in _PLACE}
        return Reading(feed, asked, said, None, asked.limit)
    if beside := [name for name in given if name not in {"cursor", "limit"}]:
        raise invalid_parameter(
            *((name, "The cursor holds what was asked for: give nothing but limit beside it.") for name in beside)
        )
    place = parameters.read(Asked, call.query)
    found = cursor.read(given["cursor"], feed)
    asked = parameters.read(model, [*found.asked.items()])
    return Reading(feed, asked, found.asked, found, place.limit)


def answer(
    call: Call,
    connection: Connection,
    reading: Reading[Narrowing],
    form: Form,
    *,
    feed: Feed,
    wanted: Wanted,
    since: datetime | int = 0,
) -> Answer:
    """The next page; or, in the other forms, all that there is now, unless there is a limit.

    :param since: where a first call begins.
    :raises Problem: the cursor is of a change that is not there.
    """
    after = since if reading.place is None else reading.place.after
    limit = reading.limit or (USUAL if form is Form.JSON else None)
    if limit is None:
        start, end = pull.span(connection, feed, after=after)
        _require_known(reading, end)
        body = stream(call, feed, form, wanted, after=start, end=end.position)
        return Answer(body, form, headers=_headers(_next(reading, end), None))
    page = pull.page(connection, feed, form, wanted, after=after, limit=limit)
    _require_known(reading, page)
    goes_on = _next(reading, page)
    return Answer(_document(page, feed, form, goes_on), form, headers=_headers(goes_on, limit))


def _document(page: pull.Page, feed: Feed, form: Form, goes_on: str) -> bytes:
    match form:
        case Form.JSON:
            more = "true" if page.more else "false"
            return b'{"items":[%b],"cursor":"%b","more":%b}' % (page.text, goes_on.encode(), more.encode())
        case Form.CSV:
            return header(feed.fields).encode() + page.text
        case Form.NDJSON:
            return page.text


def _headers(goes_on: str, limit: int | None) -> Mapping[str, str]:
    """A reference that is a query alone is right behind any proxy."""
    again = f"?cursor={goes_on}" + ("" if limit is None else f"&limit={limit}")
    return {"Link": f'<{again}>; rel="next"', "Vary": "Accept"}


def _next(reading: Reading[Narrowing], page: Page) -> str:
    return cursor.written(Cursor(reading.feed, page.position, page.at, reading.said))


def _require_known(reading: Reading[Narrowing], page: Page) -> None:
    """Whoever knows more than there is would wait for what never comes, and miss what does.

    Changes that were made after a backup have the numbers that others had whom the caller knows, but are younger.
    """
    place = reading.place
    if place is not None and (place.after > page.newest or page.after_at > place.at):
        raise Problem(
            410,
            "cursor-ahead",
            "The bridge's database was restored from a backup, and has lost changes that this cursor has seen: empty "
            "your copy, and begin again without the cursor and with since=1970-01-01.",
        )
