"""Posts made-up completions to an endpoint, one rule's after another's, and keeps every exchange.

The items are recognisable: every idempotency key begins with `Sample.prefix`, the learner is called
Conformance, and no two items have the same day.
"""

import gzip
import json
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import requests

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.hidden import Hidden
from totara_bridge.network import proxies_to
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.body import read_body
from totara_bridge.oracle.conformance.exchange import Exchange
from totara_bridge.oracle.failures import failure_of
from totara_bridge.oracle.payload import idempotency_key
from totara_bridge.oracle.session import Session
from totara_bridge.oracle.token import TokenHolder

Item = dict[str, Any]

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LONGEST_ANSWER = 8 << 20  # bytes


class NotSeen(Exception):
    """The rule cannot be checked; says why."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the items have in common; an endpoint that looks them up needs a learner and a course that it has."""

    prefix: str = field(default_factory=lambda: f"TBCHECK{_random(9)}")  #: of every idempotency key
    site: str = "check"
    user_id: int = 1
    user_id_number: str = "CHECK-1"
    course_id: int = 1
    course_id_number: str = "CHECK-1"


class Probe:
    """What the rules post with."""

    def __init__(self, access: OracleAccess, sample: Sample, *, full_batch: int, gzip: bool) -> None:
        """Nothing is opened before the first request.

        :param full_batch: items in the largest batch.
        :param gzip: whether the endpoint is to take packed bodies.
        """
        self.access = access
        self.full_batch = full_batch
        self.gzip = gzip
        self.tokens = TokenHolder(access)
        self.exchanges: list[Exchange] = []  #: all of them, in the order that they ended
        self.learner = f"check-{_random(12).lower()}"  #: in the learner's user name, address and last name
        self._sample = sample
        self._day = datetime.now(UTC).replace(hour=9, minute=30, second=5)
        self._session = self._new_session()

    def item(self, **changes: Any) -> Item:
        """A new item of the default template, good but for the changes."""
        sample = self._sample
        self._day -= timedelta(days=1)
        key = self.key()
        usual = {
            "idempotencyKey": key,
            "recordKey": key,
            "kind": "completion",
            "revision": 1,
            "site": sample.site,
            "userId": sample.user_id,
            "courseId": sample.course_id,
            "status": "complete",
            "progress": 100,
            "timecompleted": self._day.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "user": {
                "username": self.learner,
                "idnumber": sample.user_id_number,
                "email": f"{self.learner}@example.invalid",
                "firstname": "Conformance",
                "lastname": self.learner,
            },
            "course": {
                "shortname": "CHECK",
                "idnumber": sample.course_id_number,
                "fullname": "Conformance check",
            },
        }
        return usual | changes

    def key(self) -> str:
        """A new idempotency key, of the form that the bridge's have."""
        return self._sample.prefix + _random(28 - len(self._sample.prefix))

    def send(self, *items: Item, token: str | None = None, packed: bool = False) -> Exchange:
        """Post a batch as the bridge does.

        :param token: instead of one from the token endpoint; empty: none at all.
        :param packed: compress the body; its key stays that of the text.
        :raises NotSeen: there is no answer, or a redirect.
        """
        return _settled(self._post(self._session, _body(items), keys_of(items), token=token, packed=packed))

    def send_text(self, body: bytes) -> Exchange:
        """Post a body that is no batch. Raises as `send`."""
        return _settled(self._post(self._session, body, []))

    def send_at_once(self, times: int, *items: Item) -> list[Exchange]:
        """Post the same batch so many times at the same moment, each over its own connection. Raises as `send`."""
        body, keys = _body(items), keys_of(items)
        together = threading.Barrier(times)

        def post() -> Exchange:
            with self._new_session() as session:
                together.wait()
                return self._post(session, body, keys)

        with ThreadPoolExecutor(times) as threads:
            running = [threads.submit(post) for _ in range(times)]
        return [_settled(each.result()) for each in running]

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(
        self,
        session: requests.Session,
        body: bytes,
        keys: Sequence[str],
        *,
        token: str | None = None,
        packed: bool = False,
    ) -> Exchange:
        bearer = self._token() if token is None else token
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        headers["Idempotency-Key"] = idempotency_key(body)
        if packed:
            headers["Content-Encoding"] = "gzip"
        usual: dict[str, Any] = {"endpoint": self.access.endpoint, "keys": keys, "hidden": Hidden(frozenset({bearer}))}
        try:
            with session.post(
                self.access.endpoint,
                data=gzip.compress(body) if packed else body,
                headers=headers,
                auth=partial(_bear, bearer),  # a header alone would give way to ~/.netrc
                timeout=self.access.timeout,
                allow_redirects=False,
                stream=True,
                proxies=proxies_to(self.access.base_url),
            ) as answer:
                said = read_body(answer, seconds=self.access.timeout, limit=_LONGEST_ANSWER)
        except requests.RequestException as error:
            exchange = Exchange(headers={}, failure=failure_of(error).words, **usual)
        else:
            exchange = _exchange(answer, said.replace(bearer.encode(), b"[token]") if bearer else said, **usual)
        self.exchanges.append(exchange)
        return exchange

    def _token(self) -> str:
        try:
            return self.tokens.current()
        except (OracleRefused, OracleUnavailable) as error:
            raise NotSeen(f"there was no token to send with: {error}") from error

    def _new_session(self) -> requests.Session:
        session = Session()
        session.headers["User-Agent"] = f"totara-bridge/{version('totara-bridge')} conformance check"
        return session


def _body(items: Sequence[Item]) -> bytes:
    """The body of a batch."""
    return json.dumps({"items": items}, ensure_ascii=False, separators=(",", ":")).encode()


def keys_of(items: Sequence[Item]) -> list[str]:
    """The items' keys."""
    return [item["idempotencyKey"] for item in items]


def _bear(bearer: str, request: requests.PreparedRequest) -> requests.PreparedRequest:
    if bearer:
        request.headers["Authorization"] = f"Bearer {bearer}"
    return request


def _exchange(answer: requests.Response, said: bytes, **usual: Any) -> Exchange:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    stays_open = answer.raw.version >= 11 and "close" not in headers.get("connection", "").lower()
    return Exchange(status=answer.status_code, headers=headers, body=said, stays_open=stays_open, **usual)


def _settled(exchange: Exchange) -> Exchange:
    if exchange.status is None:
        raise NotSeen(f"there was {exchange} (the rule about time says more)")
    if 300 <= exchange.status < 400:
        raise NotSeen(f"the answer was a redirect, {exchange.status} (the rule about redirects says more)")
    return exchange


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE32) for _ in range(length))
