"""What a request that meets a fault gets instead of its answer."""

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from totara_bridge.sandbox.loopback import TRANSPORT
from totara_bridge.sandbox.totara.http.site import Fault


async def instead(fault: Fault | None) -> Response | None:
    """The answer that was ordered, once its delay is over; none: the true one."""
    if fault is None:
        return None
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.close:
        return HangUp()
    if fault.status is None:
        return None
    headers = {**dict(fault.headers), "Content-Type": fault.content_type}
    return Response(fault.body, fault.status, headers)


class HangUp(Response):
    """No answer: the connection closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait until the connection is gone."""
        scope[TRANSPORT].abort()
        while (await receive())["type"] != "http.disconnect":
            pass
