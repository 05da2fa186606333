"""One access token for all threads that ask a Totara: fetched once, renewed before it runs out or when refused."""

import threading
import time
from collections.abc import Callable

from totara_bridge.hidden import Hidden
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.graphql.answers import token_of
from totara_bridge.totara.http import TotaraHttp

_PATH = "/totara/oauth2/token.php"

#: A token is renewed this many seconds before it runs out, or a tenth of its life before if that is shorter.
_EARLY = 60.0


class TokenHolder:
    """The token of one connection: one thread fetches it while the others wait."""

    def __init__(self, connection: TotaraConnection, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is fetched before it is asked for.

        :param clock: seconds that only go forward.
        """
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = float("-inf")

    def current(self) -> str:
        """The token to use now.

        :raises TotaraUnavailable: there is none now.
        :raises TotaraRefused: there will be none until a person changes something.
        """
        with self._lock:
            if self._clock() >= self._renew_at:
                self._fetch()
            return self._token

    def replace(self, refused: str) -> str:
        """Another token instead of one that the API did not take; raises what `current` raises."""
        with self._lock:
            if self._token == refused:  # else another thread was here first
                self._fetch()
            return self._token

    def _fetch(self) -> None:
        self._renew_at = float("-inf")
        asked_at = self._clock()
        connection = self._connection
        # by form: 17.3 takes neither JSON nor GET (measured)
        form = {
            "grant_type": "client_credentials",
            "client_id": connection.api_client,
            "client_secret": connection.api_secret,
        }
        with TotaraHttp(connection) as http:
            answer = http.post(_PATH, form=form)
        hidden = Hidden(frozenset({connection.api_secret}))
        self._token, lifetime = token_of(answer, connection.server_url + _PATH, hidden)
        self._renew_at = asked_at + lifetime - min(_EARLY, lifetime / 10)
