"""The panel's app: its page's files, and what they ask for; each address but those files behind Airflow's login."""

from datetime import timedelta

from fastapi import APIRouter, Depends, FastAPI, Response
from sqlalchemy import Engine
from starlette.middleware import Middleware
from starlette.routing import Mount

from totara_bridge.config import database_url
from totara_bridge.staging.engine import staging_engine
from totara_bridge.web.panel import (
    actions,
    connections,
    frame,
    guide,
    items,
    logs,
    overview,
    problems,
    proof,
    reconciled,
    settings,
    tokens,
)
from totara_bridge.web.panel.access import MAY_LOOK
from totara_bridge.web.panel.limited import Limited
from totara_bridge.web.panel.refused import HANDLERS
from totara_bridge.web.panel.static import PageFiles
from totara_bridge.web.problem import PRIVATE
from totara_bridge.web.service import Service

#: Requests that one process waits for the database with.
THREADS = 8

# a person waits no longer, and the connection is there for others
_LONGEST_STATEMENT = timedelta(seconds=20)

#: What each tab asks for.
_ROUTERS: tuple[APIRouter, ...] = (
    frame.router,
    settings.router,
    tokens.router,
    connections.router,
    overview.router,
    actions.router,
    items.router,
    logs.router,
    problems.router,
    proof.router,
    reconciled.router,
    guide.router,
)


async def kept_nowhere(response: Response) -> None:
    """Have no browser and no proxy keep what is answered: it names learners, and may be a token."""
    response.headers.update(PRIVATE)


def panel_app(service: Service | None) -> FastAPI:
    """The app without its prefix.

    :param service: none: the bridge's settings name no staging database.
    """
    app = FastAPI(
        openapi_url=None,  # and with it the pages made from it, which need no login
        redirect_slashes=False,
        routes=[Mount("/static/{version}", PageFiles())],
        exception_handlers=HANDLERS,
        middleware=[Middleware(Limited)],
    )
    app.state.service = service
    for router in _ROUTERS:
        app.include_router(router, prefix="/api", dependencies=[MAY_LOOK, Depends(kept_nowhere)])
    return app


def panel_engine() -> Engine:
    """The staging database, as the panel uses it.

    :raises ConfigurationInvalid: ``TOTARA_BRIDGE_DATABASE_URL`` is missing or wrong.
    """
    return staging_engine(database_url(), connections=THREADS, statement_timeout=_LONGEST_STATEMENT)
