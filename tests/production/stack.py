"""The services of docker-compose.yaml by hand: the very commands, environments and health checks, on loopback.

What a container would have of its own is put in the place of its names: an address for each service, a folder for
each home. Every service has its own environment and nothing of that of the tests.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.debian_postgres import DebianPostgres
from tests.production.compose_file import PROJECT, Service, dotenv, read
from tests.production.machine import Machine
from tests.short_lived import new_folder

#: The services of Airflow that every production bridge has, in the order in which they start best.
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")

#: Seconds until a service must be well, on two busy cores.
_PATIENCE = 300.0


class Stack:
    """The services that were started, each by the name that it was given; for ``with running()``."""

    def __init__(self, root: Path, variables: Mapping[str, str]) -> None:
        """Nothing runs yet.

        :param root: an empty folder with a short path; everything is kept there.
        :param variables: of .env, instead of what `make secrets` writes.
        """
        self.here = Machine(root)
        self.logs = self.here.folder("service-logs")  #: what each service says, ``NAME.log``
        self.variables = {**_secrets(root), **variables}
        self.postgres = DebianPostgres(
            self.here.folder("postgres"), self.here.ports["postgres"], self.secret("POSTGRES")
        )
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def address(self) -> str:
        """Of Airflow's API server."""
        return f"http://127.0.0.1:{self.here.ports['api-server']}"

    @property
    def pull_address(self) -> str:
        """Of the Pull API alone."""
        return f"http://127.0.0.1:{self.here.ports['pull']}"

    def secret(self, name: str) -> str:
        """The password of `NAME_PASSWORD`."""
        return self.variables[f"{name}_PASSWORD"]

    def staging(self, role: str = "bridge_tasks") -> str:
        """The address of the staging database for one of its roles, as psycopg takes it."""
        url = self.postgres.url("bridge", role, self.secret(role.upper()))
        return url.set(drivername="postgresql").render_as_string(hide_password=False)

    def service(self, name: str, **variables: str) -> Service:
        """A service, with its addresses and folders here.

        :param variables: of .env, for this service only.
        """
        return self.here.placed(read(self.variables | variables)[name])

    def make_databases(self) -> None:
        """Start PostgreSQL, and let it make what its container makes with its first start."""
        self.start_postgres()
        script = PROJECT / "production" / "databases.sh"
        environment = {**self.service("postgres").environment, **self.postgres.environment()}
        subprocess.run(["bash", script], env=environment, check=True)

    def start_postgres(self) -> None:
        """Start PostgreSQL as the compose file has it; returns once it takes connections."""
        self.postgres.start(**_settings(self.service("postgres").command))

    def start(self, name: str, *, called: str = "", **variables: str) -> None:
        """Start a service.

        :param called: its name here, where it runs more than once.
        :param variables: of .env, for this service only.
        """
        called = called or name
        told = self.service(name, **variables)
        environment = self.here.environment(told, called)
        with (self.logs / f"{called}.log").open("ab") as log:
            self._running[called] = subprocess.Popen(
                [*told.command, *self.here.besides(name, called)],
                env=environment,
                cwd=environment["AIRFLOW_HOME"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, name: str) -> None:
        """Run a service that ends by itself, to its good end."""
        self.start(name)
        code = self._running[name].wait(_PATIENCE)
        del self._running[name]
        assert code == 0, self.last_words(name)

    def healthy(self, name: str, *, called: str = "") -> bool:
        """Whether its own health check says so."""
        told = self.service(name)
        asked = subprocess.run(
            told.health, env=self.here.environment(told, called or name), capture_output=True, check=False
        )
        return asked.returncode == 0

    def until_healthy(self, name: str, *, called: str = "") -> None:
        """Return once it is."""
        deadline = time.monotonic() + _PATIENCE
        while not self.healthy(name, called=called):
            assert self.runs(called or name), self.last_words(called or name)
            assert time.monotonic() < deadline, f"{called or name} does not get well: {self.last_words(called or name)}"
            time.sleep(0.5)

    def runs(self, called: str) -> bool:
        """Whether it was started and has not ended."""
        return called in self._running and self._running[called].poll() is None

    def processes(self, called: str) -> list[psutil.Process]:
        """All processes of a service, as they would be in its container."""
        session = self._running[called].pid
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == session:
                    found.append(process)
            except ProcessLookupError:
                continue
        return found

    def kill(self, called: str) -> None:
        """End a service as if its container vanished: all of its processes at once, with SIGKILL."""
        while alive := [each for each in self.processes(called) if _lives(each)]:  # one may start another meanwhile
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(alive, timeout=1)
        self._running.pop(called).wait()

    def stop(self, name: str, *, called: str = "") -> bool:
        """End a service as Docker does: SIGTERM, and SIGKILL after its time. Whether all of it ended by the first."""
        called = called or name
        process = self._running[called]
        grace = time.monotonic() + self.service(name).grace
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace - time.monotonic())
        _, left = psutil.wait_procs(self.processes(called), timeout=max(grace - time.monotonic(), 0))
        self.kill(called)
        return not left

    def close(self) -> None:
        """End whatever runs."""
        for called in list(self._running):
            self.kill(called)
        if self.postgres.running():
            self.postgres.stop("immediate")

    def last_words(self, called: str) -> str:
        """The end of what a service said."""
        return (self.logs / f"{called}.log").read_text(errors="replace")[-3000:]

    def command(self, *arguments: str, service: str = "scheduler") -> subprocess.CompletedProcess[str]:
        """What a command says in the container of a service (``docker compose exec``)."""
        told = self.service(service)
        return subprocess.run(
            arguments, env=self.here.environment(told, service), capture_output=True, text=True, check=False
        )


@contextmanager
def stack(**variables: str) -> Iterator[Stack]:
    """Services on databases that are made and not yet migrated; gone with all they kept afterwards.

    :param variables: of .env, instead of what `make secrets` writes.
    """
    root = new_folder("tbs")
    root.chmod(0o711)  # PostgreSQL runs as somebody else
    try:
        found = Stack(root, variables)
        try:
            found.make_databases()
            yield found
        finally:
            found.close()
    finally:
        shutil.rmtree(root)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _secrets(root: Path) -> dict[str, str]:
    """What `make secrets` writes."""
    shutil.copy(PROJECT / ".env.example", root)
    shutil.copytree(PROJECT / ".make", root / ".make")  # it works on what is beside the folder that it is in
    shutil.copytree(PROJECT / "production", root / "production")
    subprocess.run([root / ".make" / "secrets"], check=True, stdout=subprocess.DEVNULL)
    return dotenv(root / ".env")


def _settings(command: Sequence[str]) -> dict[str, str]:
    """Of ``postgres -c name=value …``."""
    return dict(each.split("=", 1) for each in command if "=" in each)
