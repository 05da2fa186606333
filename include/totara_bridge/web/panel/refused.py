"""What the page is told when it is refused or something failed: always a problem document with a sentence."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from totara_bridge.errors import BridgeError, ConfigurationInvalid
from totara_bridge.printable import one_line
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


async def refused(_: Request, error: HTTPException) -> Response:
    """What Airflow, FastAPI or this app's middleware refuses: the page knows some of it by its very words."""
    kind = _KINDS.get(error.status_code, "refused")
    return refusal(Problem(error.status_code, kind, str(error.detail), headers=error.headers or {}))


#: By status, of what is refused elsewhere.
_KINDS = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
}


async def failed(request: Request, error: Exception) -> Response:
    """What nobody has foreseen."""
    # a path may hold line breaks
    log.error("the control panel failed at %s %s", request.method, one_line(request.url.path), exc_info=error)
    return refusal(Problem(500, "internal-error", "The bridge has failed at this; the API server's log says why."))


#: For `FastAPI`.
HANDLERS: dict[Any, Any] = {
    Problem: problem,
    HTTPException: refused,
    RequestValidationError: not_valid,
    ConfigurationInvalid: misconfigured,
    BridgeError: invalid,
    Exception: failed,
}


def _pointer(place: Sequence[object]) -> str:
    """Where in the request: the name of a parameter, or the place in the body."""
    return ".".join(str(part) for part in place if part not in ("body", "query", "path"))
