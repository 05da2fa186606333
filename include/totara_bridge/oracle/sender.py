"""Sends one batch to Oracle and reads the answer; every way that it can end is a `Reading`."""

import gzip
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from types import TracebackType
from typing import Self

import requests
from requests.auth import AuthBase

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.hidden import Hidden
from totara_bridge.network import proxies_to
from totara_bridge.oracle import answers, payload
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.body import read_body
from totara_bridge.oracle.session import Session
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.oracle.verdict import Reading
from totara_bridge.oracle.words import without_credentials
from totara_bridge.printable import CUT

_LONGEST_ANSWER = 8 << 20  # bytes; what is longer is cut, and then no JSON any more
_LONGEST_KEPT = 1 << 16  # bytes of an answer that a reading carries
_WORTH_COMPRESSING = 1000  # bytes

#: What an escape begins with; a text that has none is read in one way only.
_ESCAPE = re.compile(rb"[\\%&]")


class Sender:
    """Sends batches to one destination over one kept connection. One thread, one sender; one holder for all."""

    def __init__(self, access: OracleAccess, tokens: TokenHolder, *, items: str = "items", gzip: bool = False) -> None:
        """Nothing is opened before the first batch.

        :param items: what the list of items is called in the body.
        :param gzip: compress requests; the endpoint must take Content-Encoding: gzip.
        """
        self._access = access
        self._tokens = tokens
        self._items = items
        self._gzip = gzip
        self._session = Session()
        self._session.headers["User-Agent"] = f"totara-bridge/{version('totara-bridge')}"

    def send(self, keys: Sequence[str], payload_texts: Sequence[str]) -> Reading:
        """Send the items whose keys and snapshotted payloads are given, in the same order.

        A 401 is answered with one new token and the same batch; nothing else is sent twice.
        """
        started = time.monotonic()
        try:
            reading = self._send(keys, payload.body(payload_texts, self._items))
        except (requests.RequestException, OracleUnavailable, OracleRefused) as error:
            reading = answers.read_failure(keys, error, endpoint=self._access.endpoint)
        return replace(reading, duration=time.monotonic() - started)

    def get_ready(self) -> None:
        """Get a token and send nothing.

        :raises OracleUnavailable: there is none now.
        :raises OracleRefused: there will be none until a person changes something.
        """
        self._tokens.current()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, keys: Sequence[str], body: bytes) -> Reading:
        token = self._tokens.current()
        reading = self._post(keys, body, token)
        if reading.wants_new_token:
            reading = self._post(keys, body, self._tokens.replace(token))
        if reading.wants_new_token:
            refused = answers.refused_twice(keys, reading, endpoint=self._access.endpoint)
            reading = replace(refused, answer=reading.answer)
        return answers.with_shortfall(reading, self._tokens.shortfall)

    def _post(self, keys: Sequence[str], body: bytes, token: str) -> Reading:
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Idempotency-Key": payload.idempotency_key(body),  # of the body before it is compressed
        }
        if self._gzip and len(body) > _WORTH_COMPRESSING:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, mtime=0)
        with self._session.post(
            self._access.endpoint,
            data=body,
            headers=headers,
            auth=_Bearer(token),
            timeout=self._access.timeout,
            allow_redirects=False,
            stream=True,
            proxies=proxies_to(self._access.base_url),
        ) as answer:
            received = read_body(answer, seconds=self._access.timeout, limit=_LONGEST_ANSWER)
        said = received.replace(token.encode(), b"[token]")  # an error page may repeat the request's headers
        hidden = Hidden(frozenset({token}))
        heads = {name: hidden.hide(value) for name, value in answer.headers.items()}
        reading = answers.read(keys, answer.status_code, heads, said, endpoint=self._access.endpoint)
        beginning = _beginning(said)
        if _ESCAPE.search(said):  # else, as nearly always, no other writing of the token can be in it
            reading, beginning = reading.without(hidden.hide), hidden.hide(beginning)
        return replace(reading, answer=without_credentials(beginning))


def _beginning(answer: bytes) -> str:
    text = answer[:_LONGEST_KEPT].decode(errors="replace")
    return text + CUT if len(answer) > _LONGEST_KEPT else text


class _Bearer(AuthBase):
    """The token as a header; as ``auth``, so that requests does not look into ~/.netrc instead."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
