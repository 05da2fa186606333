"""Who is let in: a token that is live, from where it may come, while the Pull API is on, and not too often."""

import hashlib
import math
import re
from datetime import datetime
from ipaddress import ip_address

from sqlalchemy import Connection
from starlette.requests import Request

from totara_bridge.staging import api_token
from totara_bridge.staging.api_token import Caller, Scope
from totara_bridge.web.pull.problem import Problem

_TOKEN = re.compile(r"tbk_[0-9A-Za-z]{36}")


def shown(request: Request) -> bytes | None:
    """The SHA-256 of the token that the request shows; none: it shows nothing that can be one."""
    token = request.headers.get("x-api-key")
    if token is None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
    return hashlib.sha256(token.encode()).digest() if _TOKEN.fullmatch(token := token.strip()) else None


def address_of(request: Request) -> str | None:
    """The IP address that the request comes from; none: it cannot be known."""
    try:
        return None if request.client is None else str(ip_address(request.client.host))
    except ValueError:
        return None


def let_in(
    connection: Connection, *, sha256: bytes | None, address: str | None, scope: Scope | None, now: datetime
) -> Caller:
    """Who asks.

    :raises Problem: they are not let in.
    """
    caller = None if sha256 is None else api_token.admit(connection, sha256=sha256, address=address, now=now)
    if caller is None:
        raise Problem(
            401,
            "unauthorized",
            "There is no live token with this request: send it in the header X-Api-Key, and ask whoever runs the "
            "bridge for a new one if it is.",
            headers={"WWW-Authenticate": 'Bearer realm="Totara Bridge"'},
        )
    if not caller.from_here:
        raise Problem(
            403,
            "wrong-address",
            f"This token may not be used from {address or 'where this comes from'}: ask whoever runs the bridge to "
            "allow the address.",
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
    if scope is not None and scope not in caller.scopes:
        raise Problem(
            403,
            "missing-scope",
            f"This token lacks the scope {scope}: ask whoever runs the bridge for one with it.",
        )
    return caller
