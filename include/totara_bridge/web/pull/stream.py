"""All that is wanted of a feed up to a position, piece by piece: neither memory nor a transaction grows with it."""

from collections.abc import Iterator

from totara_bridge.staging import api_token, pull
from totara_bridge.staging.pull import Feed, Wanted
from totara_bridge.staging.pull_form import Form, header
from totara_bridge.web.pull.call import Call

#: Items that are read at a time.
PIECE = 1000


class BrokenOff(Exception):
    """The caller may have no more: the connection is closed without an end. It says why, as a sentence."""


def stream(call: Call, feed: Feed, form: Form, wanted: Wanted, *, after: int, end: int) -> Iterator[bytes]:
    """The text of all items that are wanted.

    What changes meanwhile is left out, and comes after ``end``.

    :param end: the position of the last change that is wanted.
    :raises BrokenOff: the token has ended, or the Pull API was switched off.
    """
    if form is Form.CSV:
        yield header(feed.fields).encode()
    while after < end:
        with call.service.look() as connection:
            if not api_token.may_go_on(connection, token=call.caller.token, now=call.service.clock()):
                raise BrokenOff("Its token has ended, or the Pull API was switched off.")
            page = pull.page(connection, feed, form, wanted, after=after, limit=PIECE, end=end)
        after = page.position
        if page.text:
            yield page.text
