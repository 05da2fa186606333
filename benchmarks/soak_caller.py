"""`python -m benchmarks.soak_caller PORT TOKEN CALLERS`: systems that pull all day, in one process.

Each follows a cursor page by page and does what else there is to do between; what comes is read as JSON and must be in
order. They go on until there is no more to read from standard input; then what came of it is printed as JSON.
"""

import http.client
import json
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from totara_bridge.web.pull.app import PREFIX

_LIMITS = (1, 20, 100, 500)
_MOST_ERRORS = 20  #: that are told
_BEGIN = {"completions": "since=2020-01-01", "users": "site=sbx"}
_NDJSON = "application/x-ndjson"


class Caller:
    """One system with one kept-alive connection."""

    def __init__(self, port: int, token: str) -> None:
        """Nothing was asked yet."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"X-Api-Key": token}
        self._cursors: dict[str, str | None] = {"completions": None, "users": None}
        self._items: list[dict[str, Any]] = []
        self.took: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        # a job that is there more often is done more often
        self._jobs: list[Callable[[], None]] = [
            *[lambda: self._page("completions")] * 6,
            lambda: self._page("users"),
            self._acknowledge,
            self._one,
            self._stream,
        ]

    def call(self, stop: threading.Event) -> None:
        """Ask, until told to stop."""
        while not stop.is_set():
            try:
                random.choice(self._jobs)()
            except (OSError, http.client.HTTPException, ValueError, KeyError, LookupError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                self._connection.close()  # the next request opens it again
        self._connection.close()

    def _page(self, feed: str) -> None:
        cursor = self._cursors[feed]
        where = f"cursor={cursor}" if cursor else _BEGIN[feed]
        found = json.loads(self._ask(f"page of {feed}", f"/{feed}?limit={random.choice(_LIMITS)}&{where}"))
        self._require_order(found["items"])
        self._cursors[feed] = found["cursor"] if found["more"] else None  # who has everything begins again
        if feed == "completions":
            self._items = found["items"]

    def _acknowledge(self) -> None:
        said = [
            {"id": each["id"], "version": each["version"], "status": "processed", "reference": f"R-{each['version']}"}
            for each in self._items
        ]
        if said:
            answered = json.loads(self._ask("acknowledgements", "/acknowledgements", body=json.dumps(said)))
            self._require(len(answered["results"]) == len(said), "not every acknowledgement has a result")

    def _one(self) -> None:
        if self._items:
            wanted = random.choice(self._items)
            found = json.loads(self._ask("one completion", f"/completions/{wanted['id']}"))
            self._require(found["version"] >= wanted["version"], "a completion went back to an older version")

    def _stream(self) -> None:
        cursor = self._cursors["completions"]
        where = f"cursor={cursor}" if cursor else _BEGIN["completions"]
        lines = self._ask("stream", f"/completions?{where}", accept=_NDJSON).splitlines()
        self._require_order([json.loads(each) for each in (*lines[:1], *lines[-1:])])

    def _ask(self, what: str, path: str, *, body: str | None = None, accept: str = "application/json") -> bytes:
        begun = time.monotonic()
        headers = {**self._headers, "Accept": accept} | ({"Content-Type": "application/json"} if body else {})
        self._connection.request("POST" if body else "GET", PREFIX + path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        self._require(answer.status == 200, f"{what}: {answer.status} {content[:300]!r}")
        self.took[what].append(time.monotonic() - begun)
        return content

    def _require_order(self, items: list[dict[str, Any]]) -> None:
        versions = [each["version"] for each in items]
        self._require(versions == sorted(versions), "a page is not in the order of the changes")

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise ValueError(otherwise)


def main() -> None:
    """Call until there is no more to read."""
    port, token, number = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    stop, callers = threading.Event(), [Caller(port, token) for _ in range(number)]
    with ThreadPoolExecutor(number) as running:
        calling = [running.submit(each.call, stop) for each in callers]
        sys.stdin.read()
        stop.set()
        for each in calling:
            each.result()
    took: dict[str, list[float]] = defaultdict(list)
    for caller in callers:
        for what, seconds in caller.took.items():
            took[what] += seconds
    errors = [error for caller in callers for error in caller.errors]
    print(json.dumps({"took": took, "errors": len(errors), "told": errors[:_MOST_ERRORS]}))


if __name__ == "__main__":
    main()
