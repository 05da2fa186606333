"""The log of a server around the Pull API has no query: a query may name a learner, or hold a token that it must not.

uvicorn and Airflow write their access logs from what they handed in, after the answer; so that is what is emptied.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class Discreet:
    """Middleware: inside, the query is there; around it, no more."""

    def __init__(self, app: ASGIApp) -> None:
        """Around this app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        inside = dict(scope)
        if scope.get("query_string"):
            scope["query_string"] = b""
        await self._app(inside, receive, send)
