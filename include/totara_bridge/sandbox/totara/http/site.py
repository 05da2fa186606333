"""The site that answers: its database, read anew for each request, and what a test or a person can switch."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from totara_bridge.sandbox.totara.http.tokens import RestToken, Service, first_tokens
from totara_bridge.sandbox.totara.schema import Tables, tables

#: As many calls as a test may look at; a site that runs for days does not keep more than twice as many.
_REMEMBERED = 100_000


@dataclass(frozen=True)
class Fault:
    """What a request gets instead of its answer."""

    status: int | None = None  #: answer this; none: the true answer, after ``delay``
    body: str = ""
    content_type: str = "text/html"
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0  #: seconds before anything else
    close: bool = False  #: close the connection and answer nothing
    path: str = ""  #: only requests whose path begins so
    function: str = ""  #: only calls of this web service function


@dataclass
class Switches:
    """How the site is set up; may be changed at any time, and holds from the next request on."""

    web_services_on: bool = True
    rest_on: bool = True
    maintenance: bool = False
    debugging: bool = False  #: errors say why, in ``debuginfo``
    latency: float = 0.0  #: seconds that each request takes
    site_name: str = "Totara Site A"
    site_url: str = "http://127.0.0.1:8081"  #: as the site calls itself in links
    theme_revision: int = 1795289328  #: in the addresses of pictures
    service: Service = field(default_factory=Service)
    tokens: dict[str, RestToken] = field(default_factory=first_tokens)

    def picture(self, size: int) -> str:
        """The address of the picture of everybody who has none."""
        return f"{self.site_url}/theme/image.php/ventura/core/{self.theme_revision}/u/f{size}"


class Counted:
    """How many requests are being answered now, and were at most at the same time."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._lock = threading.Lock()
        self.in_flight = 0
        self.most_in_flight = 0
        self.requests: list[tuple[str, dict[str, str]]] = []  #: the latest calls: function and parameters

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a request for as long as the block lasts."""
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

    def note(self, function: str, parameters: dict[str, str]) -> None:
        """Remember a call; never its token."""
        with self._lock:
            self.requests.append((function, parameters))
            if len(self.requests) > 2 * _REMEMBERED:
                del self.requests[:-_REMEMBERED]


class Faults:
    """Faults that wait for requests: each meets one, and the first that fits is taken."""

    def __init__(self) -> None:
        """None."""
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def put(self, faults: Iterable[Fault]) -> None:
        """These, instead of those that still wait."""
        with self._lock:
            self._waiting = list(faults)

    def take(self, path: str, function: str = "") -> Fault | None:
        """The first that fits this request; it is used up."""
        with self._lock:
            for fault in self._waiting:
                if path.startswith(fault.path) and fault.function == function:
                    self._waiting.remove(fault)
                    return fault
        return None


@dataclass
class Site:
    """A sandbox Totara and how it behaves."""

    engine: Engine
    prefix: str = "ttr_"
    clock: Callable[[], float] = time.time
    switches: Switches = field(default_factory=Switches)
    counted: Counted = field(default_factory=Counted)
    faults: Faults = field(default_factory=Faults)
    extras: dict[str, object] = field(default_factory=dict)  #: what other parts of the site keep here, by their name

    @property
    def tables(self) -> Tables:
        """The tables under the site's prefix."""
        return tables(self.prefix)

    def now(self) -> int:
        """The present in Unix seconds."""
        return int(self.clock())

    def rows(self, statement: Any) -> list[dict[str, Any]]:
        """What the database says at this moment."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]
