"""A request to the control panel has a short body, or none is read: FastAPI reads it before it asks for a login."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from totara_bridge.web.problem import Problem, refusal

#: Bytes: many times what the page sends.
LONGEST_BODY = 1 << 20

_SENTENCE = f"The body has more than {LONGEST_BODY} bytes: ask for less at once."


class Limited:
    """Middleware: what is longer is refused, as soon as that is known."""

    def __init__(self, app: ASGIApp) -> None:
        """Around this app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, piece by piece."""
        if _announced(scope) > LONGEST_BODY:
            refused = refusal(Problem(413, "body-too-large", _SENTENCE, headers={"Connection": "close"}))
            await refused(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LONGEST_BODY:  # it did not say so before
                raise HTTPException(413, _SENTENCE, {"Connection": "close"})
            return message

        await self._app(scope, counted, send)


def _announced(scope: Scope) -> int:
    """The length that the request's head says; 0: it says none."""
    said = next((value for name, value in scope.get("headers", ()) if name == b"content-length"), b"0")
    return int(said[:20])  # the server has let through digits only
