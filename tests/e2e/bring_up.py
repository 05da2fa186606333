"""One running Airflow on the embedded PostgreSQL, over 100 000 items: brought up, made ready, and taken down."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import NullPool, create_engine

from tests.e2e import hundred_thousand
from tests.e2e.running import NEVER_BY_ITSELF, RunningAirflow
from tests.free_port import free_port
from tests.staging_roles import PANEL, TASKS, address_as, close, grant_to_roles
from totara_bridge.local import airflow, postgres, processes, sandbox
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.home import CHECKOUT, Home
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.staging.migrate import migrate

CONFIGURATION = f"""
{NEVER_BY_ITSELF}
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

#: Who can log in besides, by role; the password is the name.
PEOPLE = {"viewer": "vera", "user": "uma", "op": "olaf"}

#: The files of DAGs do not change while tests run, and a test waits for the scheduler more often than it works.
_QUICK = {
    # the first read of all files is beside whatever else starts now; by default one of 30 seconds is an error
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "400",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
}


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
            port = free_port()
            staging = server.ensure_database("bridge")
            metadata = server.ensure_database("airflow")
            variables = airflow.environment(home, port=port, metadata_url=metadata, staging_url=staging)
            ours = {
                **_QUICK,
                **_people(root),
                "TOTARA_BRIDGE_DATABASE_URL": staging,
                "TOTARA_BRIDGE_CONFIG": str(configuration),
                **environment,
            }
            totara = server.dsn(sandbox.TOTARA_DATABASE)
            with RunningAirflow(port, staging=staging, totara=totara, oracle=oracle, logs=home.logs) as up:
                _start(home, server, _not_of_the_person(variables) | ours, started)
                hundred_thousand.fill(staging)
                with _totara_over_http(totara) as totara_port:
                    _make_ready(home, server, up, oracle.port, totara_port)
                    yield up
    finally:
        processes.stop(home)
        for process in started:
            process.wait()
        postgres.stop(home.postgres)


@contextmanager
def _totara_over_http(address: str) -> Iterator[int]:
    """The sandbox Totara of this database; its port."""
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://", 1))
    with SandboxTotara(engine) as totara:
        yield totara.port
    engine.dispose()


def _not_of_the_person(variables: Mapping[str, str]) -> dict[str, str]:
    """Without the settings that whoever runs the tests may have for a bridge of their own."""
    return {name: value for name, value in variables.items() if not name.startswith("TOTARA_BRIDGE_")}


def _people(root: Path) -> dict[str, str]:
    """Settings of Airflow's SimpleAuthManager: besides the one of a local run somebody of every other role."""
    passwords = root / "people.json"
    passwords.write_text(json.dumps({airflow.LOGIN: airflow.PASSWORD} | {name: name for name in PEOPLE.values()}))
    users = [f"{airflow.LOGIN}:admin", *(f"{name}:{role}" for role, name in PEOPLE.items())]
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(users),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }


def _start(
    home: Home, server: EmbeddedPostgres, environment: Mapping[str, str], started: list[subprocess.Popen[bytes]]
) -> None:
    airflow.write_passwords(home)
    migration = processes.start(home, "migrate", (processes.program("airflow"), "db", "migrate"), environment)
    started.append(migration)
    migrate(server.dsn("bridge").replace("postgresql://", "postgresql+psycopg://", 1))
    addresses = _addresses_by_role(server)
    sandbox.fill_totara(server)
    processes.finish(home, "migrate", migration)
    for name, arguments in airflow.SERVICES.items():
        own = {**environment, "TOTARA_BRIDGE_DATABASE_URL": addresses[PANEL if name == "api-server" else TASKS]}
        started.append(processes.start(home, name, (processes.program("airflow"), *arguments), own))


def _addresses_by_role(server: EmbeddedPostgres) -> Mapping[str, str]:
    """The addresses of the staging database for each role of production: no service is its owner."""
    owner = create_engine(server.dsn("bridge").replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
    grant_to_roles(owner.url.render_as_string(hide_password=False))
    addresses = {role: address_as(owner, role).replace("+psycopg", "", 1) for role in (TASKS, PANEL)}
    close(owner)
    return addresses


def _make_ready(home: Home, server: EmbeddedPostgres, up: RunningAirflow, oracle_port: int, totara_port: int) -> None:
    with AirflowApi(up.address, login=airflow.LOGIN, password=airflow.PASSWORD) as api:
        airflow.wait_until_healthy(home, api)
        ports = {"oracle": oracle_port, "totara": totara_port}
        sandbox.store_connections(api, sandbox.totara_address(server), ports, lambda _: None)
    up.log_in()
    _wait_for_dags(up)


def _wait_for_dags(up: RunningAirflow) -> None:
    files = {file.stem for file in (CHECKOUT / "dags").glob("*.py")}
    while not files <= {dag["dag_id"] for dag in up.api("GET", "dags")["dags"]}:
        errors = up.api("GET", "importErrors")["import_errors"]
        assert not errors, errors
        time.sleep(0.2)
    for dag in files - {"push_completions"}:
        up.pause(dag, False)
