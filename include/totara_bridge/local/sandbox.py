"""The sandbox of a local run: a Totara in the embedded PostgreSQL, an Oracle on loopback, and their Connections."""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from sqlalchemy import create_engine, func, select

from totara_bridge.local import processes
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.home import Home, LocalRunFailed
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.oracle.app import COMPLETIONS_PATH, TOKEN_PATH
from totara_bridge.sandbox.oracle.server import CLIENT_ID, CLIENT_SECRET
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.generate import generate
from totara_bridge.sandbox.totara.seed import seed

TOTARA_DATABASE = "totara_sandbox"
ORACLE = "sandbox-oracle"  #: the name of its process

_COMPLETIONS = "TOTARA_BRIDGE_SANDBOX_COMPLETIONS"
_SEED = "TOTARA_BRIDGE_SANDBOX_SEED"
_PATIENCE = 60.0  # seconds until the sandbox Oracle answers


def fill_totara(postgres: EmbeddedPostgres) -> str | None:
    """Make the sandbox Totara if there is none yet; what it was filled with.

    :raises LocalRunFailed: the environment asks for a size that cannot be.
    """
    url = postgres.ensure_database(TOTARA_DATABASE).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url)
    try:
        schema.create(engine)
        with engine.connect() as connection:
            if connection.scalar(select(func.count()).select_from(schema.tables().course)):
                return None
        completions, number = _number(_COMPLETIONS), _number(_SEED)
        if completions is None:
            seed(engine)
            return "as recorded from a real Totara 17.3 with invented learners"
        generate(engine, completions, number or 0)
        return f"generated: {completions} completions, seed {number or 0}"
    finally:
        engine.dispose()


def start_oracle(home: Home, port: int, environment: Mapping[str, str]) -> None:
    """Start the sandbox Oracle, if it does not run, and return once it answers.

    :raises LocalRunFailed: it ended, or needs too long.
    """
    if not processes.alive(home, ORACLE):
        command = ("-m", "totara_bridge.sandbox.oracle", "--port", str(port), "--data", str(home.oracle))
        processes.start(home, ORACLE, (processes.program("python"), *command), environment)
    deadline = time.monotonic() + _PATIENCE
    while received(port) is None:
        if not processes.alive(home, ORACLE) or time.monotonic() > deadline:
            raise LocalRunFailed(f"The sandbox Oracle did not start: {processes.last_words(home, ORACLE)}")
        time.sleep(0.2)


def received(port: int) -> dict[str, Any] | None:
    """What the sandbox Oracle was sent, in counts; none: it does not answer."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy is asked for loopback
        try:
            answer = session.get(f"http://127.0.0.1:{port}/sandbox/received", timeout=30)
            return dict(answer.json()) if answer.ok else None
        except (requests.RequestException, ValueError):
            return None


def store_connections(api: AirflowApi, postgres: EmbeddedPostgres, port: int, say: Callable[[str], None]) -> None:
    """Store the two Connections; one whose address is right keeps whatever a person changed in it."""
    for connection in _connections(postgres, port):
        name = connection["connection_id"]
        there = api.connection(name)
        if there is None:
            api.add_connection(connection)
            say(f"Connection {name} is stored.")
        elif _address(there) != _address(connection):
            api.replace_connection(connection)
            say(f"Connection {name} has its new address.")


def _connections(postgres: EmbeddedPostgres, port: int) -> list[dict[str, Any]]:
    # without the colon of an empty password, which a Connection's database URL may not have
    totara = postgres.dsn(TOTARA_DATABASE).replace("postgres:@", "postgres@", 1)
    oracle = f"http://127.0.0.1:{port}"
    return [
        {
            "connection_id": "totara_sandbox",
            "conn_type": "totara",
            "description": "The sandbox Totara of `make up`",
            "port": _NO_PORT,
            "extra": json.dumps({"database_url": totara}),
        },
        {
            "connection_id": "oracle_sandbox",
            "conn_type": "oracle_completions",
            "description": "The sandbox Oracle of `make up`",
            "host": oracle,
            "port": _NO_PORT,
            "login": CLIENT_ID,
            "password": CLIENT_SECRET,
            "extra": json.dumps({"oauth_url": oracle + TOKEN_PATH, "path": COMPLETIONS_PATH}),
        },
    ]


#: Airflow 3.3.2's "Test" button sends port 0 for none, and its server refuses that where none is stored.
_NO_PORT = 0


def _address(connection: Mapping[str, Any]) -> tuple[Any, ...]:
    extra = json.loads(connection.get("extra") or "{}")
    return connection.get("host") or None, extra.get("database_url"), extra.get("oauth_url")


def _number(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise LocalRunFailed(f"{variable} is {text!r}: give a whole number, or unset it for the recorded site.")
    return int(text)
