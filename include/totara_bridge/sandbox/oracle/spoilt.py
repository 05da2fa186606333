"""Answers that are not what the endpoint meant to say, down to the bytes on the connection."""

import json

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from totara_bridge.sandbox.loopback import TRANSPORT
from totara_bridge.sandbox.oracle.faults import Action

_PAGE = "<!doctype html><html><head><title>Signed out</title></head><body>Please sign in again.</body></html>"


def ordered(action: Action) -> Response:
    """The answer that was ordered instead of the true one."""
    if action.html:
        return HTMLResponse(_PAGE, 200, action.headers)
    status = action.status or 200
    if action.body is None or isinstance(action.body, str):
        return Response(action.body, status, action.headers)
    return JSONResponse(action.body, status, action.headers)


def spoilt(answer: Response, action: Action) -> Response:
    """What becomes of the true answer on its way."""
    if action.close == "after":
        return HangUp()
    if action.answers_itself:
        return ordered(action)
    if action.cut is not None:
        return HangUp(answer, action.cut)
    return _misdelivered(answer, action)


def _misdelivered(answer: Response, action: Action) -> Response:
    if action.twice == "at_once":
        return Twice(answer)
    if action.twice == "results":
        return JSONResponse({"results": 2 * json.loads(bytes(answer.body))["results"]}, answer.status_code)
    if action.truncate is not None:
        return Response(bytes(answer.body)[: action.truncate], answer.status_code, media_type="application/json")
    return answer


def on_the_wire(answer: Response) -> bytes:
    """The answer as the connection carries it."""
    head = [b"HTTP/1.1 %d" % answer.status_code, *(b"%s: %s" % header for header in answer.raw_headers)]
    return b"\r\n".join([*head, b"", bytes(answer.body)])


class HangUp(Response):
    """No answer, or its beginning only: the connection closes."""

    def __init__(self, beginning: Response | None = None, length: int = 0) -> None:
        """Close after ``length`` bytes of the body of ``beginning``, or without a word."""
        super().__init__()
        self._beginning = beginning
        self._length = length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is to be sent and wait until the connection is gone."""
        transport = scope[TRANSPORT]
        if self._beginning is None:
            transport.abort()
        else:
            head = {"type": "http.response.start", "status": self._beginning.status_code}
            await send({**head, "headers": self._beginning.raw_headers})
            body = bytes(self._beginning.body)[: self._length]
            await send({"type": "http.response.body", "body": body, "more_body": True})
            transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass


class Twice(Response):
    """An answer, and at once its very bytes again, as if another request had asked for them."""

    def __init__(self, answer: Response) -> None:
        """Answer this."""
        super().__init__(status_code=answer.status_code)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it both times."""
        await self._answer(scope, receive, send)
        scope[TRANSPORT].write(on_the_wire(self._answer))
