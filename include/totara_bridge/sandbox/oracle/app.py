"""The sandbox's addresses: Oracle's two, and those by which a test orders faults and asks what came."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import BaseRoute

from totara_bridge.sandbox.oracle.completions import Sandbox
from totara_bridge.sandbox.oracle.faults import Fault
from totara_bridge.sandbox.oracle.tokens import Settings

TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105  an address
COMPLETIONS_PATH = "/completions"


def create_app(open_sandbox: Callable[[], Sandbox]) -> FastAPI:
    """The application; the sandbox is opened in the server's event loop and closed with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.sandbox = open_sandbox()
        yield
        app.state.sandbox.store.close()

    app = FastAPI(lifespan=lifespan, title="Sandbox Oracle", openapi_url=None)
    app.router.routes.extend(_routes())
    return app


@cache
def _routes() -> list[BaseRoute]:
    """Made once: to look through what each takes and gives takes longer than everything else in a sandbox's start."""
    router = APIRouter()
    router.add_route(TOKEN_PATH, _token, methods=["POST"])
    router.add_route(COMPLETIONS_PATH, _completions, methods=["POST"])
    router.add_api_route("/sandbox/faults", put_faults, methods=["PUT"])
    router.add_api_route("/sandbox/faults", delete_faults, methods=["DELETE"])
    router.add_api_route("/sandbox/settings", put_settings, methods=["PUT"])
    router.add_api_route("/sandbox/release", release, methods=["POST"])
    router.add_api_route("/sandbox/revoke-tokens", revoke_tokens, methods=["POST"])
    router.add_api_route("/sandbox/tokens", get_tokens)
    router.add_api_route("/sandbox/received", get_received)
    router.add_api_route("/sandbox/received/items", get_items)
    router.add_api_route("/sandbox/received/requests", get_requests)
    router.add_api_route("/sandbox/wait", wait)
    router.add_api_route("/sandbox/health", health)
    return router.routes


async def _token(request: Request) -> Response:
    return await _sandbox(request).token(request)


async def _completions(request: Request) -> Response:
    return await _sandbox(request).receive(request)


async def put_faults(request: Request, faults: list[Fault]) -> list[Fault]:
    """Order these faults instead of those before."""
    _sandbox(request).faults.put(faults)
    return faults


async def delete_faults(request: Request) -> dict[str, Any]:
    """Nothing goes wrong any more."""
    _sandbox(request).faults.put([])
    return {}


async def put_settings(request: Request, settings: dict[str, Any]) -> Settings:
    """Change what is given, leave the rest."""
    sandbox = _sandbox(request)
    try:
        sandbox.settings = Settings.model_validate(sandbox.settings.model_dump() | settings)
    except ValidationError as error:
        raise HTTPException(422, str(error)) from error
    return sandbox.settings


async def release(request: Request) -> dict[str, Any]:
    """Let the requests that hang now go on."""
    _sandbox(request).release()
    return {}


async def revoke_tokens(request: Request) -> dict[str, int]:
    """No token that was given out before holds any more."""
    return {"revoked": _sandbox(request).tokens.revoke()}


async def get_tokens(request: Request) -> list[str]:
    """Every access token that was given out since the start, for who looks whether one was written down."""
    return _sandbox(request).tokens.given


async def get_received(
    request: Request, key: str | None = None, user_id: int | None = None, keys: bool = False
) -> dict[str, Any]:
    """Counts, of one key or learner if asked; with ``keys`` also every key."""
    sandbox = _sandbox(request)
    answer = sandbox.store.counts(key=key, user_id=user_id) | {
        "token_requests": sandbox.tokens.requests,
        "tokens_issued": len(sandbox.tokens.given),
        "faults_met": sandbox.faults.met,
    }
    if keys:
        answer |= {"stored": sandbox.store.stored_keys(), "times": sandbox.store.times_received()}
    return answer


async def get_items(
    request: Request, key: str | None = None, user_id: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """What was accepted, newest first."""
    return _sandbox(request).store.items(key=key, user_id=user_id, limit=limit)


async def get_requests(
    request: Request, state: str | None = None, status: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """The requests to the completions endpoint, newest first."""
    return _sandbox(request).store.requests(state=state, status=status, limit=limit)


async def wait(request: Request, requests: int = 0, in_flight: int = 0, keys_stored: int = 0) -> dict[str, Any]:
    """Answer once at least so many requests came, are in flight, or so many keys are stored."""
    sandbox = _sandbox(request)

    def enough() -> bool:
        counts = sandbox.store.counts()
        wanted = {"requests": requests, "in_flight": in_flight, "keys_stored": keys_stored}
        return sandbox.closing or all(counts[name] >= number for name, number in wanted.items())

    async with sandbox.changed:
        await sandbox.changed.wait_for(enough)
    return sandbox.store.counts()


async def health() -> dict[str, str]:
    """Whether it is up."""
    return {"status": "up"}


def _sandbox(request: Request) -> Sandbox:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox
