"""The app that Airflow's API server has at ``/bridge``. Whatever state staging is in, the API server starts with it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.types import Lifespan

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.staging.migrate import require_newest
from totara_bridge.web.pull.app import THREADS, no_such_address, pull_app, pull_engine
from totara_bridge.web.pull.discreet import Discreet
from totara_bridge.web.pull.endpoint import refusal
from totara_bridge.web.pull.problem import misconfigured
from totara_bridge.web.pull.service import Service

#: Where Airflow's API server has it.
PREFIX = "/bridge"

log = logging.getLogger(__name__)


def bridge_app() -> FastAPI:
    """The app without its prefix. It connects to nothing before the first request.

    It is FastAPI's, and has none of FastAPI's pages: Airflow ends the connections of no other kind of app.
    """
    try:
        engine = pull_engine()
    except ConfigurationInvalid as error:
        log.error("The Pull API answers every request with 503: %s", error)
        return _app(Mount("/api/v1", refusal(misconfigured())))

    @asynccontextmanager
    async def connected(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.dispose()

    service = Service(engine, threads=THREADS, check=require_newest)
    return _app(Mount("/api/v1", pull_app(service)), lifespan=connected)


def _app(*routes: BaseRoute, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    return FastAPI(
        routes=[*routes],
        lifespan=lifespan,
        openapi_url=None,  # and with it the pages made from it, which need no token
        redirect_slashes=False,
        middleware=[Middleware(Discreet)],
        exception_handlers={HTTPException: no_such_address},
    )
