"""Giving tokens of the Pull API, replacing them, and taking them back.

A token is ``tbk_``, 30 random letters and digits, and 6 more that are the CRC-32 of those: scanners of repositories
tell one from a word that only looks like it. Only its SHA-256 is stored; it is shown once.
"""

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

from totara_bridge.errors import RequestInvalid
from totara_bridge.staging import api_token, audit
from totara_bridge.staging.api_token import Scope, Token
from totara_bridge.staging.engine import Transaction

#: How long a token lives if nothing else is said.
LASTS = timedelta(days=365)

#: How long the old token lives on beside the new one if nothing else is said.
OVERLAP = timedelta(days=7)

#: Longer than this nothing is asked for by people who have not mistyped it.
_LONGEST = timedelta(days=3650)

#: The audit log's word.
ACTION = "api_token"

_DIGITS = string.digits + string.ascii_letters
_RANDOM, _CHECKSUM = 30, 6


@dataclass(frozen=True)
class Issued:
    """A new token."""

    id: int
    token: str = field(repr=False)  #: shown now and never again
    expires_at: datetime | None


@dataclass(frozen=True)
class Rotated:
    """A new token, and what became of the old ones."""

    new: Issued
    old: Sequence[int]
    old_until: datetime  #: from then on only the new one lets anybody in


def issue(
    transaction: Transaction,
    *,
    caller: str,
    scopes: Sequence[Scope] = tuple(Scope),
    networks: Sequence[str] = (),
    lasts: timedelta | None = LASTS,
    by: str,
    now: datetime,
) -> Issued:
    """Give a caller a token.

    :param networks: where it may come from, as ``10.1.0.0/16``; none: from anywhere.
    :param lasts: how long it lives; none: until it is revoked.
    :raises RequestInvalid: the caller has a live token, or what is asked for cannot be.
    """
    _require_a_name(caller)
    scopes, networks = list(dict.fromkeys(scopes)), list(dict.fromkeys(str(_network(each)) for each in networks))
    if not scopes:
        raise RequestInvalid(f"A token without a scope is good for nothing: give it some of {', '.join(Scope)}.")
    if lasts is not None and not timedelta(0) < lasts <= _LONGEST:
        raise RequestInvalid(f"A token lasts for some time, {_LONGEST.days} days at most, or without end: say which.")
    api_token.alone(transaction, caller)
    if live := _live(transaction, caller, now):
        numbers = " and ".join(str(each.id) for each in live)
        one = f"a live token, number {numbers}: rotate it, or revoke it"
        several = f"live tokens, numbers {numbers}: revoke them"
        raise RequestInvalid(f"The caller {caller} has {one if len(live) == 1 else several} before you issue another.")
    expires_at = None if lasts is None else now + lasts
    issued = _add(transaction, caller=caller, scopes=scopes, networks=networks, expires_at=expires_at, by=by, now=now)
    _write_down(transaction, caller, {"what": "issued", **_new(issued, scopes, networks)}, by, now)
    return issued


def rotate(transaction: Transaction, *, caller: str, overlap: timedelta = OVERLAP, by: str, now: datetime) -> Rotated:
    """Give a caller a new token for the one it has: of the same scopes and networks, for as long as that was given.

    :param overlap: how long the old one lives on, unless it was to end before; nothing: what there is of the caller's
        ends at once.
    :raises RequestInvalid: the caller has no live token, or would have three, or the overlap cannot be.
    """
    if not timedelta(0) <= overlap <= LASTS:
        raise RequestInvalid(f"Two tokens of a caller live side by side for 0 to {LASTS.days} days: say how many.")
    _require_a_name(caller)
    api_token.alone(transaction, caller)
    known = api_token.tokens(transaction, caller=caller)
    live = [each for each in known if each.is_live(now)]
    if not live:
        _require_known(transaction, caller)
        raise RequestInvalid(f"The caller {caller} has no live token: issue one.")
    if overlap and len(live) > 1:
        raise RequestInvalid(
            f"The caller {caller} has two live tokens already, {' and '.join(map(_until, live))}: revoke the one that "
            "is used no more, or rotate without an overlap, which ends both."
        )
    old, newest = live[-1], known[-1]  # of all but the newest, live or not, the end may have been brought forward
    ends = [_end(transaction, each, overlap, by, now) for each in live]
    expires_at = newest.expires_at and now + (newest.expires_at - newest.created_at)
    new = _add(
        transaction,
        caller=caller,
        scopes=[Scope(each) for each in old.scopes],
        networks=old.networks,
        expires_at=expires_at,
        by=by,
        now=now,
    )
    details = {"what": "rotated", **_new(new, old.scopes, old.networks), "replaced": ends}
    _write_down(transaction, caller, details, by, now)
    until = now if not overlap else min(now + overlap, old.expires_at or now + overlap)
    return Rotated(new, [each.id for each in live], until)


def revoke(transaction: Transaction, whose: str | int, *, by: str, now: datetime) -> list[int]:
    """End all tokens of a caller, or the one of a number, at once; the numbers of those that were not revoked before.

    Also of those that have expired: by another clock they may not have.

    :raises RequestInvalid: there is none.
    """
    if isinstance(whose, int):
        found = api_token.tokens(transaction, number=whose) if 0 < whose < 2**63 else []
    else:
        _require_a_name(whose)
        found = api_token.tokens(transaction, caller=whose)
    if not found:
        missing = f"no token of number {whose}" if isinstance(whose, int) else f"no token of the caller {whose}"
        raise RequestInvalid(f"There is {missing}: list the tokens there are.")
    caller = found[0].caller
    api_token.alone(transaction, caller)
    # again: who had the lock may have rotated one meanwhile
    number = whose if isinstance(whose, int) else None
    revoked = [each for each in api_token.tokens(transaction, caller=caller, number=number) if each.revoked_at is None]
    if revoked:
        ends = [_end(transaction, each, timedelta(0), by, now) for each in revoked]
        _write_down(transaction, caller, {"what": "revoked", "tokens": ends}, by, now)
    return [each.id for each in revoked]


def _require_known(transaction: Transaction, caller: str) -> None:
    known = {each.caller for each in api_token.tokens(transaction)}
    if caller not in known:
        others = ", ".join(sorted(known)) or "none yet"
        raise RequestInvalid(f"There is no caller of the name {caller}: known are {others}.")


def _live(transaction: Transaction, caller: str, now: datetime) -> list[Token]:
    return [each for each in api_token.tokens(transaction, caller=caller) if each.is_live(now)]


def _end(transaction: Transaction, token: Token, overlap: timedelta, by: str, now: datetime) -> dict[str, object]:
    """End the token then, if it does not end before; its old and its new end, for the audit log."""
    until = now + overlap
    if not overlap:
        api_token.revoke(transaction, token.id, by=by, now=now)
    elif token.expires_at is None or token.expires_at > until:
        api_token.let_expire(transaction, token.id, at=until)
    else:
        until = token.expires_at
    return {"token": token.id, "from": _written(token.expires_at), "to": _written(until)}


def _add(
    transaction: Transaction,
    *,
    caller: str,
    scopes: Sequence[Scope],
    networks: Sequence[str],
    expires_at: datetime | None,
    by: str,
    now: datetime,
) -> Issued:
    token = new_token()
    number = api_token.add(
        transaction,
        caller=caller,
        sha256=hashlib.sha256(token.encode()).digest(),
        hint=token[:8],
        scopes=scopes,
        networks=networks,
        expires_at=expires_at,
        by=by,
        now=now,
    )
    return Issued(number, token, expires_at)


def _new(issued: Issued, scopes: Sequence[str], networks: Sequence[str]) -> dict[str, object]:
    said = {"token": issued.id, "scopes": [*scopes], "networks": [*networks]}
    return said | {"expires_at": _written(issued.expires_at)}


def _write_down(transaction: Transaction, caller: str, details: dict[str, object], by: str, now: datetime) -> None:
    audit.record(transaction, actor=by, action=ACTION, subject=caller, details=details, now=now)


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def _until(token: Token) -> str:
    end = "without end" if token.expires_at is None else f"until {token.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"number {token.id} {end}"


def _require_a_name(caller: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", caller) or caller.isdecimal():
        raise RequestInvalid(
            f"{caller[:80]!r} is no name of a caller: write 1 to 64 letters, digits, dots, hyphens and underscores, "
            "not digits alone, which are a token's number."
        )


def _network(written: str) -> IPv4Network | IPv6Network:
    """The network; of IPv4 addresses that are written as IPv6 the one that they are."""
    try:
        network = ip_network(written if "%" not in written else "")  # what a zone is, only one machine knows
    except ValueError:
        raise RequestInvalid(
            f"{written[:80]!r} is no network: write the first address and the length, as 10.1.0.0/16 or 2001:db8::/32, "
            "or a single address."
        ) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None or network.prefixlen < 96 else IPv4Network((mapped, network.prefixlen - 96))


def new_token() -> str:
    """A word that is nobody's token yet."""
    word = "tbk_" + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))
    return word + _checksum(word)


def _checksum(word: str) -> str:
    number, base = zlib.crc32(word.encode()), len(_DIGITS)
    return "".join(_DIGITS[number // base**place % base] for place in reversed(range(_CHECKSUM)))
