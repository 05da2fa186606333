"""The site's addresses: Totara's own, and the one by which a person or another process switches the site."""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from totara_bridge.sandbox.totara.http import graphql, oauth, reports, rest, switching
from totara_bridge.sandbox.totara.http.faulty import instead
from totara_bridge.sandbox.totara.http.site import Site

#: What the recorded site's web server says of an address that is not there; ``/login/token.php`` is none of 17.3.
_NOT_FOUND = (
    "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n"
    "<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
)


def create_app(site: Site) -> ASGIApp:
    """The application of one site."""
    routes = [route for part in (rest, oauth, graphql, reports, switching) for route in part.routes(site)]
    return _Door(Starlette(routes=routes, exception_handlers={404: _not_found}), site)


async def _not_found(request: Request, error: Exception) -> Response:
    return Response(_NOT_FOUND, 404, {"Content-Type": "text/html"})


class _Door:
    """Counts requests, lets them wait as long as the site takes, and gives them the faults that were ordered."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(switching.PATH):
            await self._app(scope, receive, send)
            return
        with self._site.counted.one():
            await self._one(scope, receive, send)

    async def _one(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._site.switches.latency:
            await asyncio.sleep(self._site.switches.latency)
        ordered = await instead(self._site.faults.take(scope["path"]))
        await (ordered or self._app)(scope, receive, send)
