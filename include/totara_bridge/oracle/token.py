"""One access token for all threads of a drain: fetched once, renewed before it expires or when refused."""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import requests
from oauthlib.oauth2 import BackendApplicationClient
from oauthlib.oauth2.rfc6749.errors import OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from totara_bridge.errors import CredentialsRefused, OracleRefused, OracleUnavailable
from totara_bridge.hidden import Hidden
from totara_bridge.network import proxies_to
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.body import read_body
from totara_bridge.oracle.failures import failure_of
from totara_bridge.oracle.retry_after import seconds_of
from totara_bridge.oracle.session import Session
from totara_bridge.oracle.words import shorten, words_of

logger = logging.getLogger(__name__)

#: A token is renewed this many seconds before it expires, or a tenth of its life before if that is shorter.
_EARLY = 60.0

#: Seconds that a token is believed to hold; a number may be too long to be reckoned with.
_LONGEST_LIFE = 366 * 86_400

_FOR_LATER = {408, 425, 429}

_LONGEST_ANSWER = 1 << 20  # bytes

#: Visible ASCII: anything else would break the header.
_SENDABLE = re.compile(r"[!-~]+")


#: Asked for among the scopes by an Oracle identity domain, but it is the token's life and no scope.
_LIFE = "urn:opc:resource:expiry="


class _Token(NamedTuple):
    text: str
    renew_at: float | None  #: on the holder's clock; none: the server did not say how long it holds

    def __repr__(self) -> str:
        return "_Token(…)"


class TokenHolder:
    """The token of one destination, shared by all threads: one fetches while the others wait for it."""

    def __init__(self, access: OracleAccess, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is fetched before it is asked for.

        :param clock: seconds that only go forward.
        """
        self._access = access
        self._clock = clock
        self._lock = threading.Lock()
        self._fetches = 0
        self._asks_again_at = float("-inf")
        self._token: _Token | None = None
        self._failure: OracleRefused | OracleUnavailable | None = None
        self.shortfall: str | None = None  #: what the newest token lacks of the scope asked for, in words

    def current(self) -> str:
        """The token to use now.

        :raises OracleUnavailable: the token endpoint gives none now.
        :raises OracleRefused: it will give none until a person changes something.
        """
        fetches = self._fetches
        with self._lock:
            token = self._token
            if token and (token.renew_at is None or self._clock() < token.renew_at):
                return token.text
            return self._fetch_unless_just_failed(fetches)

    def replace(self, refused: str) -> str:
        """Another token instead of one that the endpoint answered with 401; raises what `current` raises."""
        fetches = self._fetches
        with self._lock:
            if self._token and self._token.text != refused:
                return self._token.text  # another thread was here first
            self._token = None
            return self._fetch_unless_just_failed(fetches)

    def _fetch_unless_just_failed(self, fetches: int) -> str:
        if self._failure is not None and (self._fetches != fetches or self._clock() < self._asks_again_at):
            # asked while this thread waited: asking again would make each thread wait for one more timeout;
            # or the endpoint has asked to be left alone
            raise self._same_again(self._failure)
        self._token = self._failure = None
        try:
            self._token = self._fetch()
        except (OracleRefused, OracleUnavailable) as failure:
            self._failure = failure
            if isinstance(failure, OracleUnavailable):
                self._asks_again_at = self._clock() + (failure.retry_after or 0)
            raise
        finally:
            self._fetches += 1
        return self._token.text

    def _same_again(self, failure: OracleRefused | OracleUnavailable) -> OracleRefused | OracleUnavailable:
        if isinstance(failure, OracleRefused):
            return type(failure)(str(failure))
        left = self._asks_again_at - self._clock()
        return OracleUnavailable(str(failure), retry_after=left if left > 0 else None)

    def _fetch(self) -> _Token:
        asked_at = self._clock()
        client = BackendApplicationClient(self._access.client_id)
        try:
            answer, body = request_token(client, self._access)
        except requests.RequestException as error:
            failure = failure_of(error)
            kind = OracleRefused if failure.permanent else OracleUnavailable
            raise kind(
                f"No access token from {self._access.token_url}: {failure.words}; {failure.advice}."
            ) from None  # the request that hangs on the exception holds the secret
        _raise_unless_token(answer, body, self._access)
        token = _read(client, body, self._access)
        hidden = Hidden(frozenset({self._access.client_secret, token["access_token"]}))
        lacks = shortfall(self._access.scope, token.get("scope"))
        self.shortfall = hidden.hide(lacks) if lacks else None
        if self.shortfall:
            logger.warning("%s: %s; the bridge goes on with it.", self._access.token_url, self.shortfall)
        if (lifetime := token.get("expires_in")) is None:
            return _Token(token["access_token"], None)
        lifetime = min(lifetime, _LONGEST_LIFE)
        return _Token(token["access_token"], asked_at + lifetime - min(_EARLY, lifetime / 10))


def shortfall(asked: str, granted: Iterable[str] | None) -> str | None:
    """What a token lacks of the scope that was asked for, in words; none where it has it all, or does not say.

    An identity domain may name a scope with its resource's prefix or without: both are the same scope.
    """
    issued = list(granted or ())
    lacking = [each for each in asked.split() if not each.startswith(_LIFE) and not _is_among(each, issued)]
    if not issued or not lacking:
        return None
    return f"the token was issued, but for the scope {shorten(' '.join(issued))} and not for {' '.join(lacking)}"


def _is_among(scope: str, issued: list[str]) -> bool:
    return any(
        scope == each
        or (each.startswith("urn:") and scope.endswith(each))
        or (scope.startswith("urn:") and each.endswith(scope))
        for each in issued
    )


class _TokenSession(Session, OAuth2Session):
    """requests-oauthlib's session without three ways of its own.

    Its ``request`` refuses plain http to loopback unless a switch of the whole process allows plain http
    anywhere, follows redirects with the credentials, and writes forms and tokens to the debug log.
    """

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        options["allow_redirects"] = False
        return requests.Session.request(self, method, url, *arguments, **options)


def request_token(client: BackendApplicationClient, access: OracleAccess) -> tuple[requests.Response, bytes]:
    """Ask for a token once, with the access's client authentication; the answer, whatever it is, and its body.

    :raises requests.RequestException: there is no answer; the request that hangs on it holds the secret.
    """
    in_body = access.client_authentication == "body"
    form = client.prepare_request_body(
        scope=access.scope or None,
        include_client_id=in_body,
        **({"client_secret": access.client_secret} if in_body else {}),
    )
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
    # as bytes: requests would encode text as Latin-1
    basic = HTTPBasicAuth(access.client_id.encode(), access.client_secret.encode())
    with (
        _TokenSession(client=client) as session,
        session.post(
            access.token_url,
            data=form,
            headers=headers,
            auth=None if in_body else basic,
            timeout=access.timeout,
            stream=True,
            proxies=proxies_to(access.token_url),
        ) as answer,
    ):
        body = read_body(answer, seconds=access.timeout, limit=_LONGEST_ANSWER)
    return answer, body.replace(access.client_secret.encode(), b"[secret]")


def _raise_unless_token(answer: requests.Response, body: bytes, access: OracleAccess) -> None:
    said, status = _said(body, access), answer.status_code
    what = f"No access token: {access.token_url} answered {status}"
    if status in _FOR_LATER or status >= 500:
        pause = seconds_of(answer.headers.get("Retry-After"), datetime.now(UTC))
        when = f" in {pause:.0f} s, as it wants" if pause else ""
        raise OracleUnavailable(f"{what}{said}; it will be asked again{when}.", retry_after=pause)
    if 300 <= status < 400 or status in (404, 405, 410):
        raise OracleRefused(f"{what}{said}; check the token URL in the Airflow Connection.")
    if status != 200 and "invalid_scope" in said:
        raise CredentialsRefused(
            f"{what}{said}; write the scope {access.scope!r} in the Airflow Connection exactly as the identity domain "
            "shows it, with nothing between an address and the urn that follows it."
        )
    if status != 200:
        raise CredentialsRefused(
            f"{what}{said}; check the client id, the client secret, the scope and client_authentication in the "
            "Airflow Connection."
        )
    if not body.lstrip().startswith(b"{"):
        raise OracleUnavailable(f"{what}, but not with JSON{said}; check the token URL if it stays so.")


def _read(client: BackendApplicationClient, body: bytes, access: OracleAccess) -> dict[str, Any]:
    """What was granted; ``scope`` as a list, ``expires_in`` as whole seconds or missing."""
    try:
        # without the scope that was asked for: oauthlib would raise a warning for a narrowed one
        token: dict[str, Any] = client.parse_request_body_response(body.decode(errors="replace"))
    except (OAuth2Error, ValueError, TypeError, AttributeError, OverflowError):  # it lives for ever, it says
        token = {}
    if not is_sendable(token.get("access_token")):
        raise OracleRefused(
            f"No access token: {access.token_url} answered 200 without a usable access_token{_said(body, access)}; "
            "check the token URL in the Airflow Connection."
        )
    return token


def is_sendable(token: object) -> bool:
    """Whether it is a token that a header can carry, and nothing besides."""
    return isinstance(token, str) and _SENDABLE.fullmatch(token) is not None


def _said(body: bytes, access: OracleAccess) -> str:
    words = Hidden(frozenset({access.client_secret})).hide(str(words_of(body)))
    return f" ({words})" if words else ""
