"""One running Airflow on the embedded PostgreSQL, and how a test asks and tells it through Airflow's REST API."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import requests
from psycopg.rows import dict_row

from tests.e2e import hundred_thousand
from totara_bridge.local import airflow, postgres, processes, sandbox
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.home import CHECKOUT, Home
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging.migrate import migrate

#: Schedules that never come round while tests run: every run of a DAG is one that a test began.
CONFIGURATION = f"""
[extract]
schedule = "0 0 29 2 *"
[push]
schedule = "0 0 29 2 *"
[purge]
schedule = "0 0 29 2 *"
[watch]
schedule = "0 0 29 2 *"

[[sites]]
code = "sbx"
connection = "totara_sandbox"
[[sites]]
code = "{hundred_thousand.SITE}"
connection = "totara_big"
every = "P365D"

[[destinations]]
code = "oracle"
connection = "oracle_sandbox"
[[destinations]]
code = "archive"
connection = "oracle_sandbox"
"""

#: The files of DAGs do not change while tests run, and a test waits for the scheduler more often than it works.
_QUICK = {
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
}

_ENDED = ("success", "failed")


@dataclass(frozen=True)
class Run:
    """A run of a DAG that has ended."""

    dag: str
    id: str
    state: str
    tasks: Mapping[str, Mapping[str, Any]]  #: by task: ``state``, ``try_number`` and what else Airflow says


class RunningAirflow:
    """The REST API with the login of a local run, and the staging database behind it; for ``with``."""

    def __init__(self, port: int, *, staging: str, totara: str, oracle: SandboxOracle) -> None:
        """Nothing is asked yet.

        :param staging: the address of the staging database, ``postgresql://…``.
        :param totara: the address of the sandbox Totara's.
        """
        self.oracle = oracle
        self.address = f"http://127.0.0.1:{port}"
        self._staging, self._totara = staging, totara
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        self._session.close()

    def log_in(self) -> None:
        """As anybody with the printed login can."""
        login = {"username": airflow.LOGIN, "password": airflow.PASSWORD}
        answer = self._session.post(f"{self.address}/auth/token", json=login, timeout=60)
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def api(self, method: str, path: str, **options: Any) -> Any:
        """What Airflow answers to a request that must go well."""
        answer = self._ask(method, path, **options)
        assert answer.ok, answer.text
        return answer.json()

    def pause(self, dag: str, paused: bool) -> None:
        """Let it run, or not."""
        self.api("PATCH", f"dags/{dag}", json={"is_paused": paused})

    def try_to_begin(self, dag: str, conf: Mapping[str, Any]) -> requests.Response:
        """What Airflow answers to whoever presses Trigger."""
        return self._ask("POST", f"dags/{dag}/dagRuns", json={"logical_date": None, "conf": conf})

    def begin(self, dag: str, **conf: Any) -> str:
        """Begin a run; its id."""
        answer = self.try_to_begin(dag, conf)
        assert answer.ok, answer.text
        return str(answer.json()["dag_run_id"])

    def end_of(self, dag: str, run: str) -> Run:
        """Wait for the end of a run, none of whose tasks may need a second try."""
        path = f"dags/{dag}/dagRuns/{run}"
        while True:
            state = self.api("GET", path)["state"]
            tasks = {task["task_id"]: task for task in self.api("GET", f"{path}/taskInstances")["task_instances"]}
            found = Run(dag, run, state, tasks)
            again = [task for task, told in tasks.items() if told["state"] == "up_for_retry"]
            assert not again, {task: self.sentences(found, task) for task in again}
            if state in _ENDED:
                return found
            time.sleep(0.2)  # Airflow has no event to wait for

    def run(self, dag: str, **conf: Any) -> Run:
        """Run a DAG to its end, which must be a good one."""
        ended = self.end_of(dag, self.begin(dag, **conf))
        assert ended.state == "success", {task: self.sentences(ended, task) for task in ended.tasks}
        return ended

    def counts(self, run: Run, task: str) -> dict[str, Any]:
        """What a task of a run returned."""
        path = f"dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/xcomEntries/return_value"
        return dict(self.api("GET", path, params={"deserialize": "true"})["value"])

    def log(self, run: Run, task: str) -> list[dict[str, Any]]:
        """The lines of the log of a task's last try."""
        attempt = run.tasks[task]["try_number"]
        path = f"dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/logs/{attempt}"
        lines = self.api("GET", path, params={"full_content": "true"})["content"]
        return [line for line in lines if isinstance(line, dict)]

    def sentences(self, run: Run, task: str) -> list[str]:
        """What the log of a task says went wrong: the words of each exception in it."""
        raised = [each for line in self.log(run, task) for each in line.get("error_detail") or ()]
        return [f"{each['exc_type']}: {each['exc_value']}" for each in raised]

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """What the staging database answers."""
        with psycopg.connect(self._staging, row_factory=dict_row) as connection:
            return connection.execute(statement, values).fetchall()

    def count(self, statement: str, **values: Any) -> int:
        """The one number that the staging database answers."""
        [row] = self.rows(statement, **values)
        [number] = row.values()
        return int(number)

    def now(self) -> datetime:
        """The time of the staging database, which its rows are compared with."""
        return datetime.fromisoformat(str(self.rows("SELECT clock_timestamp() AS now")[0]["now"]))

    def audited(self, action: str, since: datetime) -> list[dict[str, Any]]:
        """What the audit log says was done since then."""
        statement = "SELECT * FROM bridge.audit_log WHERE action = %(action)s AND at >= %(since)s ORDER BY id"
        return self.rows(statement, action=action, since=since)

    def count_in_totara(self, statement: str) -> int:
        """The one number that the sandbox Totara's own database answers."""
        with psycopg.connect(self._totara) as connection:
            [number] = connection.execute(statement).fetchone() or (0,)
        return int(number)

    def change(self, statement: str, **values: Any) -> None:
        """Change the staging database."""
        with psycopg.connect(self._staging) as connection:
            connection.execute(statement, values)

    def set(self, name: str, value: Any) -> None:
        """Have a manager's switch so; for all destinations."""
        self.change(
            "INSERT INTO bridge.setting (scope, name, value, changed_at, changed_by) "
            "VALUES ('bridge', %(name)s, %(value)s, now(), 'test') "
            "ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
            name=name,
            value=json.dumps(value),
        )

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, f"{self.address}/api/v2/{path}", timeout=60, **options)


@contextmanager
def running(root: Path, environment: Mapping[str, str]) -> Iterator[RunningAirflow]:
    """A running Airflow over 100 000 items, every DAG unpaused but the one that sends them.

    :param root: an empty folder with a short path; everything is kept there.
    :param environment: of every Airflow process besides that of a local run.
    """
    home = Home(root, root / "postgres")
    for folder in (home.airflow, home.logs, home.processes):
        folder.mkdir(parents=True)
    configuration = root / "bridge.toml"
    configuration.write_text(CONFIGURATION)
    server = EmbeddedPostgres(home.postgres, durable=False)
    started: list[subprocess.Popen[bytes]] = []
    try:
        with SandboxOracle() as oracle:
            [port] = free_ports(1)
            staging = server.ensure_database("bridge")
            variables = {
                **airflow.environment(
                    home, port=port, metadata_url=server.ensure_database("airflow"), staging_url=staging
                ),
                **_QUICK,
                "TOTARA_BRIDGE_CONFIG": str(configuration),
                **environment,
            }
            totara = server.dsn(sandbox.TOTARA_DATABASE)
            with RunningAirflow(port, staging=staging, totara=totara, oracle=oracle) as up:
                _start(home, server, variables, started)
                hundred_thousand.fill(staging)
                _make_ready(home, server, up)
                yield up
    finally:
        processes.stop(home)
        for process in started:
            process.wait()
        postgres.stop(home.postgres)


def _start(
    home: Home, server: EmbeddedPostgres, environment: Mapping[str, str], started: list[subprocess.Popen[bytes]]
) -> None:
    airflow.write_passwords(home)
    migration = processes.start(home, "migrate", (processes.program("airflow"), "db", "migrate"), environment)
    started.append(migration)
    migrate(server.dsn("bridge").replace("postgresql://", "postgresql+psycopg://", 1))
    sandbox.fill_totara(server)
    processes.finish(home, "migrate", migration)
    for name, arguments in airflow.SERVICES.items():
        started.append(processes.start(home, name, (processes.program("airflow"), *arguments), environment))


def _make_ready(home: Home, server: EmbeddedPostgres, up: RunningAirflow) -> None:
    with AirflowApi(up.address, login=airflow.LOGIN, password=airflow.PASSWORD) as api:
        airflow.wait_until_healthy(home, api)
        sandbox.store_connections(api, server, up.oracle.port, lambda _: None)
    up.log_in()
    _wait_for_dags(up)


def _wait_for_dags(up: RunningAirflow) -> None:
    files = {file.stem for file in (CHECKOUT / "dags").glob("*.py")}
    while missing := files - {dag["dag_id"] for dag in up.api("GET", "dags")["dags"]}:
        errors = up.api("GET", "importErrors")["import_errors"]
        assert not errors, errors
        assert missing
        time.sleep(0.2)
    for dag in files - {"push_completions"}:
        up.pause(dag, False)


def free_ports(count: int) -> Sequence[int]:
    """TCP ports on the loopback address where nothing listens now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
