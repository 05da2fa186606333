"""HTTP to a Totara: one kept connection, every way that an answer can fail to come as a sentence.

What an answer's body means is not decided here: Totara answers most errors with status 200 (measured on 17.3).
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self

import requests
import urllib3
from requests.auth import AuthBase

from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.hidden import Hidden
from totara_bridge.network import proxies_to
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.http_failure import Place, TooManyRequests, failed, refused_status

_LONGEST_ANSWER = 64 << 20  # bytes
_LONGEST_DOWNLOAD = 4 << 30  # bytes
_LONGEST_DOWNLOADING = 3_600.0  # seconds
_PIECE = 1 << 16
_LONGEST_PAUSE = 86_400.0

__all__ = ["Answer", "TooManyRequests", "TotaraHttp"]


@dataclass(frozen=True)
class Answer:
    """What came: a status below 300 or of a refusal (400, 401, 403 …) that the body may explain."""

    status: int
    content_type: str  #: in lower case, without parameters
    body: bytes = field(repr=False)
    date: int | None  #: the server's time, Unix seconds
    retry_after: float | None  #: seconds that the server asks to be left alone

    def json(self) -> Any:
        """The body as JSON.

        :raises ValueError: it is none, or was cut.
        """
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("it nests too deep") from error


class TotaraHttp:
    """Requests to one Totara over one kept connection: one thread, one of these."""

    def __init__(self, connection: TotaraConnection) -> None:
        """Nothing is opened before the first request."""
        self._connection = connection
        self._session = _Session()
        self._session.headers["User-Agent"] = "TotaraBridge"
        # token.php sets one, and Totara answers the requests of one session one after the other
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))

    def post(
        self,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a form or JSON and read the whole answer.

        :param path: below the connection's server URL, beginning with a slash.
        :raises TooManyRequests: 429; a `TotaraUnavailable` that says for how long.
        :raises TotaraUnavailable: no answer, a broken one, or none now (5xx).
        :raises TotaraRefused: a redirect, no such address, no trust (TLS), or an endless answer.
        """
        return self._whole("POST", path, headers, data=form, json=json)

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """The whole answer; raises what `post` raises."""
        return self._whole("GET", path, headers)

    @contextmanager
    def stream(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = _LONGEST_DOWNLOAD,
        seconds: float = _LONGEST_DOWNLOADING,
    ) -> Iterator[Iterator[bytes]]:
        """The pieces of a file at a whole address; raises what `post` raises, also while it is read.

        A file whose end does not come, or is shorter than its Content-Length, raises `TotaraUnavailable`.

        :param seconds: for all of it; the connection's timeout is that of each silence.
        """
        place = Place(url, 'the place in "Report"')
        with self._opened("GET", place, headers) as response:
            if response.status_code != 200:
                raise TotaraRefused(
                    f'{place} answered {response.status_code} instead of a file: check the place in "Report" and '
                    'that whoever the "API token" belongs to may read it.'
                )
            if response.headers.get("Content-Type", "").split(";")[0].strip().lower() == "text/html":
                raise TotaraRefused(
                    f"{place} answered with a page instead of a file, as where a login is wanted: check the place in "
                    '"Report" and that whoever the "API token" belongs to may read it.'
                )
            yield _pieces(response, place, until=time.monotonic() + seconds, limit=most_bytes)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _whole(self, method: str, path: str, headers: Mapping[str, str] | None, **options: Any) -> Answer:
        place = Place(self._connection.server_url + path, '"Server URL"')
        until = time.monotonic() + self._connection.timeout
        with self._opened(method, place, headers, **options) as response:
            body = b"".join(_pieces(response, place, until=until, limit=_LONGEST_ANSWER))
            return Answer(
                status=response.status_code,
                content_type=response.headers.get("Content-Type", "").split(";")[0].strip().lower(),
                body=body,
                date=_moment(response.headers.get("Date")),
                retry_after=_pause(response.headers.get("Retry-After")),
            )

    @contextmanager
    def _opened(
        self, method: str, place: Place, headers: Mapping[str, str] | None, **options: Any
    ) -> Iterator[requests.Response]:
        """The head of an answer that has a body to read."""
        try:
            response = self._session.request(
                method,
                place.url,
                auth=_Headers(headers or {}),
                timeout=self._connection.timeout,
                allow_redirects=False,
                stream=True,
                proxies=proxies_to(place.url),
                **options,
            )
        except UnicodeError:  # a token with a letter that a header cannot carry
            raise failed(requests.exceptions.InvalidHeader(), place) from None
        except requests.RequestException as error:
            raise failed(error, place) from None  # its words may quote an address or a header
        bearer = (headers or {}).get("Authorization", "").removeprefix("Bearer ")
        hidden = Hidden(frozenset({self._connection.api_token, self._connection.api_secret, bearer}))
        with response:
            _raise_unless_readable(response, place, hidden)
            yield response


def _raise_unless_readable(response: requests.Response, place: Place, hidden: Hidden) -> None:
    status = response.status_code
    if 300 <= status < 400:
        leads = place.leading_to(hidden.hide(response.headers.get("Location", "")))
        raise TotaraRefused(
            f"{place} answered {status} and leads to {leads}, where nothing is sent: write the address that Totara "
            f"itself has ($CFG->wwwroot, protocol and folder included) in {place.field}."
        )
    if status == 429:
        raise TooManyRequests(place, _pause(response.headers.get("Retry-After")))
    if status >= 500:
        pause = _pause(response.headers.get("Retry-After"))
        when = f" in {pause:.0f} s, as it wants" if pause else " later"
        raise TotaraUnavailable(
            f"{place} answered {status}: it will be asked again{when}; if it stays so, look into the error log of "
            "Totara's web server, or whether it is being upgraded."
        )
    if status in (404, 405, 407, 410, 413):
        raise refused_status(status, place)


def _pieces(response: requests.Response, place: Place, *, until: float, limit: int) -> Iterator[bytes]:
    size = 0
    try:
        while piece := response.raw.read1(_PIECE, decode_content=True):
            size += len(piece)
            if size > limit:
                raise TotaraRefused(
                    f"{place} answers with more than {limit >> 20} MiB, so it was not read: check that the address in "
                    f"{place.field} is that of a Totara."
                )
            if time.monotonic() > until:
                raise failed(requests.Timeout(), place)
            yield piece
    except (urllib3.exceptions.HTTPError, OSError) as error:
        timed_out = isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError)
        kind = requests.Timeout if timed_out else requests.ConnectionError
        raise failed(kind(error), place) from None


def _moment(value: str | None) -> int | None:
    try:
        return int(parsedate_to_datetime(value or "").timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def _pause(value: str | None) -> float | None:
    """Seconds from now, a day at most; none where the header says nothing that can be followed."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_PAUSE)
    moment = _moment(text)
    seconds = moment - datetime.now(UTC).timestamp() if moment is not None else 0.0
    return min(seconds, _LONGEST_PAUSE) if seconds > 0 else None


class _Session(requests.Session):
    """Looks at no redirect: requests would raise errors of its own at an address that cannot be."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _Headers(AuthBase):
    """Headers of a request; as ``auth``, so that requests does not look into ~/.netrc or the address instead."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.prepare_headers({**request.headers, **self._headers})  # refuses what would break the head
        return request
