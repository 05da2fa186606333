"""`python -m benchmarks.purge_task DATABASE`: what the purge task does, in a process of its own.

Says that it is ready, waits for a line, purges until nothing is left to purge or there is no more to read, and prints
what it did.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from benchmarks.server import Server
from totara_bridge.purge import Asked, purge
from totara_bridge.staging.engine import staging_engine


def main() -> None:
    """Purge once, when told to."""
    engine, stop = staging_engine(sys.argv[1], connections=2), threading.Event()
    print("ready", flush=True)
    sys.stdin.readline()
    reading = threading.Thread(target=_read_to_the_end, args=(stop,), daemon=True)
    reading.start()
    begun = time.monotonic()
    purged = purge(engine, Asked("benchmark", by_hand=False), now=datetime.now(UTC), stop=stop)
    engine.dispose()
    print(json.dumps({"seconds": time.monotonic() - begun, **purged.counts}), flush=True)


def _read_to_the_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


@contextmanager
def purging(server: Server, database: str) -> Iterator[subprocess.Popen[str]]:
    """A purge that is at work; it ends when its standard input is closed, at the latest here."""
    command = [sys.executable, "-m", "benchmarks.purge_task", server.url(database).render_as_string()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        yield process
        process.stdin.close()
        process.stdout.read()


if __name__ == "__main__":
    main()
