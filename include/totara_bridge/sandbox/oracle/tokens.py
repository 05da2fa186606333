"""The token endpoint, as an Oracle identity domain answers: client credentials by Basic or in the body."""

import base64
import binascii
import secrets
import time
from typing import Any
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response


class Settings(BaseModel):
    """How the sandbox behaves when nothing goes wrong."""

    model_config = ConfigDict(extra="forbid")

    token_lifetime: float = Field(default=3600, ge=0)  #: seconds
    tell_lifetime: bool = True  #: off: no ``expires_in`` in the answer
    scopes: list[str] = ["urn:opc:resource:consumer::all"]  #: those that may be asked for
    granted_scope: str | None = None  #: told in the answer, whatever was asked for
    empty_answers: bool = False  #: 2xx without a body instead of results per item
    latency: float = Field(default=0.0, ge=0)  #: seconds that each completions request takes
    requests_per_second: float | None = Field(default=None, gt=0)  #: completions requests beyond it are answered 429
    retry_after: int | None = None  #: seconds, told with such a 429


class Tokens:
    """The tokens that were given out and still hold."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        """No token holds yet."""
        self._client = (client_id, client_secret)
        self._expiry: dict[str, float] = {}
        self.requests = 0
        self.given: list[str] = []  #: every token that was given out, the first one first

    def answer(self, headers: dict[str, str], body: bytes, settings: Settings) -> Response:
        """The answer to one token request (header names in lower case)."""
        form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return _error(400, "invalid_request", "The request body must be form-encoded.")
        given = _basic(headers.get("authorization", "")) or (
            form.get("client_id", ""),
            form.get("client_secret", ""),
        )
        if not all(map(_same, given, self._client)):
            return _error(401, "invalid_client", "Client authentication failed.")
        if form.get("grant_type") != "client_credentials":
            return _error(400, "unsupported_grant_type", "The grant type must be client_credentials.")
        scopes = form.get("scope", "").split()
        if any(scope not in settings.scopes and not scope.startswith("urn:opc:resource:expiry=") for scope in scopes):
            return _error(400, "invalid_scope", "The client asked for a scope that it may not have.")
        return self._issue(settings)

    def holds(self, authorization: str) -> bool:
        """Whether an Authorization header carries a token that holds now."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and self._expiry.get(token, 0.0) > time.monotonic()

    def revoke(self) -> int:
        """From now on no token given out before holds; how many were revoked."""
        count = len(self._expiry)
        self._expiry.clear()
        return count

    def _issue(self, settings: Settings) -> Response:
        token = secrets.token_urlsafe(24)
        self._expiry[token] = time.monotonic() + settings.token_lifetime
        self.given.append(token)
        answer: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
        if settings.tell_lifetime:
            answer["expires_in"] = int(settings.token_lifetime)
        if settings.granted_scope is not None:
            answer["scope"] = settings.granted_scope
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name, secret


def _same(given: str, expected: str) -> bool:
    return secrets.compare_digest(given.encode(), expected.encode())


def _error(status: int, error: str, description: str) -> Response:
    headers = {"WWW-Authenticate": "Basic"} if status == 401 else None
    return JSONResponse({"error": error, "error_description": description}, status, headers)
