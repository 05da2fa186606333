"""Processes that a test starts and may kill: forked from one that has imported everything, so each begins at once."""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

#: Seconds after which what should have ended never will.
PATIENCE = 60.0

#: Forks the processes; the programs of all tests stand here, as the first list that is used is the only one.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["pytest", "tests.chaos.sender", "tests.killed_extract", "tests.web.following", "tests.web.extracting"]
)


class Forked:
    """A function that runs in a process of its own."""

    def __init__(self, run: Callable[[Any], None], orders: object) -> None:
        """Start it."""
        self._process: BaseProcess = PROCESSES.Process(target=run, args=(orders,))
        self._process.start()

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self) -> bool:
        """End it at once with SIGKILL; whether it had not ended by itself."""
        self._process.kill()
        self._process.join(PATIENCE)
        return self._process.exitcode == -signal.SIGKILL

    def terminate(self) -> None:
        """Ask it to end cleanly."""
        self._process.terminate()

    def wait(self) -> int | None:
        """How it ended, once it has: 0 is well; none: it does not."""
        self._process.join(PATIENCE)
        return self._process.exitcode

    def close(self) -> None:
        """End it, if it still runs, and forget it."""
        self.kill()
        self._process.close()
