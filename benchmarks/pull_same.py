"""That the bridge, its peer and COPY serve the same, and how long a stream of it takes."""

import http.client
import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from benchmarks.pull_pages import Side, begin, of_copy
from benchmarks.pull_rows import Pulled
from benchmarks.pull_server import Serving
from benchmarks.server import Server

_TIMES = {"timeenrolled", "timestarted", "timecompleted", "changedAt", "acknowledgedAt"}
_CHECKED = 1_000  #: items at each position


def require_same(server: Server, pulled: Pulled, bridge: Serving, peer: Serving, positions: Sequence[int]) -> None:
    """Compare what all three say of the same items.

    :raises SystemExit: they differ.
    """
    for after in positions:
        ours = _items(bridge, f"{bridge.bridge}/completions?limit={_CHECKED}&cursor={begin(after)}", pulled.token)
        theirs = _items(peer, f"{peer.peer}/completions?limit={_CHECKED}&cursor={after}", pulled.token)
        copied = [
            json.loads(line, object_hook=_with_times) for line in _copied(of_copy(server, pulled, _CHECKED), after)
        ]
        if len(ours) < _CHECKED or not ours == copied == theirs:
            raise SystemExit(f"After {after} the bridge, its peer and COPY serve different items.")


def _items(serving: Serving, path: str, token: str) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
    connection.request("GET", path, headers={"X-Api-Key": token})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} is answered with {answer.status}: {content.decode()}")
    items: list[dict[str, Any]] = json.loads(content, object_hook=_with_times)["items"]
    return items


def _with_times(told: dict[str, Any]) -> dict[str, Any]:
    """Moments instead of their text: pydantic ends it with Z, PostgreSQL with +00:00."""
    return {name: datetime.fromisoformat(value) if value and name in _TIMES else value for name, value in told.items()}


def _copied(side: Side, after: int) -> Sequence[str]:
    statement = f"COPY ({side.what.replace('{cursor}', str(after))}) TO STDOUT"
    with psycopg.connect(side.where) as connection, connection.cursor().copy(statement.encode()) as rows:
        return [row[0] for row in rows.rows()]


def stream(serving: Serving, pulled: Pulled, *, after: int = 0, expected: int) -> float:
    """Fetch all that comes after a position as NDJSON; seconds.

    :raises SystemExit: something is missing.
    """
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=600)
    begun, lines = time.monotonic(), 0
    headers = {"X-Api-Key": pulled.token, "Accept": "application/x-ndjson"}
    connection.request("GET", f"{serving.bridge}/completions?cursor={begin(after)}", headers=headers)
    answer = connection.getresponse()
    while chunk := answer.read1(1 << 18):
        lines += chunk.count(b"\n")
    connection.close()
    if answer.status != 200 or lines != expected:
        raise SystemExit(f"A stream of {expected} completions is answered with {answer.status} and {lines} lines.")
    return time.monotonic() - begun


def copy(server: Server, pulled: Pulled) -> float:
    """Copy everything with one statement; seconds."""
    begun, lines = time.monotonic(), 0
    side = of_copy(server, pulled, None)
    statement = f"COPY ({side.what.replace('{cursor}', '0')}) TO STDOUT"
    with psycopg.connect(side.where) as connection, connection.cursor().copy(statement.encode()) as rows:
        for _ in rows:
            lines += 1
    if lines != pulled.completions:
        raise SystemExit(f"COPY of {pulled.completions} completions gave {lines} lines.")
    return time.monotonic() - begun
