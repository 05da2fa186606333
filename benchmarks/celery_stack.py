"""The services of production as a benchmark drives them: Celery workers, Redis, and Debian's PostgreSQL, durable."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import requests
import sqlalchemy as sa

from tests.debian_postgres import PROGRAMS
from tests.production.stack import Stack

#: Two workers of two tasks each, as many tasks as drain at most.
WORKERS = ("worker-1", "worker-2")
_CONCURRENCY = "2"

_SERVICES = ("api-server", "scheduler", "dag-processor")
_DAG = "push_completions"
_PATIENCE = 300.0  #: seconds

#: The schedule of pushes in bridge.toml, and one that does not come in between.
_OFTEN, _YEARLY = 'schedule = "*/15 * * * *"', 'schedule = "0 0 1 1 *"'

#: What a server for a million completions is given; commits are on the disk.
_POSTGRES = {"fsync": "on", "shared_buffers": "1GB", "max_wal_size": "4GB", "max_connections": "200"}


@dataclass(frozen=True)
class Ran:
    """A run of push_completions."""

    began: datetime
    seconds: float  #: from its beginning to its end, as Airflow says
    first_task: float  #: seconds until the first of its tasks began


class Production:
    """Airflow with its workers, and what is asked of it."""

    def __init__(self, running: Stack, session: requests.Session) -> None:
        """It runs, and the session is logged in."""
        self.stack = running
        self._session = session

    def engine(self) -> sa.Engine:
        """The staging database as its superuser, who may set the scene; keeps no connection."""
        return sa.create_engine(self.stack.postgres.url("bridge"), poolclass=sa.NullPool)

    def setting(self, name: str, value: object) -> None:
        """Set a switch for all."""
        said = self.stack.command("python", "-m", "totara_bridge.command", "setting", name, json.dumps(value))
        if said.returncode:
            raise SystemExit(f"The switch {name} was not set: {said.stderr}")

    def has_tasks(self, number: int) -> None:
        """Give the destination so many drain tasks in bridge.toml, and wait until Airflow knows."""
        file = self.stack.here.configuration
        lines = [line for line in file.read_text().splitlines() if not line.startswith("drain_tasks")]
        code = lines.index("[[destinations]]")
        file.write_text("\n".join([*lines[: code + 1], f"drain_tasks = {number}", *lines[code + 1 :]]) + "\n")
        self.stack.stop("dag-processor")  # it reads the files of DAGs when it begins, and then hardly ever
        self.stack.start("dag-processor")
        self._until(lambda: self._api("GET", f"dags/{_DAG}/tasks")["total_entries"] == number, "knows of its tasks")

    def push(self) -> Ran:
        """A run of push_completions, to its good end."""
        begun = self._api("POST", f"dags/{_DAG}/dagRuns", json={"logical_date": None, "conf": {}})
        path = f"dags/{_DAG}/dagRuns/{begun['dag_run_id']}"
        ended: dict[str, Any] = {}

        def has_ended() -> bool:
            ended.update(self._api("GET", path))
            return ended["state"] in ("success", "failed")

        self._until(has_ended, "ends its run")
        if ended["state"] != "success":
            raise SystemExit(f"The run failed; {self.stack.last_words(WORKERS[0])}")
        tasks = self._api("GET", f"{path}/taskInstances")["task_instances"]
        began, end = (datetime.fromisoformat(ended[name]) for name in ("start_date", "end_date"))
        first = min(datetime.fromisoformat(each["start_date"]) for each in tasks)
        return Ran(began, (end - began).total_seconds(), (first - began).total_seconds())

    def connect_oracle(self, address: str) -> None:
        """Store the Connection that the destination is sent through."""
        self._api(
            "POST",
            "connections",
            json={
                "connection_id": "oracle_sandbox",
                "conn_type": "oracle_completions",
                "host": address,
                "login": "bridge",
                "password": "bridge",
                "extra": json.dumps({"oauth_url": f"{address}/token"}),
            },
        )

    def begin(self) -> None:
        """Let push_completions run when it is triggered, and at no other time from now on."""
        self._until(lambda: self._ask("PATCH", f"dags/{_DAG}", json={"is_paused": False}).ok, "finds the DAGs")
        self.push()
        self._until(lambda: not self._at_work(), "has ended the run that its schedule was owed")

    def processor_time(self) -> Mapping[str, float]:
        """Seconds of processor time so far: of PostgreSQL, of the workers with their tasks, of Airflow's services."""
        postgres = psutil.Process(int((self.stack.postgres.folder / "data" / "postmaster.pid").read_text().split()[0]))
        return {
            "PostgreSQL": _spent([postgres]),
            "workers": sum(_spent(self.stack.processes(name)) for name in WORKERS),
            "Airflow": sum(_spent(self.stack.processes(name)) for name in (*_SERVICES, "redis")),
        }

    def _at_work(self) -> int:
        runs = self._api("GET", f"dags/{_DAG}/dagRuns", params={"state": ["queued", "running"]})
        return int(runs["total_entries"])

    def _until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not true():
            if time.monotonic() > deadline:
                raise SystemExit(f"Airflow did not come so far within {_PATIENCE:.0f} s that it {what}.")
            time.sleep(0.5)  # Airflow has no event to wait for

    def _api(self, method: str, path: str, **options: Any) -> Any:
        answer = self._ask(method, path, **options)
        if not answer.ok:
            raise SystemExit(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text}")
        return answer.json()

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, f"{self.stack.address}/api/v2/{path}", timeout=60, **options)


def postgresql() -> str:
    """The version of its PostgreSQL, such as 15.14."""
    said = subprocess.run([PROGRAMS / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[2]


@contextmanager
def production() -> Iterator[Production]:
    """Everything runs, and is gone afterwards.

    :raises SystemExit: this machine lacks a program.
    """
    if shutil.which("redis-server") is None or not PROGRAMS.is_dir():
        raise SystemExit(
            "Celery needs Redis, and production a PostgreSQL with passwords: install Debian's packages redis-server "
            "and postgresql-15, or leave out --only celery."
        )
    with _services() as running:
        running.run("migrate")
        running.start("redis")
        for name in _SERVICES:
            running.start(name)
        for name in WORKERS:
            running.start("worker", called=name)
        for name in ("redis", *_SERVICES):
            running.until_healthy(name)
        with requests.Session() as session:
            session.trust_env = False
            login = {"username": "admin", "password": running.secret("AIRFLOW_ADMIN")}
            answer = session.post(f"{running.address}/auth/token", json=login, timeout=60)
            session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield Production(running, session)


@contextmanager
def _services() -> Iterator[Stack]:
    """The services with their databases; on a disk, where a commit costs what it does."""
    root = Path(tempfile.mkdtemp(prefix="tbc", dir="/tmp"))
    root.chmod(0o711)  # PostgreSQL runs as somebody else
    try:
        found = Stack(root, {"AIRFLOW_EXECUTOR": "CeleryExecutor", "WORKER_CONCURRENCY": _CONCURRENCY})
        try:
            toml = found.here.configuration
            if _OFTEN not in (told := toml.read_text()):
                raise SystemExit(f"bridge.toml has no longer {_OFTEN}: correct benchmarks/celery_stack.py.")
            toml.write_text(told.replace(_OFTEN, _YEARLY))
            found.make_databases()
            found.postgres.stop()
            found.postgres.start(**_POSTGRES)
            yield found
        finally:
            found.close()
    finally:
        shutil.rmtree(root)


def _spent(roots: list[psutil.Process]) -> float:
    """Of these processes and all that they started, also of those that have ended."""
    everybody = {each.pid: each for root in roots for each in (root, *root.children(recursive=True))}
    total = 0.0
    for process in everybody.values():
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system + spent.children_user + spent.children_system
    return total
