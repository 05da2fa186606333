"""A stream that breaks off does not look whole: its connection is closed without an end, whatever is around the app."""

import logging
from contextlib import suppress

from starlette.responses import StreamingResponse
from starlette.types import Send

from totara_bridge.web.problem import Problem
from totara_bridge.web.pull.stream import BrokenOff

log = logging.getLogger(__name__)


class Streamed(StreamingResponse):
    """Chunks, and an end only after the last of them."""

    async def stream_response(self, send: Send) -> None:
        """Send it.

        What is expected to break it off, the log has in one sentence; anything else is raised.
        """
        try:
            await super().stream_response(send)
        except (BrokenOff, Problem) as error:
            log.warning("A stream was broken off: %s", error.detail if isinstance(error, Problem) else error)
            await _close_without_end(send)
        except Exception:
            await _close_without_end(send)
            raise


async def _close_without_end(send: Send) -> None:
    """Have the server close the connection, so that whoever reads can tell that this is not all.

    To raise would do where nothing is around the app. In Airflow there is Starlette's ``BaseHTTPMiddleware``: it sends
    the final chunk first and raises then, and a stream that was cut off would be taken for all there is. This message
    every layer passes on, and sends no final chunk after it; uvicorn, which does not know it, refuses it with a
    ``RuntimeError`` and closes the connection.
    """
    with suppress(RuntimeError):  # uvicorn's, if no layer is between; without an end it closes the connection as well
        await send({"type": "http.response.pathsend", "path": ""})
