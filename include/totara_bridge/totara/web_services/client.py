"""Calls of Totara's web services: never more at once than the connection allows, whatever asks."""

import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from totara_bridge.errors import TotaraUnavailable
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.http import Answer, TooManyRequests, TotaraHttp
from totara_bridge.totara.web_services import answers
from totara_bridge.totara.web_services.answers import Asked

PATH = "/webservice/rest/server.php"

#: How often a call without an answer is made; a crawl of hours is not to end with one connection.
_TRIES = 3
_FIRST_PAUSE = 0.5  #: seconds at most, twice as many each time
_LONGEST_PAUSE = 60.0  #: whoever wants to be left alone for longer is left to the next run
#: Answers that wait to be taken, for each that is under way: a slow one does not stop the others.
_AHEAD = 4

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class WebServices:
    """The web services of one Totara, for ``with``."""

    def __init__(self, connection: TotaraConnection) -> None:
        """Nothing is opened before the first call."""
        self._connection = connection
        self._at_once = connection.requests_in_flight
        self._threads = ThreadPoolExecutor(self._at_once, "web-services")
        self._closing = threading.Event()
        self._connections = [TotaraHttp(connection) for _ in range(self._at_once)]
        #: Whoever calls takes one out: so there are never more calls at once, and one uses each at a time.
        self._idle: queue.LifoQueue[TotaraHttp] = queue.LifoQueue()
        for each in self._connections:
            self._idle.put(each)
        self.date: int | None = None  #: the server's time in its last answer, Unix seconds

    def call(self, function: str, **parameters: object) -> Any:
        """What a function gives; from any thread.

        :param parameters: lists and mappings are written as PHP reads them, ``a[0][b]=c``.
        :raises TotaraUnavailable: no answer, or none now, also when asked again.
        :raises CallRefused: Totara answers with an error.
        :raises TotaraRefused: there are no web services, or something else answers.
        """
        token = self._connection.api_token
        form = {"wstoken": token, "wsfunction": function, "moodlewsrestformat": "json", **encoded(parameters)}
        idle = self._idle.get()
        try:
            answer = self._post(idle, form)
        finally:
            self._idle.put(idle)
        self.date = answer.date or self.date
        return answers.read(answer, Asked(self._connection.server_url, function, token))

    def each(self, ask: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """What ``ask`` gives for each item, in the order of the items; it runs in threads and makes calls.

        The items are taken one by one while answers come, so there may be any number of them.
        """
        waiting: deque[Future[_Result]] = deque()
        try:
            for item in items:
                waiting.append(self._threads.submit(ask, item))
                if len(waiting) >= self._at_once * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)
        for each in self._connections:
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, http: TotaraHttp, form: Mapping[str, str]) -> Answer:
        """Send it, some times where no answer comes; nothing that the bridge calls changes Totara."""
        for tried in range(1, _TRIES):
            try:
                return http.post(PATH, form=form)
            except TotaraUnavailable as error:
                pause = _pause(error, tried)
                if pause is None or self._closing.wait(pause):
                    raise
        return http.post(PATH, form=form)


def encoded(parameters: Mapping[str, object]) -> dict[str, str]:
    """Fields of a form, nested as PHP reads them."""
    return {
        name + "".join(f"[{part}]" for part in path): text
        for name, value in parameters.items()
        for path, text in _leaves(value)
    }


def _leaves(value: object) -> Iterator[tuple[tuple[str, ...], str]]:
    match value:
        case Mapping():
            inner: Iterable[tuple[object, object]] = value.items()
        case list() | tuple():
            inner = enumerate(value)
        case bool():
            yield (), str(int(value))
            return
        case _:
            yield (), str(value)
            return
    for key, each in inner:
        for path, text in _leaves(each):
            yield (str(key), *path), text


def _pause(error: TotaraUnavailable, tried: int) -> float | None:
    """Seconds until it is tried again: any share of a time that doubles, or as long as the server wants; none: not."""
    wanted = error.retry_after if isinstance(error, TooManyRequests) else None
    if wanted is not None:
        return wanted if wanted <= _LONGEST_PAUSE else None
    return random.uniform(0, _FIRST_PAUSE * 2 ** (tried - 1))  # noqa: S311  not for secrets
