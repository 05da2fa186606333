"""Connections and transactions to the staging database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import psycopg
from psycopg.pq.abc import PGresult
from sqlalchemy import Connection, Engine, TextClause, create_engine, make_url, text
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.exc import ArgumentError, DBAPIError

from totara_bridge.errors import ConfigurationInvalid

#: What a use case holds and passes on to verbs: they never commit, its owner does.
Transaction = Connection


#: A host that has vanished says nothing, and Linux would wait for it for hours: after 30 s of silence it is asked
#: whether it is still there. A statement that runs for long is not cut: the host of its server answers all the same.
_VANISHED = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


#: Milliseconds in which it must have taken what was sent, where nobody is to wait. A bulk load may: its server is
#: sometimes too busy to read.
_TAKEN_WITHIN = 30_000


def staging_engine(url: str, *, connections: int = 5, statement_timeout: timedelta | None = None) -> Engine:
    """An engine on the staging database; connects at first use. Its times are in UTC, whatever zone the server is in.

    :param connections: how many threads use it at the same time.
    :param statement_timeout: a statement that takes longer is cancelled, and a host that vanishes is given up soon;
            none: each takes the time that it needs.
    :raises ConfigurationInvalid: it is no address.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):  # their words may have the password
        raise ConfigurationInvalid(
            "TOTARA_BRIDGE_DATABASE_URL cannot be read as an address: write "
            "postgresql://user:password@host:port/database, and what is special in the password as %40 for @."
        ) from None
    # no statement here runs for so long that compiling its plan would pay
    # east of UTC the last hours of the year 9999 lie in a year that Python does not have
    options = [*address.normalized_query.get("options", ()), "-c timezone=UTC -c jit=off"]
    vanished = dict(_VANISHED)
    if statement_timeout is not None:
        options.append(f"-c statement_timeout={statement_timeout // timedelta(milliseconds=1)}")
        vanished["tcp_user_timeout"] = _TAKEN_WITHIN
    return create_engine(
        address,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # an error must not print whose completion it was about
        connect_args={
            "application_name": "totara-bridge",
            "connect_timeout": 10,
            "options": " ".join(options),
            "client_encoding": "utf8",  # whatever PGCLIENTENCODING says: pages are passed on as they come
            **vanished,
        },
    )


@contextmanager
def bulk_transaction(engine: Engine) -> Iterator[Transaction]:
    """A transaction that moves many rows: memory for its joins, and no compiling of plans that run once."""
    with engine.begin() as transaction:
        _prepare_for_many_rows(transaction)
        yield transaction


@contextmanager
def bulk_look(engine: Engine) -> Iterator[Transaction]:
    """A transaction that reads many rows, all as they were at one moment; it can write nothing and lock no row."""
    with engine.begin() as transaction:
        transaction.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        _prepare_for_many_rows(transaction)
        yield transaction


@contextmanager
def bulk_trial(engine: Engine) -> Iterator[Transaction]:
    """A transaction that moves many rows and of which nothing stays, whatever it writes."""
    with engine.connect() as transaction:  # what is not committed is rolled back
        _prepare_for_many_rows(transaction)
        yield transaction


def _prepare_for_many_rows(transaction: Transaction) -> None:
    # while a Totara is asked over HTTP for hours, it is idle and holds nothing back
    transaction.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    transaction.execute(text("SET LOCAL work_mem = '64MB'"))
    transaction.execute(text("SET LOCAL jit = off"))
    # for ANALYZE of temporary tables: their length matters, a finer histogram of them costs more than it saves
    transaction.execute(text("SET LOCAL default_statistics_target = 10"))


def driver(transaction: Transaction) -> psycopg.Connection[tuple[object, ...]]:
    """The psycopg connection beneath, for COPY."""
    return cast("psycopg.Connection[tuple[object, ...]]", transaction.connection.driver_connection)


def in_driver(statement: TextClause) -> str:
    """The statement as the driver takes it, for `asked`."""
    return str(statement.compile(dialect=psycopg_dialect()))  # type: ignore[no-untyped-call]


@contextmanager
def asked(
    connection: Connection, statement: str, values: Mapping[str, object]
) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """A cursor of the driver that has executed the statement; what fails is raised as SQLAlchemy raises it.

    For what every request of the Pull API asks: SQLAlchemy would take several times as long for it as the driver.
    """
    try:
        with driver(connection).cursor() as cursor:
            cursor.execute(statement.encode(), values)
            yield cursor
    except psycopg.Error as error:
        lost = driver(connection).closed
        raised = DBAPIError.instance(
            statement,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=connection.dialect,
        )
        if lost:
            connection.invalidate(error)
        raise raised from error


def as_sent(cursor: psycopg.Cursor[tuple[Any, ...]]) -> list[bytes]:
    """The values of the one row that was asked for, as the bytes that came; null: no bytes.

    A long text is not made a Python text of, to be made bytes again.
    """
    row = cast("PGresult", cursor.pgresult)
    return [row.get_value(0, column) or b"" for column in range(row.nfields)]
