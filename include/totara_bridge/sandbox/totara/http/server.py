"""The sandbox Totara in a real server on loopback: by itself, or in a thread for the length of a test."""

import time
from collections.abc import Callable

import uvicorn
from sqlalchemy import Engine

from totara_bridge.sandbox.loopback import OpenProtocol, listen
from totara_bridge.sandbox.prompt_server import InThread, PromptServer
from totara_bridge.sandbox.totara.http.app import create_app
from totara_bridge.sandbox.totara.http.site import Site
from totara_bridge.sandbox.totara.http.tokens import REST_TOKEN


class Server(PromptServer):
    """The server of one site."""

    def __init__(self, site: Site) -> None:
        """Not listening yet: see ``run``."""
        app = create_app(site)
        super().__init__(
            uvicorn.Config(app, http=OpenProtocol, ws="none", loop="asyncio", lifespan="off", log_config=None)
        )


class SandboxTotara(InThread):
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
        listening = listen(port)
        self.port: int = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.site = Site(engine, prefix=prefix, clock=clock)
        self.site.switches.site_url = self.url
        super().__init__(Server(self.site), listening, name="sandbox-totara")
