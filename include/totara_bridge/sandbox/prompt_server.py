"""A server that ends when it is told to: uvicorn's own looks ten times a second, and then sleeps first of all."""

import asyncio
import itertools
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import uvicorn

_TICK = 0.1  # seconds, as uvicorn has it


class PromptServer(uvicorn.Server):
    """uvicorn's server."""

    def __init__(self, config: uvicorn.Config) -> None:
        """Not listening yet: see ``run``."""
        super().__init__(config)
        self.ready = threading.Event()  #: it listens, or has ended
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Let it end, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Serve until it is told to end."""
        self._loop = asyncio.get_running_loop()
        for tick in itertools.count():
            if await self.on_tick(tick):
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _TICK)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nobody any more, and end once everybody was answered, or is still waiting when the time is up."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:
                    await asyncio.sleep(_TICK / 20)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()


class InThread:
    """A server in a thread, on a socket of its own, for ``with``."""

    def __init__(self, server: PromptServer, listening: socket.socket, *, name: str) -> None:
        """Nothing runs until it is entered."""
        self._server = server
        self._socket = listening
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self) -> Self:
        """Start, and return once it answers."""
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            raise RuntimeError(f"The server {self._thread.name} did not start: see the log above.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, once everybody was answered."""
        self._server.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._server.ready.set()
