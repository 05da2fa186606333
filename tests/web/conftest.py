"""The Pull API as it runs alone: a real server over real HTTP."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

import psycopg
import pytest
import uvicorn
from sqlalchemy import Engine, NullPool, create_engine
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.bridge import Bridge
from tests.web import of_all_kinds
from tests.web.puller import Puller
from totara_bridge import api_token
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.staging.migrate import migrate
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.pull.service import Service


@contextmanager
def serving(app: Starlette, *, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """A server on loopback; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan=lifespan, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="session")
def of_all_kinds_template(postgres: EmbeddedPostgres, staging_template: str, totara_template: str) -> str:
    """A staging database to copy, in which there is a row of every kind that a puller can meet."""
    made: dict[str, Engine] = {}
    for name, template in (("of_all_kinds", staging_template), ("of_all_kinds_totara", totara_template)):
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        made[name] = create_engine(postgres.dsn(name).replace("postgresql:", "postgresql+psycopg:", 1))
    of_all_kinds.stage(Bridge(*made.values()))
    for engine in made.values():
        engine.dispose()
    return "of_all_kinds"


@pytest.fixture
def address(staging: Engine) -> Iterator[str]:
    """Where the Pull API over the staging database is."""
    with serving(Starlette(routes=[Mount(PREFIX, pull_app(Service(staging, threads=8)))])) as host:
        yield host + PREFIX


@pytest.fixture
def token(staging: Engine) -> str:
    """A token of the caller ``warehouse`` that may do everything."""
    with staging.begin() as transaction:
        return api_token.issue(transaction, caller="warehouse", by="ann", now=datetime.now(UTC)).token


@pytest.fixture
def puller(address: str, token: str) -> Iterator[Puller]:
    """An external system."""
    with Puller(address, token) as calling:
        yield calling


@pytest.fixture(scope="session")
def staging_that_has_read(new_database: Callable[[str], str], totara_template: str, postgres: EmbeddedPostgres) -> str:
    """A staging database to copy, into which the sandbox Totara was extracted: that takes longer than a copy."""
    staging, totara = (
        create_engine(address.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
        for address in (new_database("staging_that_has_read"), postgres.dsn(totara_template))
    )
    migrate(staging.url.render_as_string(hide_password=False))
    Bridge(staging, totara).extract()
    return str(staging.url.database)
