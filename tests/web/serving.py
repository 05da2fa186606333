"""An app as a server has it: a real one, over real HTTP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import uvicorn
from starlette.applications import Starlette

from totara_bridge.sandbox.prompt_server import PromptServer


@contextmanager
def serving(app: Starlette, *, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """A server on loopback; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = PromptServer(uvicorn.Config(app, log_level="warning", lifespan=lifespan, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.stop()
        thread.join()
        listening.close()
