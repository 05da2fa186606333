"""Every address of the control panel, a request to it that can be answered, and who gets an answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount, Route

#: By role, under either auth manager: somebody who may look, somebody who may manage as well.
LOOKS, MANAGES = ("viewer", "user", "op", "admin"), ("user", "op", "admin")


@dataclass(frozen=True)
class Request:
    """A request to an address, and how everybody is answered who may have what is there."""

    method: str
    path: str  #: as the app has it, with its parameters' names
    who: tuple[str, ...] = LOOKS
    place: Mapping[str, str] = field(default_factory=dict)  #: the parameters, and after a ``?`` the query
    body: Any = None
    status: int = 200  #: an answer to the request itself; the same however often it is asked

    @property
    def name(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def changes(self) -> bool:
        """Whether it may change something, so that it must come from our own page."""
        return self.method not in ("GET", "HEAD")

    @property
    def address(self) -> str:
        """What is asked."""
        return self.path.format(**self.place) + self.place.get("?", "")


def change(method: str, path: str, body: Any, status: int = 200, **place: str) -> Request:
    """A request that only who may manage may send."""
    return Request(method, path, MANAGES, place, body, status)


#: A destination of a local run's own bridge.toml, and its Connection.
_ORACLE, _CONNECTION = "oracle", "oracle_sandbox"

#: The number of no item, request or token, in a bridge that is in use too.
_NONE = "999999999"

_PROOF = {"?": "?destination=oracle&from=2026-01-01&to=2026-01-31"}

REQUESTS = (
    Request("GET", "/api/frame"),
    Request("GET", "/api/overview"),
    change("POST", "/api/actions/requeue/count", {"conf": {"action": "requeue", "states": ["dead"]}}),
    change("POST", "/api/actions/purge/count", {"conf": {}}),
    change("POST", "/api/actions/backfill/count", {"conf": {"from_date": "2026-01-01"}}),
    Request("GET", "/api/settings"),
    change("PUT", "/api/settings/{scope}/{name}", {"value": 7, "was": None}, scope=_ORACLE, name="max_attempts"),
    change("DELETE", "/api/settings/{scope}/{name}", {"was": None}, scope=_ORACLE, name="batch_size"),
    Request("GET", "/api/tokens"),
    change("POST", "/api/tokens", {"caller": ""}, 400),
    change("POST", "/api/tokens/{caller}/rotate", {}, 400, caller="nobody"),
    change("POST", "/api/tokens/{number}/revoke", {}, 400, number=_NONE),
    Request("GET", "/api/connections"),
    change("POST", "/api/connections/{connection_id}/test", {}, connection_id=_CONNECTION),
    Request("GET", "/api/items"),
    Request("GET", "/api/items/count"),
    Request("GET", "/api/items.csv"),
    Request("GET", "/api/items/{number}", place={"number": _NONE}, status=404),
    Request("GET", "/api/logs"),
    Request("GET", "/api/requests"),
    Request("GET", "/api/requests.csv"),
    Request("GET", "/api/requests/{number}", place={"number": _NONE}, status=404),
    Request("GET", "/api/audit"),
    Request("GET", "/api/audit.csv"),
    Request("GET", "/api/problems"),
    Request("GET", "/api/proof", place=_PROOF),
    Request("GET", "/api/proof.json", place=_PROOF),
    Request("GET", "/api/proof.csv", place=_PROOF),
    Request("GET", "/api/proof/list", place={"?": _PROOF["?"] + "&part=dead"}),
    Request("GET", "/api/reconciled"),
    Request("GET", "/api/reconciled/differences", place={"?": "?site=sbx"}),
    Request("GET", "/api/guide", MANAGES),
)


def addresses(app: Starlette) -> Iterator[str]:
    """Method and path of everything in the app but its page's files; what else is mounted has a name of its own."""
    for route in app.routes:
        if isinstance(route, Route):
            yield from (f"{method} {route.path}" for method in sorted(route.methods or ()) if method != "HEAD")
        elif not isinstance(route, Mount) or route.path != "/static/{version}":
            yield f"{type(route).__name__} {getattr(route, 'path', '')}"
