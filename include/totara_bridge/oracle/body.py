"""Reading an answer's body: no more than a limit, and not for ever even if it comes byte by byte."""

import time

import requests
import urllib3

_PIECE = 1 << 16


def read_body(answer: requests.Response, *, seconds: float, limit: int) -> bytes:
    """The body of an answer that was asked for with ``stream=True``, cut after ``limit`` bytes.

    :param seconds: when they have passed since the head came, what is still missing is not waited for.
    :raises requests.Timeout: it did not come in time.
    :raises requests.ConnectionError: the connection broke before its end, or it cannot be unpacked.
    """
    until = time.monotonic() + seconds
    body = bytearray()
    try:
        while len(body) < limit and (piece := answer.raw.read1(_PIECE, decode_content=True)):
            body += piece
            if time.monotonic() > until:
                raise requests.Timeout("the body came too slowly")
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.Timeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error
    return bytes(body[:limit])
