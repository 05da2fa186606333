"""Who is let in: a token that is live, from where it may come, while the Pull API is on, and not too often."""

import hashlib
import math
import re
from datetime import datetime
from ipaddress import IPv6Address, ip_address

from sqlalchemy import Connection
from starlette.requests import Request

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.staging import api_token, setting
from totara_bridge.staging.api_token import Caller, Scope
from totara_bridge.web.problem import Problem

_TOKEN = re.compile(r"tbk_[0-9A-Za-z]{36}")


def shown(request: Request) -> bytes:
    """The SHA-256 of the token that the request shows: what asks no database, and so waits for none.

    ``Authorization`` counts where there is no ``X-Api-Key``: a proxy may have put something of its own there.

    :raises Problem: it shows nothing that can be one.
    """
    tokens = request.headers.getlist("x-api-key") or [
        words
        for scheme, _, words in (each.partition(" ") for each in request.headers.getlist("authorization"))
        if scheme.lower() == "bearer"
    ]
    if len(tokens) != 1 or not _TOKEN.fullmatch(token := tokens[0].strip(" \t")):
        raise _unauthorized()
    return hashlib.sha256(token.encode()).digest()


def address_of(request: Request) -> str | None:
    """The IP address that the request comes from, of IPv4 as such; none: it cannot be known."""
    try:
        address = ip_address("" if request.client is None else request.client.host.partition("%")[0])
    except ValueError:
        return None
    return str((address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address)


def let_in(connection: Connection, *, sha256: bytes, address: str | None, scope: Scope | None, now: datetime) -> Caller:
    """Who asks.

    :raises Problem: they are not let in.
    :raises ConfigurationInvalid: nobody is, for a switch in the table holds what it cannot.
    """
    caller = api_token.admit(connection, sha256=sha256, address=address, now=now)
    if caller is None:
        raise _unauthorized()
    if not caller.from_here:
        raise Problem(
            403,
            "wrong-address",
            f"This token may not be used from {address or 'where this comes from'}: ask whoever runs the bridge to "
            "allow the address.",
        )
    _require_now(connection, caller)
    if scope is not None and scope not in caller.scopes:
        raise Problem(
            403,
            "missing-scope",
            f"This token lacks the scope {scope}: ask whoever runs the bridge for one with it.",
        )
    return caller


def _require_now(connection: Connection, caller: Caller) -> None:
    """Refuse those who may ask at another time: while it is switched on, and not too often."""
    if caller.switched_on is None:
        setting.read(connection)  # names it
        raise ConfigurationInvalid(
            "A setting that the Pull API depends on cannot be read: set enabled, pull and pull_per_minute anew."
        )
    if not caller.switched_on:
        raise Problem(
            503,
            "switched-off",
            "A manager has switched off the Pull API: nothing was lost, ask again later.",
            headers={"Retry-After": "300"},
        )
    if caller.wait:
        seconds = math.ceil(caller.wait.total_seconds())
        raise Problem(
            429,
            "too-many-requests",
            f"This token made more requests within a minute than it may: ask again in {seconds} seconds.",
            headers={"Retry-After": str(seconds)},
        )


def _unauthorized() -> Problem:
    return Problem(
        401,
        "unauthorized",
        "There is no live token with this request: send it in the header X-Api-Key, or as Authorization: "
        "Bearer …; if it is there, ask whoever runs the bridge for a new one.",
        headers={"WWW-Authenticate": 'Bearer realm="Totara Bridge"'},
    )
