"""The Pull API as it runs alone: a real server over real HTTP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import uvicorn
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.web.puller import Puller
from totara_bridge import api_token
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.pull.service import Service


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """A server on loopback; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


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
