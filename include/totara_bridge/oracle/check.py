"""Test connection for Oracle: a token and an endpoint that takes it, or the step that failed and what to do.

The endpoint is asked with an empty batch, which stores nothing: by the published contract it is answered with
2xx, 400 or 422.
"""

import json
from collections.abc import Callable
from typing import Any

import requests
from oauthlib.oauth2 import BackendApplicationClient
from urllib3.exceptions import NameResolutionError, NewConnectionError

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.hidden import Hidden
from totara_bridge.network import proxies_to
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.body import read_body
from totara_bridge.oracle.failures import failure_of
from totara_bridge.oracle.payload import idempotency_key
from totara_bridge.oracle.session import Session
from totara_bridge.oracle.token import is_sendable, request_token, shortfall
from totara_bridge.oracle.words import shorten, words_of

_Answer = tuple[requests.Response, bytes]

_EMPTY_BATCH = b'{"items":[]}'
_FOR_LATER = {408, 425, 429}
_NOT_HERE = {404, 405, 410}
_LONGEST_ANSWER = 1 << 20  # bytes


def check(access: OracleAccess) -> str:
    """What is there, in one sentence.

    :raises OracleUnavailable: no answer, or none now.
    :raises OracleRefused: credentials, scope, address, path or permission.
    """
    step = f"The token endpoint {access.token_url}"
    client = BackendApplicationClient(access.client_id)
    answer, body = _sent(step, "token URL", lambda: request_token(client, access))
    token = _granted(answer, body, step, access)
    hidden = Hidden(frozenset({access.client_secret, token["access_token"]}))
    step = f"The completions endpoint {access.endpoint}"
    answer, body = _sent(step, "base URL", lambda: _post_nothing(access, token["access_token"]))
    lacks = shortfall(access.scope, str(token.get("scope") or "").split())
    _refuse_unless_reached(answer, _said(body, hidden), step, access, hidden.hide(lacks or ""))
    lifetime = shorten(token.get("expires_in"))
    held = f"holds {lifetime} s" if lifetime is not None else "does not say how long it holds"
    return (
        f"The token from {access.token_url} {hidden.hide(held + _scope(token, access))}, and {access.endpoint} was "
        f"reached with it: it answered an empty batch with {answer.status_code}."
    )


def _scope(token: dict[str, Any], access: OracleAccess) -> str:
    granted = shorten(token.get("scope")) or access.scope
    if not granted:
        return ""
    instead = f" instead of {access.scope}" if access.scope and granted != access.scope else ""
    return f" with the scope {granted}{instead}"


def _sent(step: str, field: str, send: Callable[[], _Answer]) -> _Answer:
    """The answer, or why there is none.

    The cause is left out on purpose: the request that hangs on it holds the secret.
    """
    try:
        return send()
    except requests.RequestException as error:
        failure = failure_of(error)
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(reason, NameResolutionError):
            words = f"has a host that is not known to DNS on this machine: correct the {field}"
        elif failure.kind == "tls":
            words = (
                f"does not complete TLS: {failure.words}; correct the {field}, or give this machine the "
                "certificate authority that signed its certificate (REQUESTS_CA_BUNDLE)"
            )
        elif isinstance(reason, NewConnectionError):
            words = (
                f"takes no connection: {failure.words}; correct host and port in the {field}, or open the "
                "way to it (firewall, proxy)"
            )
        else:
            words = f"did not answer: {failure.words}; open the way to it (firewall, proxy), or raise the timeout"
        kind = OracleRefused if failure.permanent else OracleUnavailable
        raise kind(f"{step} {words}.") from None


def _granted(answer: requests.Response, body: bytes, step: str, access: OracleAccess) -> dict[str, Any]:
    document = _document(body)
    if answer.status_code == 200 and is_sendable(document.get("access_token")):
        return document
    said = _said(body, Hidden(frozenset({access.client_secret})))
    if answer.status_code in _FOR_LATER or answer.status_code >= 500:
        raise OracleUnavailable(f"{step} answers {answer.status_code} now{said}: try again later.")
    code = document.get("error")
    if answer.status_code == 401 or code == "invalid_client":
        advice = "correct the client ID and the client secret, or the client authentication"
    elif code == "invalid_scope":
        advice = (
            f"correct the scope {access.scope!r}; it is written exactly as the identity domain shows it, "
            "with nothing between an address and the urn that follows it"
        )
    elif code in ("unauthorized_client", "unsupported_grant_type"):
        advice = "allow the application the grant type Client Credentials in the identity domain"
    else:
        advice = "correct the token URL, as it ends with /oauth2/v1/token in an identity domain"
    raise OracleRefused(f"{step} gives no token, it answers {answer.status_code}{said}: {advice}.")


def _post_nothing(access: OracleAccess, token: str) -> _Answer:
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Idempotency-Key": idempotency_key(_EMPTY_BATCH),
    }

    def bear(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    with (
        Session() as session,
        session.post(
            access.endpoint,
            data=_EMPTY_BATCH,
            headers=headers,
            auth=bear,  # a header alone would give way to ~/.netrc
            timeout=access.timeout,
            allow_redirects=False,
            stream=True,
            proxies=proxies_to(access.base_url),
        ) as answer,
    ):
        body = read_body(answer, seconds=access.timeout, limit=_LONGEST_ANSWER)
    return answer, body.replace(token.encode(), b"[token]")


def _refuse_unless_reached(answer: requests.Response, said: str, step: str, access: OracleAccess, lacks: str) -> None:
    status = answer.status_code
    is_page = "html" in answer.headers.get("Content-Type", "")
    if (200 <= status < 300 or status in (400, 422)) and not is_page:
        return
    if status in _FOR_LATER or status >= 500:
        raise OracleUnavailable(f"{step} answers {status} now{said}: try again later.")
    if status in (401, 403):
        raise OracleRefused(
            f"The token was issued, but {access.endpoint} refuses it with {status}{said}: make a Fusion user "
            f"whose name is exactly the client ID {access.client_id}, give it the role that the endpoint "
            f"asks for, and check that the scope is the one of this endpoint{f' ({lacks})' if lacks else ''}."
        )
    if status in _NOT_HERE or 300 <= status < 400 or is_page:
        raise OracleRefused(
            f"{step} is none, it answers {status}{said}: correct the path {access.path!r} or the base URL."
        )
    raise OracleRefused(
        f"{step} answers an empty batch with {status}{said}: compare it with the published contract "
        "(docs/oracle-endpoint.md)."
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _said(body: bytes, hidden: Hidden) -> str:
    words = hidden.hide(str(words_of(body)))
    return f" ({words})" if words else ""
