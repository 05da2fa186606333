"""The completions endpoint: checks, stores each new key once, answers per item, or goes wrong as ordered."""

import asyncio
import gzip
import json
import zlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from totara_bridge.sandbox.loopback import TRANSPORT
from totara_bridge.sandbox.oracle.faults import Action, Faults
from totara_bridge.sandbox.oracle.limiter import Limiter
from totara_bridge.sandbox.oracle.spoilt import HangUp, on_the_wire, ordered, spoilt
from totara_bridge.sandbox.oracle.store import Sent, Store
from totara_bridge.sandbox.oracle.tokens import Settings, Tokens


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
        self._limiter = Limiter()
        self.changed = asyncio.Condition()  #: notified when a request begins or ends
        self._late: dict[asyncio.Transport, bytes] = {}  #: answers that come once more, by connection
        self._closing = asyncio.Event()
        self._released = asyncio.Event()

    async def receive(self, request: Request) -> Response:
        """One request to the completions endpoint, on record before it is looked at."""
        wire = await request.body()
        body = _decoded(request, wire)
        items = _items_of(body)
        number = self.store.begin(request.headers.get("idempotency-key"), len(wire), items)
        await self._tell()
        transport: asyncio.Transport = request.scope[TRANSPORT]
        transport.write(self._late.pop(transport, b""))
        status: int | None = None
        try:
            answer = await self._answer(request, body, number, items)
            status = None if isinstance(answer, HangUp) else answer.status_code
            answer.headers.setdefault("X-Request-Id", f"sbx-{number}")
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
            return ordered(action)
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
        if self._limiter.refuses(self.settings.requests_per_second):
            return _too_many(self.settings.retry_after)
        whole, each = self.faults.meeting_request("completions", size=len(body), items=items)
        await self._pause(self.settings.latency + whole.delay)
        if whole.hang == "before":
            await self._hang()
        if whole.close == "before":
            return HangUp()
        if whole.answers_itself and not whole.store:
            return ordered(whole)
        answer = _malformed(request, body, items) or self._store(number, items, each)
        if whole.hang == "after":
            await self._hang()
        if whole.twice == "late":
            self._late[request.scope[TRANSPORT]] = on_the_wire(answer)
        return spoilt(answer, whole)

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


def _decoded(request: Request, wire: bytes) -> bytes:
    """The body as it was before it was compressed; what cannot be told is nothing, and refused as malformed."""
    if request.headers.get("content-encoding", "identity") == "identity":
        return wire
    try:
        return gzip.decompress(wire)
    except (OSError, EOFError, zlib.error):
        return b""


def _too_many(retry_after: int | None) -> Response:
    answer = _error(429, "SBX-429", "Too many requests: send fewer in a second.")
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


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


def _error(status: int, code: str, detail: str) -> Response:
    """An error as Oracle's REST resources write it."""
    details = [{"detail": detail, "o:errorCode": code, "o:errorPath": "/completions"}]
    content = {"title": "Refused", "status": str(status), "o:errorDetails": details}
    return JSONResponse(content, status, media_type="application/vnd.oracle.adf.error+json")
