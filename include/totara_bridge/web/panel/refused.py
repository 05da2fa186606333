"""What the page is told when it is refused or something failed: always a problem document with a sentence."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from totara_bridge.errors import BridgeError, ConfigurationInvalid
from totara_bridge.web.problem import Problem, refusal

log = logging.getLogger(__name__)


async def problem(_: Request, error: Problem) -> Response:
    """What a handler said itself."""
    return refusal(error)


async def invalid(_: Request, error: Exception) -> Response:
    """What is asked for cannot be; its sentence says what to change."""
    return refusal(Problem(400, "invalid", str(error)))


async def misconfigured(_: Request, error: Exception) -> Response:
    """Nobody can be answered before the bridge's settings are mended."""
    log.error("The control panel answers with 503: %s", error)
    return refusal(Problem(503, "misconfigured", str(error)))


async def not_valid(_: Request, error: RequestValidationError) -> Response:
    """What was sent has another form; each mistake with its place."""
    errors = [
        {"pointer": _pointer(each["loc"]), "detail": str(each["msg"]).removeprefix("Value error, ")}
        for each in error.errors()
    ]
    words = "; ".join(f"{each['pointer']}: {each['detail']}" for each in errors)
    return refusal(Problem(400, "invalid", f"{words}.", errors))


async def failed(request: Request, error: Exception) -> Response:
    """What nobody has foreseen."""
    log.error("the control panel failed at %s %s", request.method, request.url.path, exc_info=error)
    return refusal(Problem(500, "internal-error", "The bridge has failed at this; the API server's log says why."))


#: For `FastAPI`.
HANDLERS: dict[Any, Any] = {
    Problem: problem,
    RequestValidationError: not_valid,
    ConfigurationInvalid: misconfigured,
    BridgeError: invalid,
    Exception: failed,
}


def _pointer(place: Sequence[object]) -> str:
    """Where in the request: the name of a parameter, or the place in the body."""
    return ".".join(str(part) for part in place if part not in ("body", "query", "path"))
