"""The Pull API alone, as it is run: uvicorn in a process of its own, that a test may kill and start again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import requests

from tests.ended import ended
from tests.free_port import free_port
from totara_bridge.web.pull.app import PREFIX

#: Seconds for it to begin, on a busy machine.
_PATIENCE = 60.0


class PullServer:
    """The server at one address, whichever process it is."""

    def __init__(
        self,
        database: str,
        log: Path,
        *options: str,
        program: str = "totara_bridge.web.pull:alone",
        folder: Path | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Start it.

        :param options: more for uvicorn.
        :param program: what makes the app, in this folder and environment; none: those of the tests.
        """
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}{PREFIX}"
        self._environment = {**environment, "TOTARA_BRIDGE_DATABASE_URL": database}
        self._program, self._folder = program, folder
        self._log = log
        self._options = options
        self.start()

    def start(self) -> None:
        """Start it again; returns at once."""
        program = [sys.executable, "-m", "uvicorn", "--factory", self._program]
        there = ["--host", "127.0.0.1", "--port", str(self._port), "--log-level", "warning"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*program, *there, *self._options],
                env=self._environment, cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            assert self._process.poll() is None, f"the Pull server has ended: see {self._log}"
            try:
                requests.get(self.address, timeout=_PATIENCE).close()
            except requests.ConnectionError:
                assert time.monotonic() < deadline, f"the Pull server does not begin: see {self._log}"
                time.sleep(0.05)
            else:
                return

    def workers(self) -> list[psutil.Process]:
        """Of several: those that serve."""
        children = psutil.Process(self._process.pid).children()
        return [each for each in children if not ended(each) and "spawn_main" in " ".join(each.cmdline())]

    def ask_to_end(self) -> None:
        """Tell it to end; returns at once."""
        self._process.terminate()

    def end(self) -> int:
        """Wait until it has ended; how it did."""
        return self._process.wait()

    def kill(self) -> None:
        """End it at once with SIGKILL; it must run until then."""
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL, f"the Pull server had ended before: see {self._log}"

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._process.terminate()
        self._process.wait()
