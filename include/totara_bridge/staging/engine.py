"""Connections and transactions to the staging database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import psycopg
from sqlalchemy import Connection, Engine, create_engine, make_url, text

#: What a use case holds and passes on to verbs: they never commit, its owner does.
Transaction = Connection


def staging_engine(url: str, *, connections: int = 5) -> Engine:
    """An engine on the staging database; connects at first use. Its times are in UTC, whatever zone the server is in.

    :param connections: how many threads use it at the same time.
    """
    # east of UTC the last hours of the year 9999 lie in a year that Python does not have
    options = " ".join([*make_url(url).normalized_query.get("options", ()), "-c timezone=UTC"])
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # an error must not print whose completion it was about
        connect_args={"application_name": "totara-bridge", "connect_timeout": 10, "options": options},
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


def _prepare_for_many_rows(transaction: Transaction) -> None:
    transaction.execute(text("SET LOCAL work_mem = '64MB'"))
    transaction.execute(text("SET LOCAL jit = off"))
    # for ANALYZE of temporary tables: their length matters, a finer histogram of them costs more than it saves
    transaction.execute(text("SET LOCAL default_statistics_target = 10"))


def driver(transaction: Transaction) -> psycopg.Connection[tuple[object, ...]]:
    """The psycopg connection beneath, for COPY."""
    return cast("psycopg.Connection[tuple[object, ...]]", transaction.connection.driver_connection)
