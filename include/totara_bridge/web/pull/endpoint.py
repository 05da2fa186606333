"""From a request to an answer: read it, let it in, wait for the database in a thread, and say in words what failed."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import parse_qsl

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.printable import one_line
from totara_bridge.staging.api_token import Caller, Scope
from totara_bridge.web.problem import PRIVATE, Problem, misconfigured, refusal
from totara_bridge.web.pull import gate
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.streamed import Streamed
from totara_bridge.web.service import Service

log = logging.getLogger(__name__)

#: Bytes: more parameters than a person or a program has reason to write.
_LONGEST_QUERY = 8_000

# Python would take it for a percent sign
_BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")

#: Bytes: 3 200 for each of 5 000 acknowledgements; who has long words in other scripts in all of them sends fewer.
LONGEST_BODY = 16_000_000

Handler = Callable[[Call], Answer]


def endpoint(service: Service, scope: Scope | None, handle: Handler) -> Callable[[Request], Awaitable[Response]]:
    """What Starlette calls for a route.

    :param scope: what the token must be good for; none: anything.
    :param handle: runs in a thread, after the request was let in; its `Problem` is answered as it is.
    """

    return _Endpoint(service, scope, handle).respond


@dataclass(frozen=True)
class _Endpoint:
    service: Service
    scope: Scope | None
    handle: Handler

    async def respond(self, request: Request) -> Response:
        try:
            sha256 = gate.shown(request)  # before all else: who shows none waits for nobody
            if request.method == "POST":
                answer = await self._change(request, sha256)
            else:
                answer = await to_thread.run_sync(self._read, request, sha256, limiter=self.service.threads)
        except Problem as trouble:
            return refusal(trouble)
        except ConfigurationInvalid as error:
            log.error("The Pull API answers with 503: %s", error)
            return refusal(misconfigured())
        except Exception:
            # a path may hold line breaks
            log.exception("the Pull API failed at %s %s", request.method, one_line(request.url.path))
            return refusal(_FAILED)
        return _response(self.service, answer, alone=request.method == "HEAD")

    async def _change(self, request: Request, sha256: bytes) -> Answer:
        service, threads, within = self.service, self.service.threads, self.service.body_within
        # before the body is read: who has no token is to send none
        caller = await to_thread.run_sync(self._admit, request, sha256, limiter=threads)
        async with (
            _room(service.bodies_of[caller.name], within, _too_many_of_one()),
            _room(service.bodies, within, _too_many()),
        ):
            body = await _body(service, request)
            async with service.changes:
                return await to_thread.run_sync(self._serve, request, caller, body, limiter=threads)

    def _read(self, request: Request, sha256: bytes) -> Answer:
        return self._serve(request, self._admit(request, sha256))

    def _admit(self, request: Request, sha256: bytes) -> Caller:
        address, now = gate.address_of(request), self.service.clock()
        with self.service.look() as connection:
            return gate.let_in(connection, sha256=sha256, address=address, scope=self.scope, now=now)

    def _serve(self, request: Request, caller: Caller, body: bytes = b"") -> Answer:
        accept, content_type = request.headers.get("accept", ""), request.headers.get("content-type", "")
        query, now = _query(request), self.service.clock()
        return self.handle(Call(self.service, caller, now, request.path_params, query, accept, content_type, body))


_FAILED = Problem(500, "internal-error", "The bridge has failed at this, and its log says why. Nothing was changed.")


def _query(request: Request) -> list[tuple[str, str]]:
    written = request.scope["query_string"]
    if len(written) > _LONGEST_QUERY:
        raise Problem(414, "query-too-long", f"The query has more than {_LONGEST_QUERY} bytes: ask for less at once.")
    if not _BROKEN_PERCENT.search(written):
        with suppress(ValueError):
            return parse_qsl(written.decode("ascii"), keep_blank_values=True, errors="strict")
    raise Problem(400, "invalid-query", "The query is not valid percent-encoded UTF-8: encode it so.")


@asynccontextmanager
async def _room(places: CapacityLimiter, within: float, full: Problem) -> AsyncIterator[None]:
    """Wait until one of the places is free, but no longer than for a body itself."""
    try:
        async with asyncio.timeout(within):
            await places.acquire()
    except TimeoutError:
        raise full from None
    try:
        yield
    finally:
        places.release()


def _too_many_of_one() -> Problem:
    return Problem(
        429,
        "too-many-requests",
        "This caller sends the bridge too many bodies at the same time: nothing of this was recorded, send it again "
        "in half a minute, one after the other.",
        headers=_LATER,
    )


def _too_many() -> Problem:
    return Problem(
        503,
        "unavailable",
        "Too many others send the bridge something now: nothing was recorded, send it again in half a minute.",
        headers=_LATER,
    )


# the body that comes after all would be taken for a request
_LATER = {"Retry-After": "30", "Connection": "close"}


async def _body(service: Service, request: Request) -> bytes:
    parts, size = [], 0
    try:
        async with asyncio.timeout(service.body_within):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > LONGEST_BODY:
                    raise Problem(
                        413, "body-too-large", f"The body has more than {LONGEST_BODY} bytes: send it in parts."
                    )
    except TimeoutError:
        raise Problem(
            408,
            "body-too-slow",
            f"The body did not come within {service.body_within:g} seconds: send it in parts.",
            headers={"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise Problem(400, "body-incomplete", "The body did not come to its end: send it again.") from None
    return b"".join(parts)


def _response(service: Service, answer: Answer, *, alone: bool) -> Response:
    """The response.

    :param alone: the body is not to be sent: then nothing is read for a stream.
    """
    headers = {**answer.headers, **PRIVATE}
    if isinstance(answer.body, bytes):
        return Response(answer.body, answer.status, headers, answer.media_type)
    body = _chunks(service, iter(()) if alone else answer.body)
    return Streamed(body, answer.status, headers, answer.media_type)


async def _chunks(service: Service, body: Iterator[bytes]) -> AsyncIterator[bytes]:
    while chunk := await to_thread.run_sync(next, body, b"", limiter=service.threads):
        yield chunk
