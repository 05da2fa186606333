"""Giving tokens of the Pull API, and taking them back.

A token is ``tbk_``, 30 random letters and digits, and 6 more that are the CRC-32 of those: scanners of repositories
tell one from a word that only looks like it. Only its SHA-256 is stored; it is shown once.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from totara_bridge.staging import api_token, audit
from totara_bridge.staging.api_token import Scope
from totara_bridge.staging.engine import Transaction

_DIGITS = string.digits + string.ascii_letters
_RANDOM, _CHECKSUM = 30, 6

#: The audit log's word.
ACTION = "api_token"


@dataclass(frozen=True)
class Issued:
    """A new token."""

    id: int
    token: str  #: shown now and never again

    def __repr__(self) -> str:
        """Without the token."""
        return f"Issued(id={self.id})"


def issue(
    transaction: Transaction,
    *,
    caller: str,
    scopes: Sequence[Scope] = tuple(Scope),
    networks: Sequence[str] = (),
    expires_at: datetime | None = None,
    by: str,
    now: datetime,
) -> Issued:
    """Give a caller a token.

    :param networks: where it may come from, as ``10.1.0.0/16``; none: from anywhere.
    """
    token = _new_token()
    row = api_token.Token(
        caller=caller,
        hint=token[:8],
        scopes=[*scopes],
        networks=[*networks],
        expires_at=expires_at,
    )
    number = api_token.add(transaction, row, sha256=hashlib.sha256(token.encode()).digest(), by=by, now=now)
    details = {
        "what": "issued",
        "token": number,
        "scopes": [*scopes],
        "networks": [*networks],
        "expires_at": expires_at and expires_at.isoformat(),
    }
    audit.record(transaction, actor=by, action=ACTION, subject=caller, details=details, now=now)
    return Issued(number, token)


def _new_token() -> str:
    word = "tbk_" + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))
    return word + _checksum(word)


def _checksum(word: str) -> str:
    number, digits = zlib.crc32(word.encode()), ""
    while len(digits) < _CHECKSUM:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
