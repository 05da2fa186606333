"""Where a puller goes on: a position among the changes, and what was asked for, in one opaque word.

It holds all that a page needs, so it is as good after a restart, in another process and a year later.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from totara_bridge.web.pull.problem import Problem, invalid_parameter

Feed = Literal["completions", "users", "courses"]

_VERSION = 1
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Cursor:
    """A place in a feed."""

    feed: Feed
    after: int  #: the ``change_seq`` of the last change that the caller has, or that is not for them
    asked: Mapping[str, str]  #: the parameters that narrow the feed, as they were written


def written(cursor: Cursor) -> str:
    """The word for it."""
    said = json.dumps([_VERSION, cursor.feed, cursor.after, dict(cursor.asked)], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.crc32(said).to_bytes(4, "big") + said).decode().rstrip("=")


def read(word: str, feed: Feed) -> Cursor:
    """What the word says.

    :raises Problem: it is none of ours, was changed, or is of another feed.
    """
    try:
        wire = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
        checksum, said = wire[:4], wire[4:]
        if zlib.crc32(said).to_bytes(4, "big") != checksum:
            raise _invalid()
        version, of, after, asked = json.loads(said)
    except (ValueError, binascii.Error, RecursionError):
        raise _invalid() from None
    if version != _VERSION or not isinstance(after, int) or not 0 <= after <= _LARGEST or not isinstance(asked, dict):
        raise _invalid()
    if of != feed:
        raise invalid_parameter(("cursor", f"It is a cursor of /{of}, and this is /{feed}: use it there."))
    return Cursor(feed, after, asked)


def _invalid() -> Problem:
    return invalid_parameter(
        ("cursor", "It is not a cursor of this API, or was changed: send one exactly as an answer had it, or none.")
    )
