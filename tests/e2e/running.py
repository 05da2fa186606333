"""How a test asks and tells a running Airflow: through its REST API, and the databases behind it."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import requests
from psycopg.rows import dict_row
from sqlalchemy import NullPool, create_engine

from totara_bridge import api_token
from totara_bridge.local import airflow
from totara_bridge.sandbox.oracle.orders import Orders
from totara_bridge.staging.engine import Transaction

#: A schedule that does not come round while tests run.
#: That holds as long as it did not come round since the ``start_date`` of the DAGs: it has to be moved in time.
NEVER = "0 0 29 2 *"

#: Of bridge.toml: every run of a DAG is one that a test began.
NEVER_BY_ITSELF = "\n".join(
    f'[{section}]\nschedule = "{NEVER}"' for section in ("extract", "push", "purge", "watch", "reconcile")
)

_ENDED = ("success", "failed")

#: Days are those of the bridge, wherever this machine is.
_UTC = "-c timezone=UTC"

#: Of so many looks at a run one is at its tasks, too: each costs the processors that the run is on.
_LOOKS = 10


@dataclass(frozen=True)
class Run:
    """A run of a DAG that has ended."""

    dag: str
    id: str
    state: str
    tasks: Mapping[str, Mapping[str, Any]]  #: by task: ``state``, ``try_number`` and what else Airflow says


class RunningAirflow:
    """The REST API with the login of a local run, and the staging database behind it; for ``with``."""

    def __init__(self, port: int, *, staging: str, totara: str, oracle: Orders, logs: Path) -> None:
        """Nothing is asked yet.

        :param staging: the address of the staging database, ``postgresql://…``.
        :param totara: the address of the sandbox Totara's.
        :param logs: the folder where each service has its log.
        """
        self.oracle = oracle
        self.logs = logs
        self.address = f"http://127.0.0.1:{port}"
        self.staging, self._totara = staging, totara
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

    def log_in(self, password: str = airflow.PASSWORD) -> None:
        """As anybody with the printed login can.

        :param password: of production's `admin`.
        """
        login = {"username": airflow.LOGIN, "password": password}
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
        for look in count(1):
            state = self.api("GET", path)["state"]
            if state in _ENDED or look % _LOOKS == 0:
                tasks = {task["task_id"]: task for task in self.api("GET", f"{path}/taskInstances")["task_instances"]}
                found = Run(dag, run, state, tasks)
                again = [task for task, told in tasks.items() if told["state"] == "up_for_retry"]
                assert not again, {task: self.sentences(found, task) for task in again}
                if state in _ENDED:
                    return found
            time.sleep(0.4)  # Airflow has no event to wait for
        raise AssertionError

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
        with psycopg.connect(self.staging, row_factory=dict_row, options=_UTC) as connection:
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
        with psycopg.connect(self.staging, options=_UTC) as connection:
            connection.execute(statement, values)

    def issue_token(self, caller: str) -> str:
        """A token of the Pull API that may do everything."""
        with self._transaction() as transaction:
            return api_token.issue(transaction, caller=caller, by="test", now=datetime.now(UTC)).token

    def revoke_tokens(self, caller: str) -> None:
        """End what the caller has."""
        with self._transaction() as transaction:
            api_token.revoke(transaction, caller, by="test", now=datetime.now(UTC))

    def set(self, name: str, value: Any) -> None:
        """Have a manager's switch so; for all destinations."""
        self.change(
            "INSERT INTO bridge.setting (scope, name, value, changed_at, changed_by) "
            "VALUES ('bridge', %(name)s, %(value)s, now(), 'test') "
            "ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
            name=name,
            value=json.dumps(value),
        )

    @contextmanager
    def staging_down(self) -> Iterator[None]:
        """A time in which the staging database ends all connections and takes none; Airflow's own is up."""
        name = "bridge"
        with psycopg.connect(self.staging, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            try:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                yield
            finally:
                connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        engine = create_engine(self.staging.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
        with engine.begin() as transaction:
            yield transaction

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, f"{self.address}/api/v2/{path}", timeout=60, **options)
