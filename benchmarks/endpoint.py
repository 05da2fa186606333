"""`python -m benchmarks.endpoint SECONDS`: an Oracle that answers every request after so long, and does nothing else.

It costs so little that what is measured is the sender. Prints its port.
"""

import asyncio
import sys

_TOKEN = b'{"access_token":"t","token_type":"Bearer","expires_in":3600}'
_EMPTY = b""


class _Connection(asyncio.Protocol):
    """One kept-alive connection; the requests on it come one after the other."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = next(
            int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        if len(body) < length:
            return
        self._received.clear()
        if b"/token" in head.split(b"\r\n", 1)[0]:
            self._answer(_TOKEN)
        elif self._seconds:
            asyncio.get_running_loop().call_later(self._seconds, self._answer, _EMPTY)
        else:
            self._answer(_EMPTY)

    def _answer(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        if self._transport is not None:
            self._transport.write(head.encode() + body)


async def _serve(seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
