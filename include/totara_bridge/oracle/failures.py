"""What it means that a request got no answer: the one table of failures on the way to Oracle and back."""

from typing import NamedTuple

import requests
from requests import exceptions

from totara_bridge.network import causes, innermost_reason
from totara_bridge.oracle.words import shorten


class Failure(NamedTuple):
    """Why there was no answer."""

    kind: str  #: one word for the log
    permanent: bool  #: a person has to change something
    arrived: bool  #: the request may have arrived, and been acted on
    words: str
    advice: str


_LATER = "it will be tried again"

_TABLE: tuple[tuple[type[requests.RequestException], Failure], ...] = (
    # what requests raises, the first that fits
    (exceptions.SSLError, Failure("tls", True, False, "TLS failed", "check the address and its certificate")),
    (exceptions.ProxyError, Failure("unreachable", False, False, "the proxy failed", _LATER)),
    (exceptions.ConnectTimeout, Failure("unreachable", False, False, "no connection in time", _LATER)),
    (exceptions.Timeout, Failure("timeout", False, True, "no answer in time", _LATER)),
    (exceptions.ConnectionError, Failure("reset", False, True, "the connection broke", _LATER)),
    (exceptions.ChunkedEncodingError, Failure("reset", False, True, "the connection broke", _LATER)),
    (exceptions.ContentDecodingError, Failure("garbled", False, True, "the answer cannot be unpacked", _LATER)),
    # an address or a header that cannot be: nothing that time heals
    (requests.RequestException, Failure("request", True, False, "the request cannot be made", "check the address")),
)
_NO_CONNECTION = Failure("unreachable", False, False, "no connection", _LATER)


def failure_of(error: requests.RequestException) -> Failure:
    """What a failed request means; the words name no address and hold no secret."""
    if isinstance(error, exceptions.ConnectionError) and _never_connected(error):
        failure = _NO_CONNECTION
    else:
        failure = next(failure for kind, failure in _TABLE if isinstance(error, kind))
    return failure._replace(words=f"{failure.words} ({shorten(innermost_reason(error))})")


def _never_connected(error: BaseException) -> bool:
    return any(type(each).__name__ in ("NewConnectionError", "NameResolutionError") for each in causes(error))
