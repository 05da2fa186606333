"""Queries to a Totara's external GraphQL API, within its limits."""

import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from totara_bridge.errors import TotaraRefused
from totara_bridge.hidden import Hidden
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.graphql.answers import TokenUnknown, TooOften, data_of
from totara_bridge.totara.graphql.token import TokenHolder
from totara_bridge.totara.http import Answer, TooManyRequests, TotaraHttp

_PATH = "/api/graphql.php"

#: Seconds that are waited in all for one query: the API counts what was asked in the last 60 (measured on 17.3).
_PATIENCE = 300.0
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 60.0

_random = random.SystemRandom()


class FieldMissing(TotaraRefused):
    """This Totara does not know what it was asked."""


class GraphqlClient:
    """Asks over one kept connection: one thread, one client; one holder of the token for all."""

    def __init__(
        self,
        connection: TotaraConnection,
        tokens: TokenHolder | None = None,
        *,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Nothing is opened before the first query.

        :param tokens: shared with other clients; none: its own.
        :param pause: waits for that many seconds.
        """
        self._http = TotaraHttp(connection)
        self._tokens = tokens or TokenHolder(connection)
        self._pause = pause
        self._secret = connection.api_secret
        self.place = connection.server_url + _PATH
        self.clock: int | None = None  #: Totara's time at the last answer, Unix seconds

    def query(self, document: str, variables: Mapping[str, Any], *, field: str) -> Any:
        """The value of the one field that is asked for.

        A token that is not taken is replaced once; where too much was asked in a minute, it waits and goes on.

        :raises FieldMissing: this Totara does not have the field: it says so by leaving it out.
        :raises TooComplex: less is to be asked at once.
        :raises TotaraUnavailable: no answer, or none now.
        :raises TotaraRefused: a person has to change something.
        """
        body = {"query": document, "variables": dict(variables)}
        token = self._tokens.current()
        try:
            data = self._patiently(body, token)
        except TokenUnknown:
            data = self._patiently(body, self._tokens.replace(token))
        if not isinstance(data, dict) or field not in data:
            raise FieldMissing(
                f"{self.place} does not know {field}: this release of Totara has no such query; choose another source "
                "for this connection, or upgrade Totara."
            )
        return data[field]

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _patiently(self, body: Mapping[str, Any], token: str) -> Any:
        """Ask until it is not too often any more, with full jitter, within a limit."""
        waited, longest = 0.0, _FIRST_PAUSE
        hidden = Hidden(frozenset({token, self._secret}))
        while True:
            try:
                return data_of(self._ask(body, token), self.place, hidden)
            except (TooManyRequests, TooOften) as busy:
                seconds = busy.retry_after or _random.uniform(1.0, longest)
                if waited + seconds > _PATIENCE:
                    raise
            self._pause(seconds)
            waited, longest = waited + seconds, min(longest * 2, _LONGEST_PAUSE)

    def _ask(self, body: Mapping[str, Any], token: str) -> Answer:
        answer = self._http.post(_PATH, json=body, headers={"Authorization": f"Bearer {token}"})
        self.clock = answer.date or self.clock
        return answer
