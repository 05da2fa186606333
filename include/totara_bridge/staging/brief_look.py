"""Reading for a person who waits for the answer: nothing is written, and what takes long is given up."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from psycopg.errors import QueryCanceled
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from totara_bridge.staging.engine import Transaction


class TakesTooLong(Exception):
    """A statement took longer than somebody waits for it; the transaction is of no more use."""


@contextmanager
def brief_look(transaction: Transaction, *, within: timedelta) -> Iterator[None]:
    """From now on the transaction only reads, with memory for joins, and each statement has so long.

    :raises TakesTooLong: one took longer and was cancelled.
    """
    milliseconds = max(1, within // timedelta(milliseconds=1))
    transaction.execute(text("SET TRANSACTION READ ONLY"))
    transaction.execute(text("SET LOCAL work_mem = '64MB'"))
    transaction.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TakesTooLong from error
        raise
