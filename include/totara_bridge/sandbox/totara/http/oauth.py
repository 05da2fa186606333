"""``POST /totara/oauth2/token.php``: tokens for client credentials; errors come as 200 ``text/html`` too (measured)."""

import base64
import binascii
import json
import secrets
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from totara_bridge.sandbox.totara.http.graphql_switches import graphql_switches
from totara_bridge.sandbox.totara.http.site import Site

#: The one API client of a sandbox site, that of the program included.
CLIENT_ID = "sandboxApiClient"
CLIENT_SECRET = "sandboxApiClientSecret012"  # noqa: S105  the sandbox's own
PATH = "/totara/oauth2/token.php"
_FORM = "application/x-www-form-urlencoded"
_HEADERS = {
    "Expires": "Thu, 19 Nov 1981 08:52:00 GMT",
    "Cache-Control": "no-store, no-cache, must-revalidate",
    "Pragma": "no-cache",
}


class Tokens:
    """The tokens that were given out, and until when they hold."""

    def __init__(self) -> None:
        """None."""
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self.issued = 0

    def give(self, until: float) -> str:
        """A new token: three parts with dots, as a JWT has them, that say nothing."""
        token = ".".join(base64.urlsafe_b64encode(secrets.token_bytes(48)).decode() for _ in range(3))
        with self._lock:
            self._until[token] = until
            self.issued += 1
        return token

    def holds(self, token: str, now: float) -> bool:
        """Whether it was given out and has not run out."""
        with self._lock:
            return now < self._until.get(token, now)

    def revoke(self) -> None:
        """No token that was given out before holds any more."""
        with self._lock:
            self._until.clear()


def tokens(site: Site) -> Tokens:
    """Those of the site."""
    kept = site.extras.setdefault("tokens", Tokens())
    if not isinstance(kept, Tokens):
        raise TypeError("What the site keeps as tokens are none: put a Tokens there.")
    return kept


def routes(site: Site) -> list[Route]:
    """The token endpoint."""
    tokens(site)
    graphql_switches(site)

    async def token(request: Request) -> Response:
        is_form = request.method == "POST" and request.headers.get("content-type", "").startswith(_FORM)
        body = (await request.body()).decode(errors="replace") if is_form else ""
        form = {name: values[0] for name, values in parse_qs(body).items()}
        answer = _answer(site, form, request.headers)
        headers = _HEADERS | {"Set-Cookie": f"TotaraSession={secrets.token_hex(13)}; path=/; HttpOnly"}
        return Response(json.dumps(answer, separators=(",", ":")), headers=headers, media_type="text/html")

    return [Route(PATH, token, methods=["GET", "POST"])]


def _answer(site: Site, form: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
    switches = graphql_switches(site)
    if form.get("grant_type") != "client_credentials":
        return _error(
            "unsupported_grant_type",
            "The authorization grant type is not supported by the authorization server.",
            "Check that all required parameters have been provided",
        )
    client, secret = _basic(headers.get("authorization", ""))
    client, secret = form.get("client_id", client), form.get("client_secret", secret)
    if not client:
        return _error(
            "invalid_request",
            "The request is missing a required parameter, includes an invalid parameter value, includes a parameter "
            "more than once, or is otherwise malformed.",
            "Check the `client_id` parameter",
        )
    if (client, secret) != (CLIENT_ID, CLIENT_SECRET) or not switches.client_on:
        return _error("invalid_client", "Client authentication failed")
    token = tokens(site).give(site.clock() + switches.token_lifetime)
    return {"token_type": "Bearer", "expires_in": switches.token_lifetime, "access_token": token}


def _error(error: str, description: str, hint: str | None = None) -> dict[str, Any]:
    told = {} if hint is None else {"hint": hint}
    return {"error": error, "error_description": description, **told, "message": description}


def _basic(header: str) -> tuple[str, str]:
    """Client and secret, empty if the header has none."""
    kind, _, value = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        client, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client, secret
