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
from totara_bridge.staging.revision import require_compatible
from totara_bridge.web.discreet import Discreet
from totara_bridge.web.panel.app import THREADS as PANEL_THREADS
from totara_bridge.web.panel.app import panel_app, panel_engine
from totara_bridge.web.problem import misconfigured, refusal
from totara_bridge.web.pull.app import THREADS, no_such_address, pull_app, pull_engine
from totara_bridge.web.service import Service

#: Where Airflow's API server has it.
PREFIX = "/bridge"

log = logging.getLogger(__name__)


def bridge_app() -> FastAPI:
    """The app without its prefix. It connects to nothing before the first request.

    It is FastAPI's, and has none of FastAPI's pages: Airflow ends the connections of no other kind of app.
    """
    try:
        pulled, looked_at = pull_engine(), panel_engine()
    except ConfigurationInvalid as error:
        log.error("Every request is answered with 503: %s", error)
        return _app(Mount("/api/v1", refusal(misconfigured())), Mount("/panel", panel_app(None)))

    @asynccontextmanager
    async def connected(_: FastAPI) -> AsyncIterator[None]:
        yield
        pulled.dispose()
        looked_at.dispose()

    pull = Service(pulled, threads=THREADS, check=require_compatible)
    panel = Service(looked_at, threads=PANEL_THREADS, check=require_compatible)
    return _app(Mount("/api/v1", pull_app(pull)), Mount("/panel", panel_app(panel)), lifespan=connected)


def _app(*routes: BaseRoute, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    return FastAPI(
        routes=[*routes],
        lifespan=lifespan,
        openapi_url=None,  # and with it the pages made from it, which need no token
        redirect_slashes=False,
        middleware=[Middleware(Discreet)],
        exception_handlers={HTTPException: no_such_address},
    )
