"""The gate by itself: a real server with three rooms behind it, whose clock a test holds."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.items import NOW, Items, items_in
from tests.staging_roles import PULL, as_role, close, grant_to_roles
from tests.web.serving import serving
from totara_bridge import api_token
from totara_bridge.staging import setting
from totara_bridge.staging.api_token import Scope
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.endpoint import endpoint
from totara_bridge.web.service import Service

Headers = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Said:
    """What somebody at the door is told."""

    status: int
    headers: dict[str, str]  #: without the date
    body: bytes

    @property
    def kind(self) -> str:
        """Of a problem."""
        return str(json.loads(self.body)["type"]).removeprefix("urn:totara-bridge:problem:")

    @property
    def retry_after(self) -> timedelta:
        """How long to wait."""
        return timedelta(seconds=int(self.headers["retry-after"]))


class Door:
    """Where tokens are shown. Behind it: ``GET /read``, ``POST /acknowledge`` and, for any scope, ``GET /any``."""

    def __init__(self, table: Items) -> None:
        self.table = table
        self.now = NOW
        self.address = ""

    def app(self) -> Starlette:
        """What is behind the door; whoever comes through a proxy comes from where that says."""
        service = Service(as_role(self.table.staging, PULL), threads=8, clock=lambda: self.now)
        rooms: tuple[tuple[str, str, Scope | None], ...] = (
            ("GET", "/read", Scope.READ),
            ("POST", "/acknowledge", Scope.ACKNOWLEDGE),
            ("GET", "/any", None),
        )
        return Starlette(
            routes=[Route(path, endpoint(service, scope, _welcome), methods=[method]) for method, path, scope in rooms],
            middleware=[Middleware(ProxyHeadersMiddleware, trusted_hosts="*")],
        )

    def emptied(self) -> "Door":
        """Nobody has a token, no switch is set, and it is `NOW`."""
        self.table.sql("DELETE FROM bridge.api_token")
        self.table.sql("DELETE FROM bridge.setting")
        self.now = NOW
        return self

    def issue(self, caller: str = "warehouse", **asked: Any) -> str:
        """A new token."""
        with self.table.staging.begin() as transaction:
            return api_token.issue(transaction, caller=caller, by="ann", now=self.now, **asked).token

    def revoke(self, caller: str = "warehouse") -> None:
        """Take all of a caller's back."""
        with self.table.staging.begin() as transaction:
            api_token.revoke(transaction, caller, by="ann", now=self.now)

    def switch(self, name: str, value: object) -> None:
        """As a manager does it."""
        with self.table.staging.begin() as transaction:
            setting.write(transaction, name=name, value=value, by="ann", now=self.now)

    def ask(self, *headers: tuple[str, str | bytes], path: str = "/read") -> Said:
        """Send these headers, a name as often as it is there; values as the bytes that they are."""
        with self.calling() as ask:
            return ask(headers, path)

    def show(self, token: str, *, path: str = "/read", source: str = "192.0.2.1") -> Said:
        """Come from there with this token."""
        return self.ask(("X-Api-Key", token), ("X-Forwarded-For", source), path=path)

    @contextmanager
    def calling(self) -> Iterator[Callable[[Headers, str], Said]]:
        """One connection, for many requests."""
        there = urlsplit(self.address)
        connection = HTTPConnection(there.hostname or "", there.port, timeout=60)

        def ask(headers: Headers, path: str) -> Said:
            connection.putrequest("POST" if path.startswith("/acknowledge") else "GET", path)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            told = {name.lower(): said for name, said in response.getheaders() if name.lower() != "date"}
            return Said(response.status, told, response.read())

        try:
            yield ask
        finally:
            connection.close()


@contextmanager
def a_door(database: str) -> Iterator[Door]:
    """Over an empty database that is migrated here."""
    with items_in(database) as table:
        grant_to_roles(table.staging.url.render_as_string(hide_password=False))
        door = Door(table)
        with serving(door.app()) as door.address:
            yield door
        close(table.staging)


def at(now: datetime, **later: float) -> datetime:
    """Some time later."""
    return now + timedelta(**later)


def _welcome(call: Call) -> Answer:
    return Answer(json.dumps({"caller": call.caller.name}).encode())
