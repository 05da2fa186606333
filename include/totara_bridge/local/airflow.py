"""Airflow as a local run starts it: four services on loopback, each with an environment of its own making.

They are started one by one instead of by ``airflow standalone``, whose log servers listen on every address of
the machine and which, when it is killed, leaves its services behind.
"""

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from totara_bridge.local import processes
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.home import CHECKOUT, Home, LocalRunFailed, write_private

LOGIN = "admin"
#: Known on purpose: it guards invented learners on loopback, and everybody who tries the bridge needs it.
PASSWORD = "admin"  # noqa: S105

#: Service: the command's arguments after ``airflow``.
SERVICES = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "api-server": ("api-server",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
_PATIENCE = 480.0  # seconds until all four are healthy; 75 were measured on two busy cores


def environment(home: Home, *, port: int, metadata_url: str, staging_url: str) -> dict[str, str]:
    """The environment of every Airflow process.

    :param metadata_url: of Airflow's own database, ``postgresql://…``.
    """
    keys = home.keys()
    address = f"http://127.0.0.1:{port}"
    settings = {
        "core__dags_folder": CHECKOUT / "dags",
        "core__plugins_folder": CHECKOUT / "plugins",
        "core__load_examples": False,
        "core__parallelism": 4,  # each is a process that waits, and 32 are the default
        "core__test_connection": "Enabled",
        "core__fernet_key": keys["fernet"],
        "core__simple_auth_manager_users": f"{LOGIN}:admin",
        "core__simple_auth_manager_passwords_file": home.passwords,
        "database__sql_alchemy_conn": metadata_url.replace("postgresql://", "postgresql+psycopg://", 1),
        "api__host": "127.0.0.1",
        "api__port": port,
        "api__base_url": address,  # workers call the API server here: a port alone would break every task
        "api__secret_key": keys["session"],
        "api_auth__jwt_secret": keys["jwt"],
        "dag_processor__refresh_interval": 15,
        # a task of a run that was killed is begun anew within a minute or two, not within five or ten
        "scheduler__task_instance_heartbeat_timeout": 60,
        "scheduler__orphaned_tasks_check_interval": 30,
        "logging__base_log_folder": home.airflow / "logs",
    }
    return {
        **_environment_of_ours(),
        **{f"AIRFLOW__{name.upper()}": str(value) for name, value in settings.items()},
        "AIRFLOW_HOME": str(home.airflow),
        "TOTARA_BRIDGE_DATABASE_URL": staging_url,
        "PATH": f"{Path(processes.program('airflow')).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def write_passwords(home: Home) -> None:
    """Give the UI's user the known password, before Airflow makes one up."""
    write_private(home.passwords, json.dumps({LOGIN: PASSWORD}))


def start(home: Home, environment: Mapping[str, str]) -> None:
    """Start those services that do not run."""
    for name, arguments in SERVICES.items():
        if not processes.alive(home, name):
            processes.start(home, name, (processes.program("airflow"), *arguments), environment)


def wait_until_healthy(home: Home, api: AirflowApi) -> None:
    """Return once all four services say that they are well.

    :raises LocalRunFailed: one ended, or they need too long.
    """
    started = {name: processes.started_at(home, name) for name in SERVICES}
    deadline = time.monotonic() + _PATIENCE
    while waiting := unhealthy(api.health(), started):
        for name in SERVICES:
            if not processes.alive(home, name):
                raise LocalRunFailed(f"Airflow's {name} ended while it started: {processes.last_words(home, name)}")
        if time.monotonic() > deadline:
            raise LocalRunFailed(
                f"Airflow's {' and '.join(waiting)} did not get ready in {_PATIENCE:.0f} seconds: see the logs in "
                f"{home.logs}, then run `make up` again, which goes on from here."
            )
        time.sleep(0.5)


def unhealthy(health: Mapping[str, Any] | None, started: Mapping[str, float]) -> list[str]:
    """Services that do not say that they are well, or said it before they were started anew.

    :param health: what Airflow says of itself; none: it does not answer.
    :param started: when each service was started, in Unix seconds.
    """
    if health is None:
        return list(SERVICES)
    found = []
    for name in SERVICES:
        if name == "api-server":  # it answered
            continue
        said = health.get(name.replace("-", "_")) or {}
        beat = said.get(f"latest_{name.replace('-', '_')}_heartbeat")
        beaten = datetime.fromisoformat(beat) if beat else datetime.fromtimestamp(0, UTC)
        if said.get("status") != "healthy" or beaten.timestamp() < started[name]:
            found.append(name)
    return found


def _environment_of_ours() -> dict[str, str]:
    """This process's environment without the settings of any other Airflow, and without a proxy to ourselves."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    direct = ",".join(filter(None, (os.environ.get("no_proxy"), "127.0.0.1,localhost")))
    return {**kept, "no_proxy": direct, "NO_PROXY": direct}
