"""A lock that is held for longer than a transaction: what takes many of them, or calls others in between."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

#: PostgreSQL's code for a lock that was not had in time.
_NOT_IN_TIME = "55P03"


class SessionLock:
    """One lock of the whole bridge, and the connection that holds it."""

    def __init__(self, name: str, alone: Connection) -> None:
        """Not taken yet.

        :param alone: in no transaction, and nobody else's.
        """
        self._name = f"totara_bridge.{name}"
        self._alone = alone

    def take(self, *, within: timedelta | None = None) -> bool:
        """Have it until the session ends; off where another process kept it for all that time.

        :param within: how long to wait for who has it; none: until they have ended.
        """
        if within == timedelta(0):
            return bool(self._alone.execute(_TRY, {"name": self._name}).scalar_one())
        milliseconds = 0 if within is None else max(1, round(within.total_seconds() * 1000))
        self._alone.execute(text("SELECT set_config('lock_timeout', :wait, false)"), {"wait": str(milliseconds)})
        try:
            self._alone.execute(_WAIT, {"name": self._name})
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _NOT_IN_TIME:
                raise
            return False
        return True

    def has_its_session(self) -> bool:
        """Off where the connection was lost, and with it the lock, if it was had."""
        if self._alone.invalidated:
            return False
        try:
            self._alone.execute(text("SELECT 1"))
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return False
        return True


@contextmanager
def session_lock(engine: Engine, name: str) -> Iterator[SessionLock]:
    """The lock of that name, to be taken.

    On a connection of its own, whose end, also that of a process that is killed, is the end of the lock; and in no
    transaction: an old one would keep what is deleted from being cleaned up, and a server may end an idle one.

    :param engine: with two connections or more: one of them is the lock's.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
        alone.detach()
        alone.execute(text("SELECT set_config('idle_session_timeout', '0', false)"))
        yield SessionLock(name, alone)


_TRY = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
_WAIT = text("SELECT pg_advisory_lock(hashtextextended(:name, 0))")
