"""The app: which address answers with what, in Airflow's API server and alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta

from anyio import to_thread
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from totara_bridge.config import database_url
from totara_bridge.staging.api_token import Scope
from totara_bridge.staging.engine import staging_engine
from totara_bridge.staging.revision import require_compatible
from totara_bridge.web.discreet import Discreet
from totara_bridge.web.problem import Problem, refusal
from totara_bridge.web.pull.acknowledgements import acknowledge
from totara_bridge.web.pull.completions import completion, completions
from totara_bridge.web.pull.directory import courses, users
from totara_bridge.web.pull.endpoint import Handler, endpoint
from totara_bridge.web.pull.openapi import openapi
from totara_bridge.web.pull.status import status
from totara_bridge.web.service import Service

#: Where the API is, in Airflow's API server and alone.
PREFIX = "/bridge/api/v1"

#: Requests that one process waits for the database with; each has a connection and a thread.
THREADS = 8

# what takes longer is cancelled and told as 503: whoever asked waits no more, and the connection is there for others
_LONGEST_STATEMENT = timedelta(seconds=20)

_ROUTES: tuple[tuple[str, str, Scope | None, Handler], ...] = (
    ("GET", "/completions", Scope.READ, completions),
    ("GET", "/completions/{id}", Scope.READ, completion),
    ("GET", "/users", Scope.READ, users),
    ("GET", "/courses", Scope.READ, courses),
    ("POST", "/acknowledgements", Scope.ACKNOWLEDGE, acknowledge),
    ("GET", "/status", Scope.READ, status),
    ("GET", "/openapi.json", None, openapi),
)


def pull_app(service: Service) -> Starlette:
    """The app without its prefix, to be mounted inside `Discreet`."""
    app = Starlette(
        routes=[
            Route(path, endpoint(service, scope, handle), methods=[method]) for method, path, scope, handle in _ROUTES
        ],
        exception_handlers={HTTPException: no_such_address},
    )
    app.router.redirect_slashes = False
    return app


def pull_engine() -> Engine:
    """The staging database, as the Pull API uses it.

    :raises ConfigurationInvalid: ``TOTARA_BRIDGE_DATABASE_URL`` is missing or wrong.
    """
    return staging_engine(database_url(), connections=THREADS, statement_timeout=_LONGEST_STATEMENT)


def alone() -> Starlette:
    """The app by itself, for uvicorn.

    :raises ConfigurationInvalid: ``TOTARA_BRIDGE_DATABASE_URL`` is missing or wrong.
    """
    engine = pull_engine()
    service = Service(engine, threads=THREADS, check=require_compatible)

    @asynccontextmanager
    async def connected(_: Starlette) -> AsyncIterator[None]:
        with suppress(Problem):  # the log says it at once; each request finds out whether it is still so
            await to_thread.run_sync(service.require_ready)
        yield
        engine.dispose()

    app = Starlette(
        routes=[Mount(PREFIX, pull_app(service))],
        middleware=[Middleware(Discreet), Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)],
        exception_handlers={HTTPException: no_such_address},
        lifespan=connected,
    )
    app.router.redirect_slashes = False
    return app


async def no_such_address(request: Request, error: Exception) -> Response:
    """Of an address or a method that is not there, as a problem: for Starlette's handlers."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (404, None)
    if status == 405:
        trouble = Problem(405, "method-not-allowed", f"{request.method} is not possible here: see openapi.json.")
    else:
        trouble = Problem(status, "not-found", "There is nothing at this address: see openapi.json.")
    return refusal(replace(trouble, headers=headers or {}))
