"""Where a puller goes on: a position among the changes, and what was asked for, in one opaque word.

It holds all that a page needs, so it is as good after a restart, in another process and a year later.
"""

import base64
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from totara_bridge.web.problem import Problem, invalid_parameter

Feed = Literal["completions", "users", "courses"]

_VERSION = 1
_LARGEST = 2**63 - 1
_FEEDS = get_args(Feed)
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Cursor:
    """A place in a feed."""

    feed: Feed
    after: int  #: the ``change_seq`` of the last change that the caller has, or that is not for them
    at: int  #: when the last change up to it was made, in microseconds since 1970: another database has another
    asked: Mapping[str, str]  #: the parameters that narrow the feed, as they were written


def written(cursor: Cursor) -> str:
    """The word for it."""
    parts = [_VERSION, cursor.feed, cursor.after, cursor.at, dict(cursor.asked)]
    said = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return _word(zlib.crc32(said).to_bytes(4, "big") + said)


def read(word: str, feed: Feed) -> Cursor:
    """What the word says.

    :raises Problem: it is none of ours, was changed, or is of another feed.
    """
    try:
        wire = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
        checksum, said = wire[:4], wire[4:]
        if zlib.crc32(said).to_bytes(4, "big") != checksum or _word(wire) != word:
            raise _invalid()
        version, of, after, at, asked = json.loads(said)
    except (ValueError, TypeError, RecursionError):  # whoever can count can make the checksum of anything
        raise _invalid() from None
    if version != _VERSION or of not in _FEEDS or not (_is_number(after) and _is_number(at) and _is_asked(asked)):
        raise _invalid()
    if of != feed:
        raise invalid_parameter(("cursor", f"It is a cursor of /{of}, and this is /{feed}: use it there."))
    return Cursor(feed, after, at, asked)


def _word(wire: bytes) -> str:
    return base64.urlsafe_b64encode(wire).decode().rstrip("=")


def _is_number(said: object) -> bool:
    return type(said) is int and 0 <= said <= _LARGEST


def _is_asked(asked: object) -> bool:
    """Whether it can have stood in a query: names and words, and no half of a character."""
    words = [*asked, *asked.values()] if isinstance(asked, dict) else [None]
    return all(isinstance(word, str) and not _HALF.search(word) for word in words)


def _invalid() -> Problem:
    return invalid_parameter(
        ("cursor", "It is not a cursor of this API, or was changed: send one exactly as an answer had it, or none.")
    )
