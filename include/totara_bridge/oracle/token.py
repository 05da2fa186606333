"""One access token for all threads of a drain: fetched once, renewed before it expires or when refused."""

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import requests
from oauthlib.oauth2 import BackendApplicationClient
from oauthlib.oauth2.rfc6749.errors import OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.oracle.access import OracleAccess, is_loopback
from totara_bridge.oracle.body import read_body
from totara_bridge.oracle.failures import failure_of
from totara_bridge.oracle.words import words_of

logger = logging.getLogger(__name__)

#: A token is renewed this many seconds before it expires, or a tenth of its life before if that is shorter.
_EARLY = 60.0

_FOR_LATER = {408, 425, 429}

_LONGEST_ANSWER = 1 << 20  # bytes

_SENDABLE = re.compile(r"[!-~]+")  # visible ASCII: anything else would break the header


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
        self._token: _Token | None = None
        self._failure: OracleRefused | OracleUnavailable | None = None

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
        if self._failure is not None and self._fetches != fetches:
            # asked while this thread waited: asking again would make each thread wait for one more timeout
            raise type(self._failure)(str(self._failure))
        self._token = self._failure = None
        try:
            self._token = self._fetch()
        except (OracleRefused, OracleUnavailable) as failure:
            self._failure = failure
            raise
        finally:
            self._fetches += 1
        return self._token.text

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
        _raise_unless_token(answer.status_code, body, self._access)
        token = _read(client, body, self._access)
        self._report_scope(token.get("scope"))
        lifetime = token.get("expires_in")
        if lifetime is None:
            return _Token(token["access_token"], None)
        return _Token(token["access_token"], asked_at + lifetime - min(_EARLY, lifetime / 10))

    def _report_scope(self, granted: list[str] | None) -> None:
        if self._access.scope and granted and set(granted) != set(self._access.scope.split()):
            logger.warning(
                "%s granted the scope %s instead of %s; the bridge goes on with it.",
                self._access.token_url,
                " ".join(granted),
                self._access.scope,
            )


class _TokenSession(OAuth2Session):
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
    with _TokenSession(client=client) as session:
        session.trust_env = not is_loopback(access.token_url)  # loopback is never reached through a proxy
        with session.post(
            access.token_url,
            data=form,
            headers=headers,
            auth=None if in_body else basic,
            timeout=access.timeout,
            stream=True,
        ) as answer:
            body = read_body(answer, seconds=access.timeout, limit=_LONGEST_ANSWER)
    return answer, body.replace(access.client_secret.encode(), b"[secret]")


def _raise_unless_token(status: int, body: bytes, access: OracleAccess) -> None:
    said = _said(body)
    what = f"No access token: {access.token_url} answered {status}"
    if status in _FOR_LATER or status >= 500:
        raise OracleUnavailable(f"{what}{said}; it will be asked again.")
    if 300 <= status < 400 or status in (404, 405, 410):
        raise OracleRefused(f"{what}{said}; check the token URL in the Airflow Connection.")
    if status != 200:
        raise OracleRefused(
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
    except (OAuth2Error, ValueError, TypeError, AttributeError):
        token = {}
    text = token.get("access_token")
    if not isinstance(text, str) or not _SENDABLE.fullmatch(text):
        raise OracleRefused(
            f"No access token: {access.token_url} answered 200 without a usable access_token{_said(body)}; check "
            "the token URL in the Airflow Connection."
        )
    return token


def _said(body: bytes) -> str:
    words = str(words_of(body))
    return f" ({words})" if words else ""
