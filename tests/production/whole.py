"""Everything that docker-compose.yaml has, at work by hand: Airflow, Celery workers, the Pull API alone, a sandbox.

The site's tasks have a queue, and a worker, of their own; whatever else there is to do is the other worker's.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running import NEVER_BY_ITSELF, Run, RunningAirflow
from tests.production.stack import AIRFLOW, Stack, stack
from totara_bridge.local.sandbox import TOTARA_DATABASE
from totara_bridge.sandbox.oracle.orders import Orders

_CONFIGURATION = f"""
{NEVER_BY_ITSELF}
[[sites]]
code = "sbx"
connection = "totara_sandbox"
queue = "company_network"

[[destinations]]
code = "oracle"
connection = "oracle_sandbox"
"""

#: The two workers, by the queue that each takes tasks from.
WORKERS = {"company_network": "worker-company", "default": "worker"}

#: What runs, by its name here: the service of the compose file.
SERVICES = {name: name for name in ("redis", *AIRFLOW, "pull")} | dict.fromkeys(WORKERS.values(), "worker")

#: Debian's.
REDIS = Path("/usr/bin/redis-server")

#: Of a test that is the first to ask for all this, in seconds.
PATIENCE = 900


@dataclass(frozen=True)
class Whole:
    """What runs, and how to ask it."""

    stack: Stack
    airflow: RunningAirflow  #: with the login of `admin`
    oracle: Orders

    def runs(self, dag: str) -> list[str]:
        """The runs of a DAG, the newest first."""
        found = self.airflow.api("GET", f"dags/{dag}/dagRuns", params={"order_by": "-run_after", "limit": 100})
        return [run["dag_run_id"] for run in found["dag_runs"]]

    def end_of(self, dag: str, run: str) -> Run:
        """Wait for the end of a run, whose tasks may be tried again."""
        path = f"dags/{dag}/dagRuns/{run}"
        while (state := self.airflow.api("GET", path)["state"]) not in ("success", "failed"):
            time.sleep(0.5)  # Airflow has no event to wait for
        tasks = self.airflow.api("GET", f"{path}/taskInstances")["task_instances"]
        return Run(dag, run, state, {task["task_id"]: task for task in tasks})

    def end_of_next(self, dag: str, known: Collection[str]) -> Run:
        """Wait until there is a run that was not known, and for its end."""
        while not (new := [run for run in self.runs(dag) if run not in known]):
            time.sleep(0.5)
        return self.end_of(dag, new[0])


@contextmanager
def whole() -> Iterator[Whole]:
    """All services, after the first delivery of the sandbox."""
    with stack(AIRFLOW_EXECUTOR="CeleryExecutor") as up:
        up.here.configuration.write_text(_CONFIGURATION)
        up.run("migrate")
        for called, service in SERVICES.items():
            up.start(service, called=called, **of_worker(called))
        for called, service in SERVICES.items():
            up.until_healthy(service, called=called)
        up.start("sandbox")
        with _airflow(up) as asked:
            _wait_for_delivery(up)
            yield Whole(up, asked, Orders(f"http://127.0.0.1:{up.here.ports['oracle']}"))


def start_again(up: Stack, called: str) -> None:
    """Start a service that was ended, and wait until it is well."""
    up.start(SERVICES[called], called=called, **of_worker(called))
    up.until_healthy(SERVICES[called], called=called)


def of_worker(called: str) -> dict[str, str]:
    """The variables of .env that a worker has to itself."""
    queues = {worker: queue for queue, worker in WORKERS.items()}
    return {"WORKER_QUEUES": queues[called], "WORKER_CONCURRENCY": "2"} if called in queues else {}


@contextmanager
def _airflow(up: Stack) -> Iterator[RunningAirflow]:
    def database(name: str) -> str:
        return up.postgres.url(name).set(drivername="postgresql").render_as_string(hide_password=False)

    oracle = Orders(f"http://127.0.0.1:{up.here.ports['oracle']}")
    port, totara = up.here.ports["api-server"], database(TOTARA_DATABASE)
    with RunningAirflow(port, staging=database("bridge"), totara=totara, oracle=oracle, logs=up.logs) as asked:
        asked.log_in(up.secret("AIRFLOW_ADMIN"))
        yield asked


def _wait_for_delivery(up: Stack) -> None:
    """Until the sandbox says what was delivered."""
    log = up.logs / "sandbox.log"
    while "at the sandbox Oracle" not in (said := log.read_text(errors="replace")):
        assert up.runs("sandbox"), up.last_words("sandbox")
        assert "was not delivered" not in said, said
        time.sleep(0.2)
