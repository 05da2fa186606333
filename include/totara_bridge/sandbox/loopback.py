"""Listening on loopback, by HTTP/1.1 whose connections the application may close or write to itself."""

import asyncio
import socket

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Where an application finds the `asyncio.Transport` of a request in its scope.
TRANSPORT = "sandbox.transport"


class OpenProtocol(H11Protocol):
    """uvicorn's, that gives the application its transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has connected."""
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, TRANSPORT: transport}, receive, send)

        self.app = with_transport


def listen(port: int = 0) -> socket.socket:
    """A socket on loopback; port 0 takes a free one."""
    # The protocol must be named: asyncio sets TCP_NODELAY only then, and without it each answer takes 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    return listening
