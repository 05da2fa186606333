"""The sandbox Oracle in a real server on loopback: by itself, or in a thread for the length of a test."""

import socket
import tempfile
from pathlib import Path
from types import TracebackType

import uvicorn

from totara_bridge.sandbox.loopback import OpenProtocol, listen
from totara_bridge.sandbox.oracle.app import COMPLETIONS_PATH, TOKEN_PATH, create_app
from totara_bridge.sandbox.oracle.completions import Sandbox
from totara_bridge.sandbox.oracle.orders import Orders
from totara_bridge.sandbox.oracle.store import Store
from totara_bridge.sandbox.oracle.tokens import Tokens
from totara_bridge.sandbox.prompt_server import InThread, PromptServer

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105  the sandbox's own


class Server(PromptServer):
    """The server; when it is told to stop, requests that hang go on and end."""

    def __init__(self, data: Path, *, client_id: str, client_secret: str) -> None:
        """Not listening yet: see ``run``."""
        self._data = data
        self._tokens = Tokens(client_id, client_secret)
        self._sandbox: Sandbox | None = None
        app = create_app(self._open)
        super().__init__(
            uvicorn.Config(app, http=OpenProtocol, ws="none", loop="asyncio", lifespan="on", log_config=None)
        )

    def _open(self) -> Sandbox:
        self._sandbox = Sandbox(Store(self._data), self._tokens)
        return self._sandbox

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, whatever hangs."""
        if self._sandbox is not None:
            await self._sandbox.close()
        await super().shutdown(sockets)


class SandboxOracle(InThread, Orders):
    """A running sandbox, for ``with``: the addresses to give the bridge, and a test's ways to order and ask.

    :param data: the file of what was received, to be shared by one sandbox after another; none: a new one.
    :param port: to come back at the same address; 0: a free one.
    """

    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET
    path = COMPLETIONS_PATH

    def __init__(self, data: Path | None = None, *, port: int = 0) -> None:
        """Nothing runs until it is entered."""
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-oracle-") if data is None else None
        file = data or Path(self._folder.name if self._folder else "") / "oracle.sqlite"
        listening = listen(port)
        server = Server(file, client_id=self.client_id, client_secret=self.client_secret)
        super().__init__(server, listening, name="sandbox-oracle")
        self.port: int = listening.getsockname()[1]
        Orders.__init__(self, f"http://127.0.0.1:{self.port}")
        self.token_url = self.url + TOKEN_PATH

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; requests that hang go on and end."""
        super().__exit__(kind, error, trace)
        if self._folder is not None:
            self._folder.cleanup()
