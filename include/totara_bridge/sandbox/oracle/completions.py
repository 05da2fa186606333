"""The completions endpoint: checks, stores each new key once, answers per item, or goes wrong as ordered."""

import asyncio
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from totara_bridge.sandbox.oracle.faults import Action, Faults
from totara_bridge.sandbox.oracle.store import Sent, Store
from totara_bridge.sandbox.oracle.tokens import Settings, Tokens

#: Where the server puts the connection's transport, so that a fault can close it.
TRANSPORT = "sandbox.transport"

_PAGE = "<!doctype html><html><head><title>Signed out</title></head><body>Please sign in again.</body></html>"


class Item(BaseModel):
    """What an item must have; whatever else it brings is kept."""

    idempotencyKey: Annotated[str, StringConstraints(min_length=1, max_length=64)]  # noqa: N815  as on the wire
    kind: Literal["completion", "correction", "withdrawal"]
    revision: int = Field(ge=1)
    userId: int  # noqa: N815
    courseId: int  # noqa: N815
    status: Literal["not_started", "in_progress", "complete", "complete_rpl"]
    timecompleted: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")] | None


class Sandbox:
    """Everything that the endpoints share; lives in the server's event loop."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        """Open for requests."""
        self.store = store
        self.tokens = tokens
        self.settings = Settings()
        self.faults = Faults()
        self.changed = asyncio.Condition()  #: notified when a request begins or ends
        self._closing = asyncio.Event()
        self._released = asyncio.Event()

    async def receive(self, request: Request) -> Response:
        """One request to the completions endpoint, on record before it is looked at."""
        body = await request.body()
        items = _items_of(body)
        number = self.store.begin(request.headers.get("idempotency-key"), len(body), items)
        await self._tell()
        status: int | None = None
        try:
            answer = await self._answer(request, body, number, items)
            status = None if isinstance(answer, HangUp) else answer.status_code
        finally:
            self.store.finish(number, status)
            await self._tell()
        return answer

    async def token(self, request: Request) -> Response:
        """One request to the token endpoint."""
        self.tokens.requests += 1
        body = await request.body()
        action, _ = self.faults.meeting_request("token", size=len(body))
        await self._pause(action.delay)
        if action.hang:
            await self._hang()
        if action.close:
            return HangUp()
        if action.answers_itself:
            return _ordered(action)
        return self.tokens.answer(dict(request.headers), body, self.settings)

    def release(self) -> None:
        """Let the requests that hang now go on."""
        self._released.set()
        self._released = asyncio.Event()

    @property
    def closing(self) -> bool:
        """Whether nothing may wait any more."""
        return self._closing.is_set()

    async def close(self) -> None:
        """Let everything that waits go on, now and from now on: the server is going."""
        self._closing.set()
        self.release()
        await self._tell()

    async def _answer(self, request: Request, body: bytes, number: int, items: list[Sent]) -> Response:
        if not self.tokens.holds(request.headers.get("authorization", "")):
            return _error(401, "SBX-401", "The access token is missing, expired or revoked.")
        whole, each = self.faults.meeting_request("completions", size=len(body), items=items)
        await self._pause(self.settings.latency + whole.delay)
        if whole.hang == "before":
            await self._hang()
        if whole.close == "before":
            return HangUp()
        if whole.answers_itself and not whole.store:
            return _ordered(whole)
        answer = _malformed(request, body, items) or self._store(number, items, each)
        if whole.hang == "after":
            await self._hang()
        return _spoilt(answer, whole)

    def _store(self, number: int, items: list[Sent], each: dict[str, Action]) -> Response:
        errors = {sent.key: error for sent in items if (error := _ordered_error(sent, each) or _invalid(sent))}
        if self.settings.empty_answers:
            if errors:
                error = next(iter(errors.values()))["error"]
                return _error(400, error["code"], error["message"])
            self.store.store(number, items)
            return Response(status_code=204)
        stored = self.store.store(number, [sent for sent in items if sent.key not in errors])
        results = [
            {"idempotencyKey": key, "status": became.word, "reference": became.reference}
            for key, became in stored.items()
        ]
        results += [{"idempotencyKey": key, **error} for key, error in errors.items() if error["status"] != "missing"]
        return JSONResponse({"results": results}, 207 if errors else 200)

    async def _pause(self, seconds: float) -> None:
        if seconds:
            try:
                await asyncio.wait_for(self._closing.wait(), seconds)
            except TimeoutError:
                return

    async def _hang(self) -> None:
        if not self.closing:
            await self._released.wait()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


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


def _items_of(body: bytes) -> list[Sent]:
    """The items that can be made out, for the record."""
    try:
        items = json.loads(body)["items"]
    except (ValueError, KeyError, TypeError):
        return []
    return [
        Sent(key, user if isinstance(user := item.get("userId"), int) else None, item)
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict) and isinstance(key := item.get("idempotencyKey"), str)
    ]


def _malformed(request: Request, body: bytes, items: list[Sent]) -> Response | None:
    if "json" not in request.headers.get("content-type", ""):
        return _error(415, "SBX-415", "The body must be application/json.")
    if not request.headers.get("idempotency-key"):
        return _error(400, "SBX-400", "The header Idempotency-Key is missing.")
    if not items or len(json.loads(body)["items"]) != len(items):
        return _error(400, "SBX-400", "The body must be {items: […]}, each with an idempotencyKey.")
    return None


def _ordered_error(sent: Sent, each: dict[str, Action]) -> dict[str, Any] | None:
    if (action := each.get(sent.key)) is None:
        return None
    return {"status": action.item, "error": {"code": action.code, "message": action.message}}


def _invalid(sent: Sent) -> dict[str, Any] | None:
    try:
        Item.model_validate(sent.item)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        return {"status": "rejected", "error": {"code": "SBX-ITEM", "message": message}}
    return None


def _ordered(action: Action) -> Response:
    if action.html:
        return HTMLResponse(_PAGE, 200, action.headers)
    status = action.status or 200
    if action.body is None or isinstance(action.body, str):
        return Response(action.body, status, action.headers)
    return JSONResponse(action.body, status, action.headers)


def _spoilt(answer: Response, action: Action) -> Response:
    if action.close == "after":
        return HangUp()
    if action.answers_itself:
        return _ordered(action)
    if action.cut is not None:
        return HangUp(answer, action.cut)
    if action.truncate is not None:
        return Response(bytes(answer.body)[: action.truncate], answer.status_code, media_type="application/json")
    return answer


def _error(status: int, code: str, detail: str) -> Response:
    """An error as Oracle's REST resources write it."""
    details = [{"detail": detail, "o:errorCode": code, "o:errorPath": "/completions"}]
    content = {"title": "Refused", "status": str(status), "o:errorDetails": details}
    return JSONResponse(content, status, media_type="application/vnd.oracle.adf.error+json")
