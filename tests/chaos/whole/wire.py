"""A wire between the bridge and a system beside it, that a test can cut in each of the ways in which wires are cut."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

#: Linux's way to end a connection with a reset: whoever closes it lingers for no time.
_AT_ONCE = struct.pack("ii", 1, 0)
_CHUNK = 65536


class Cut(StrEnum):
    """How a wire is."""

    NOT = "not cut"
    REFUSED = "refused"  #: nobody listens; what was open is reset
    RESET = "reset"  #: whoever connects is reset, and so is what was open
    SILENT = "silent"  #: connections are taken, and nothing gets through; once it is mended, all of it does
    UNANSWERED = "unanswered"  #: what is asked gets through, no answer does; once it is mended, what was open is reset


class Wire:
    """Listens on loopback and passes everything on; for ``with``."""

    def __init__(self, target: int, port: int = 0) -> None:
        """Nothing is passed on yet.

        :param target: the port of the system.
        :param port: where it listens; 0: at a free port.
        """
        self._target = target
        self._listening = _listen(port)
        self.port: int = self._listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"wire to {target}")
        self._cut = Cut.NOT
        self._asked, self._answered = asyncio.Event(), asyncio.Event()  #: set while that direction gets through
        self._open: set[asyncio.StreamWriter] = set()
        self._taken: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        self._do(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and every connection with it."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self, how: Cut) -> None:
        """Cut it so."""
        self._do(self._be(how))

    def mend(self) -> None:
        """Be as if nothing had been."""
        self._do(self._be(Cut.NOT))

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _begin(self) -> None:
        self._asked.set()
        self._answered.set()
        self._server = await asyncio.start_server(self._take, sock=self._listening)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._listening.close()
        self._reset_all()
        for task in self._taken:
            task.cancel()
        await asyncio.gather(*self._taken, return_exceptions=True)

    async def _be(self, how: Cut) -> None:
        was, self._cut = self._cut, how
        for event, closed in ((self._asked, {Cut.SILENT}), (self._answered, {Cut.SILENT, Cut.UNANSWERED})):
            event.clear() if how in closed else event.set()
        if how in (Cut.REFUSED, Cut.RESET) or was is Cut.UNANSWERED:
            self._reset_all()
        if self._server is not None and how is Cut.REFUSED:
            self._server.close()
            self._server = None
            self._listening = _listen(self.port)  # nobody else gets the port; nobody listens there either
        elif self._server is None:
            self._server = await asyncio.start_server(self._take, sock=self._listening)

    def _reset_all(self) -> None:
        for writer in self._open:
            _reset(writer)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._taken.add(task)
        self._open.add(writer)
        try:
            if self._cut in (Cut.RESET, Cut.REFUSED):  # refused: it was taken just before
                _reset(writer)
            else:
                await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            writer.close()
            self._open.discard(writer)
            self._taken.discard(task)

    async def _pass_on(self, asks: asyncio.StreamReader, to_asker: asyncio.StreamWriter) -> None:
        await self._asked.wait()
        answers, to_system = await asyncio.open_connection("127.0.0.1", self._target)
        self._open.add(to_system)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(asks, to_system, self._asked))
                both.create_task(_pump(answers, to_asker, self._answered))
        except* OSError:
            _reset(to_asker)
        finally:
            to_system.close()
            self._open.discard(to_system)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, passes: asyncio.Event) -> None:
    """Pass on what comes, while it may pass, to its end."""
    while chunk := await source.read(_CHUNK):
        await passes.wait()
        sink.write(chunk)
        await sink.drain()
    await passes.wait()
    if sink.can_write_eof() and not sink.is_closing():
        sink.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    return listening
