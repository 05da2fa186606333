"""Airflow's REST API as far as a local run needs it: health, Connections, and runs of DAGs from start to end."""

from types import TracebackType
from typing import Any, Self

import requests

from totara_bridge.local.home import LocalRunFailed

_TIMEOUT = 30.0  # seconds; a busy machine answers late


class AirflowApi:
    """A client with the login of the local run, for ``with``."""

    def __init__(self, address: str, *, login: str, password: str) -> None:
        """Nothing is asked yet.

        :param address: ``http://127.0.0.1:8080``
        """
        self.address = address
        self._login = {"username": login, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy is asked for loopback

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        self._session.close()

    def health(self) -> dict[str, Any] | None:
        """What Airflow says of its services; none while the API server does not answer."""
        try:
            answer = self._session.get(f"{self.address}/api/v2/monitor/health", timeout=_TIMEOUT)
            return dict(answer.json()) if answer.ok else None
        except (requests.RequestException, ValueError):
            return None

    def has_dag(self, dag: str) -> bool:
        """Whether the DAG was found in the DAG folder by now."""
        return self._call("GET", f"dags/{dag}", missing_is_fine=True) is not None

    def import_errors(self) -> list[dict[str, Any]]:
        """DAG files that cannot be read: ``filename``, ``stack_trace``."""
        return list(self._call("GET", "importErrors")["import_errors"])

    def unpause(self, dag: str) -> None:
        """Let it run."""
        self._call("PATCH", f"dags/{dag}", json={"is_paused": False})

    def trigger(self, dag: str, conf: dict[str, Any]) -> str:
        """Begin a run; its id."""
        body = {"logical_date": None, "conf": conf, "note": "the sandbox's delivery"}
        return str(self._call("POST", f"dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def state(self, dag: str, run: str) -> str:
        """Of a run: queued, running, success or failed."""
        return str(self._call("GET", f"dags/{dag}/dagRuns/{run}")["state"])

    def count_runs(self, dag: str, *states: str) -> int:
        """How many runs are in one of these states."""
        return int(self._call("GET", f"dags/{dag}/dagRuns", params={"state": states, "limit": 1})["total_entries"])

    def tasks(self, dag: str, run: str = "~", *, state: str) -> list[dict[str, Any]]:
        """The tasks in this state of a run, or of all runs: ``dag_run_id``, ``task_id``, ``try_number``."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances"
        return list(self._call("GET", path, params={"state": state})["task_instances"])

    def log(self, dag: str, run: str, task: str, attempt: int) -> list[Any]:
        """The lines of a task's log."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        return list(self._call("GET", path, params={"full_content": "true"})["content"])

    def connection(self, name: str) -> dict[str, Any] | None:
        """A Connection, its secrets masked; none: there is none of this name."""
        found = self._call("GET", f"connections/{name}", missing_is_fine=True)
        return None if found is None else dict(found)

    def add_connection(self, connection: dict[str, Any]) -> None:
        """Store a new Connection; it shows in the UI."""
        self._call("POST", "connections", json=connection)

    def replace_connection(self, connection: dict[str, Any]) -> None:
        """Store a Connection over the one of the same name."""
        self._call("PATCH", f"connections/{connection['connection_id']}", json=connection)

    def _call(self, method: str, path: str, *, missing_is_fine: bool = False, **options: Any) -> Any:
        if "Authorization" not in self._session.headers:
            self._log_in()
        answer = self._ask(method, f"api/v2/{path}", **options)
        if answer.status_code == 404 and missing_is_fine:
            return None
        if not answer.ok:
            raise LocalRunFailed(
                f"Airflow answers {method} {answer.url} with HTTP {answer.status_code}: {answer.text[:300].strip()} "
                "See api-server.log in the data folder."
            )
        return answer.json()

    def _log_in(self) -> None:
        answer = self._ask("POST", "auth/token", json=self._login)
        if not answer.ok:
            raise LocalRunFailed(
                f"Airflow at {self.address} refuses the login of the local run (HTTP {answer.status_code}): "
                "`make down`, then `make up`."
            )
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, f"{self.address}/{path}", timeout=_TIMEOUT, **options)
        except requests.RequestException as error:
            raise LocalRunFailed(
                f"Airflow at {self.address} does not answer ({type(error).__name__}): `make down`, then `make up`."
            ) from error
