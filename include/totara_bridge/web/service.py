"""What every answer needs: the staging database, the clock, and threads to wait for the database in."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from anyio import CapacityLimiter
from psycopg.errors import QueryCanceled, ReadOnlySqlTransaction
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InternalError, NotSupportedError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from totara_bridge.errors import StagingOutOfDate, StagingUnavailable
from totara_bridge.staging.engine import Transaction
from totara_bridge.web.problem import Problem

log = logging.getLogger(__name__)


#: Of the threads, one in so many may change something at a time: whoever reads always has the others.
_ONE_IN = 4

#: Bodies in memory at a time.
_BODIES = 8

#: Of these, one caller's: whoever else sends one always has the others.
_BODIES_OF_ONE = 3


class Service:
    """One app's share of the process that it runs in."""

    def __init__(
        self,
        engine: Engine,
        *,
        threads: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        check: Callable[[Engine], None] = lambda _: None,
        body_within: float = 30.0,
    ) -> None:
        """Nothing is connected yet.

        :param engine: with as many connections as threads.
        :param check: what must be true of the database before it is used; tried with each request until it is, and
            again after a statement that the database did not understand.
        :param body_within: seconds in which a body must have come, after as many to wait for its turn among the
            caller's own, and as many for room for it.
        """
        self.engine = engine
        self.clock = clock
        self.body_within = body_within
        self._check = check
        self._ready = False
        self._told = ""
        #: Of its own: what waits for the database here keeps nobody else in the process waiting.
        self.threads = CapacityLimiter(threads)
        #: For what changes something, besides a thread.
        self.changes = CapacityLimiter(max(1, threads // _ONE_IN))
        #: For whoever sends a body, until it was answered.
        self.bodies = CapacityLimiter(_BODIES)
        #: By the caller's name, before one of `bodies`: there are no more names than a manager has made tokens for.
        self.bodies_of: defaultdict[str, CapacityLimiter] = defaultdict(lambda: CapacityLimiter(_BODIES_OF_ONE))
        self._looking = engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """A connection on which each statement stands for itself.

        :raises Problem: the database does not answer.
        """
        with self._of_this_revision(), _in_words(), self._looking.connect() as connection, _writable(connection):
            yield connection

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """A transaction.

        :raises Problem: the database does not answer.
        """
        with self._of_this_revision(), _in_words(), self.engine.begin() as transaction, _writable(transaction):
            yield transaction

    def require_ready(self) -> None:
        """Go on only with a database that was found to be the right one.

        :raises Problem: it is of another revision, or does not answer.
        """
        if self._ready:
            return
        try:
            with _in_words():
                self._check(self.engine)
        except (StagingOutOfDate, StagingUnavailable) as error:
            if (told := str(error)) != self._told:  # once, however many ask
                log.error("Every request is answered with 503: %s", told)
                self._told = told
            raise (_out_of_date() if isinstance(error, StagingOutOfDate) else _unavailable()) from None
        self._ready, self._told = True, ""

    @contextmanager
    def _of_this_revision(self) -> Iterator[None]:
        """Only a database that is ready, and one that was migrated away meanwhile is no longer."""
        self.require_ready()
        try:
            yield
        except (ProgrammingError, NotSupportedError):  # a table or column that is gone, or a plan of one that was
            self._ready = False
            self.require_ready()
            raise


@contextmanager
def _writable(connection: Connection) -> Iterator[None]:
    """Give up the connection if its server only reads: after a failover the next one leads to the other server."""
    try:
        yield
    except InternalError as error:
        if not isinstance(error.orig, ReadOnlySqlTransaction):
            raise
        connection.invalidate(error)
        raise _unavailable(error) from error


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (OperationalError, NoConnectionFree) as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise Problem(
            503,
            "unavailable",
            "The bridge's database was restarted just now: nothing was lost, ask again.",
            headers={"Retry-After": "1"},
        ) from error


def _unavailable(error: Exception | None = None) -> Problem:
    """The problem.

    :param error: for the log; none: it has it already.
    """
    if error is not None:
        log.warning("A request is answered with 503, for the staging database does not answer: %s", _first_line(error))
    stopped = isinstance(getattr(error, "orig", None), QueryCanceled)
    what = "needed too long for this and was stopped" if stopped else "does not answer now"
    return Problem(
        503,
        "unavailable",
        f"The bridge's database {what}: nothing was lost, ask again in half a minute.",
        headers={"Retry-After": "30"},
    )


def _out_of_date() -> Problem:
    return Problem(
        503,
        "out-of-date",
        "The bridge's database does not go with this version of it: whoever runs it is to finish an upgrade.",
        headers={"Retry-After": "60"},
    )


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
