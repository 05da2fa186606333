"""Servers that are pulled from, each a process of its own: the bridge alone, its peer alone, and both in Airflow."""

import http.client
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.pull_rows import Pulled
from benchmarks.server import Server
from tests.free_port import free_port
from totara_bridge.local import airflow
from totara_bridge.local.home import CHECKOUT, Home
from totara_bridge.web.pull.app import PREFIX

_PATIENCE = 240.0  #: seconds until a server answers; Airflow's takes a quarter of that

#: In Airflow's plugins folder: what the bridge is measured against, in the same process.
_PEER_PLUGIN = f"""
import sys

from airflow.plugins_manager import AirflowPlugin

sys.path.insert(0, {str(CHECKOUT)!r})


class PeerPlugin(AirflowPlugin):
    name = "pull_peer"
    if sys.argv[1:2] == ["api-server"]:
        from benchmarks import pull_peer

        fastapi_apps = [{{"app": pull_peer.app(), "url_prefix": "/peer", "name": "peer"}}]
"""


@dataclass(frozen=True)
class Serving:
    """A server that answers."""

    port: int
    bridge: str  #: the path before ``/completions`` of the bridge
    peer: str  #: the same of its peer
    process: int

    def peak_memory(self) -> float:
        """MiB of resident memory that its largest process had at most."""
        return self._memory("VmHWM")

    def memory(self) -> float:
        """MiB of resident memory that its largest process has now."""
        return self._memory("VmRSS")

    def _memory(self, what: str) -> float:
        first = psutil.Process(self.process)
        return max(_status(each.pid, what) for each in (first, *first.children(recursive=True)))


@contextmanager
def alone(server: Server, pulled: Pulled) -> Iterator[Serving]:
    """The bridge under uvicorn, one worker."""
    with _uvicorn("totara_bridge.web.pull:alone", pulled.url(server), f"{PREFIX}/status") as (port, process):
        yield Serving(port, PREFIX, "", process)


@contextmanager
def peer(server: Server, pulled: Pulled) -> Iterator[Serving]:
    """The peer under uvicorn, one worker."""
    with _uvicorn("benchmarks.pull_peer:app", pulled.url(server), "/fixed?bytes=1") as (port, process):
        yield Serving(port, "", "", process)


@contextmanager
def in_airflow(server: Server, pulled: Pulled) -> Iterator[Serving]:
    """Both in Airflow's API server, which has one worker and a metadata database of its own."""
    with TemporaryDirectory(prefix="tbb", dir="/tmp") as folder:
        home = Home(Path(folder), server.folder)
        plugins = home.root / "plugins"
        for made in (home.airflow, home.logs, plugins):
            made.mkdir()
        for plugin in (CHECKOUT / "plugins").glob("*.py"):
            shutil.copy(plugin, plugins)
        (plugins / "pull_peer_plugin.py").write_text(_PEER_PLUGIN)
        airflow.write_passwords(home)
        port = free_port()
        metadata = server.dsn(server.copy(server.empty(), "airflow"))
        surroundings = airflow.environment(home, port=port, metadata_url=metadata, staging_url=pulled.url(server))
        surroundings["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(plugins)
        program = str(Path(sys.executable).parent / "airflow")
        with (home.logs / "server.log").open("wb") as log:
            subprocess.run([program, "db", "migrate"], check=True, env=surroundings, stdout=log, stderr=log)
            command = [program, "api-server", "--workers", "1"]
            with _process(command, surroundings, port, f"{PREFIX}/status", log.fileno()) as process:
                yield Serving(port, PREFIX, "/peer", process)


@contextmanager
def _uvicorn(app: str, database: str, known: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    quiet = ["--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "--factory", app, "--port", str(port), *quiet]
    surroundings = {"TOTARA_BRIDGE_DATABASE_URL": database, "PATH": "/usr/bin:/bin"}
    with _process(command, surroundings, port, known, None) as process:
        yield port, process


@contextmanager
def _process(
    command: list[str], surroundings: Mapping[str, str], port: int, known: str, log: int | None
) -> Iterator[int]:
    """A server, once it knows the address; ended with all that it started."""
    with subprocess.Popen(command, env=surroundings, stdout=log, stderr=log, cwd=CHECKOUT) as process:
        try:
            _wait(process, port, known)
            yield process.pid
        finally:
            started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.terminate()
            process.wait()
            for each in started:
                if each.is_running():
                    each.kill()


def _wait(process: subprocess.Popen[bytes], port: int, known: str) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", known)
            if connection.getresponse().status in (200, 401):  # without a token
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise SystemExit(f"The server {' '.join(map(str, process.args))} does not answer.")  # type: ignore[arg-type]


def _status(process: int, what: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{what}:")).split()[1]) / 1024
