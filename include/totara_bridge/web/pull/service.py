"""What every answer needs: the staging database, the clock, and threads to wait for the database in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from anyio import CapacityLimiter
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from totara_bridge.staging.engine import Transaction
from totara_bridge.web.pull.problem import Problem


class Service:
    """The Pull API's share of the process that it runs in."""

    def __init__(
        self, engine: Engine, *, threads: int, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Nothing is connected yet.

        :param engine: with as many connections as threads.
        """
        self.engine = engine
        self.clock = clock
        #: Of its own: what waits for the database here keeps nobody else in the process waiting.
        self.threads = CapacityLimiter(threads)
        self._looking = engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """A connection on which each statement stands for itself.

        :raises Problem: the database does not answer.
        """
        with _in_words(), self._looking.connect() as connection:
            yield connection

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """A transaction.

        :raises Problem: the database does not answer.
        """
        with _in_words(), self.engine.begin() as transaction:
            yield transaction


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (OperationalError, NoConnectionFree) as error:
        raise Problem(
            503,
            "unavailable",
            "The bridge's database does not answer now: nothing was lost, ask again in half a minute.",
            headers={"Retry-After": "30"},
        ) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise Problem(
            503,
            "unavailable",
            "The bridge's database was restarted just now: nothing was lost, ask again.",
            headers={"Retry-After": "1"},
        ) from error
