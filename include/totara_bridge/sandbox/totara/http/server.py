"""The sandbox Totara in a real server on loopback: by itself, or in a thread for the length of a test."""

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import uvicorn
from sqlalchemy import Engine

from totara_bridge.sandbox.loopback import OpenProtocol, listen
from totara_bridge.sandbox.prompt_server import PromptServer
from totara_bridge.sandbox.totara.http.app import create_app
from totara_bridge.sandbox.totara.http.site import Site
from totara_bridge.sandbox.totara.http.tokens import REST_TOKEN


class Server(PromptServer):
    """The server of one site."""

    def __init__(self, site: Site) -> None:
        """Not listening yet: see ``run``."""
        self.ready = threading.Event()
        app = create_app(site)
        super().__init__(
            uvicorn.Config(app, http=OpenProtocol, ws="none", loop="asyncio", lifespan="off", log_config=None)
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.ready.set()


class SandboxTotara:
    """A running sandbox Totara, for ``with``: its address, and the site to switch.

    :param engine: the database made by ``sandbox.totara.schema``; what happens there shows in the next answer.
    :param clock: the site's present in Unix seconds.
    :param port: to come back at the same address; 0: a free one.
    """

    token = REST_TOKEN

    def __init__(
        self, engine: Engine, *, prefix: str = "ttr_", clock: Callable[[], float] = time.time, port: int = 0
    ) -> None:
        """Nothing runs until it is entered."""
        self._socket = listen(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.site = Site(engine, prefix=prefix, clock=clock)
        self.site.switches.site_url = self.url
        self._server = Server(self.site)
        self._thread = threading.Thread(target=self._run, name="sandbox-totara")

    def __enter__(self) -> Self:
        """Start, and return once it answers."""
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            raise RuntimeError("The sandbox Totara did not start: see the log above.")
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
