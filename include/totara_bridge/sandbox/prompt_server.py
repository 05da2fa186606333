"""A server that ends when it is told to: uvicorn's own looks ten times a second, and then sleeps first of all."""

import asyncio
import itertools
import socket
from contextlib import suppress

import uvicorn

_TICK = 0.1  # seconds, as uvicorn has it


class PromptServer(uvicorn.Server):
    """uvicorn's server."""

    def __init__(self, config: uvicorn.Config) -> None:
        """Not listening yet: see ``run``."""
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Let it end, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._told.set)

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
