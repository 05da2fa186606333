"""The sandbox of the containers: ``python -m totara_bridge.local.sandbox_beside --airflow http://api-server:8080``.

An invented Totara and an invented Oracle on the loopback address that they share with the scheduler. Once Airflow is
there, their Connections are stored and the past is delivered, as `make up` does it; then both serve until they are
stopped.
"""

import argparse
import os
import signal
import threading
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, Engine, create_engine, make_url

from totara_bridge.config import database_url
from totara_bridge.errors import BridgeError
from totara_bridge.local import airflow, delivery, sandbox
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.report import read_overview, table
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.staging.engine import staging_engine

#: Of a role that may make roles and databases: the sandbox Totara's is made in its server.
_DATABASE_URL = "TOTARA_BRIDGE_SANDBOX_DATABASE_URL"
_PASSWORD = "AIRFLOW_ADMIN_PASSWORD"  # noqa: S105  the name of a variable


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    asked = _arguments()
    stopped = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopped.set())
    asked.data.mkdir(parents=True, exist_ok=True)
    totara = _own_database(make_url(os.environ[_DATABASE_URL]))
    engine = create_engine(totara, pool_size=20)
    if filled := sandbox.fill(engine):
        _say(f"The sandbox Totara is made, {filled}.")
    ports = {"oracle": asked.oracle_port, "totara": asked.totara_port}
    with SandboxOracle(asked.data / "oracle.sqlite", port=ports["oracle"]), SandboxTotara(engine, port=ports["totara"]):
        try:
            _deliver(asked.airflow, totara, ports)
        except BridgeError as error:  # what is delivered by hand needs both as well
            _say(
                f"The past was not delivered. {error} (With Docker: docker compose logs, then docker compose restart.)"
            )
        stopped.wait()
    engine.dispose()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m totara_bridge.local.sandbox_beside")
    parser.add_argument("--airflow", required=True, help="address of Airflow's API server")
    parser.add_argument("--oracle-port", type=int, default=8070, help="on 127.0.0.1 (%(default)s)")
    parser.add_argument("--totara-port", type=int, default=8071, help="on 127.0.0.1 (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("sandbox"), help="where what Oracle received is kept")
    return parser.parse_args()


def _own_database(server: URL) -> URL:
    """The sandbox Totara's database, made if it is not there; its role owns it, and has nothing else.

    :param server: its server, with the login of somebody who may make roles and databases.
    """
    name = sandbox.TOTARA_DATABASE
    identifier = sql.Identifier(name)
    # known on purpose, as the whole sandbox is: it guards invented learners
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(name)))
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
    return server.set(drivername="postgresql+psycopg", username=name, password=name, database=name)


def _deliver(address: str, totara: URL, ports: dict[str, int]) -> None:
    staging = staging_engine(database_url())
    connection = f"postgresql://{totara.username}@{totara.host}:{totara.port or 5432}/{totara.database}"
    with AirflowApi(address, login=airflow.LOGIN, password=os.environ[_PASSWORD]) as api:
        sandbox.store_connections(api, connection, ports, _say, password=totara.password or "")
        delivery.deliver(api, staging, _say)
    _report(staging, ports["oracle"])
    staging.dispose()


def _report(staging: Engine, oracle_port: int) -> None:
    received = sandbox.received(oracle_port)
    for line in table(read_overview(staging), received["keys_stored"] if received else None):
        _say(line)


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    main()
