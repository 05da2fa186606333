"""The sandbox of a local run: a Totara in the embedded PostgreSQL, both sides on loopback, and their Connections."""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from sqlalchemy import Engine, create_engine, func, select

from totara_bridge.local import processes
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.home import Home, LocalRunFailed
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.oracle.app import COMPLETIONS_PATH, TOKEN_PATH
from totara_bridge.sandbox.oracle.server import CLIENT_ID, CLIENT_SECRET
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.generate import generate
from totara_bridge.sandbox.totara.http.oauth import CLIENT_ID as CLIENT_ID_OF_API
from totara_bridge.sandbox.totara.http.oauth import CLIENT_SECRET as CLIENT_SECRET_OF_API
from totara_bridge.sandbox.totara.http.tokens import REST_TOKEN
from totara_bridge.sandbox.totara.seed import seed

TOTARA_DATABASE = "totara_sandbox"
ORACLE = "sandbox-oracle"  #: the names of their processes
TOTARA = "sandbox-totara"
SERVICES = (ORACLE, TOTARA)

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
        return fill(engine)
    finally:
        engine.dispose()


def fill(engine: Engine) -> str | None:
    """Make a sandbox Totara in a database where there is none; what it was filled with.

    :raises LocalRunFailed: the environment asks for a size that cannot be.
    """
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


def start(home: Home, postgres: EmbeddedPostgres, ports: Mapping[str, int], environment: Mapping[str, str]) -> None:
    """Start the sandbox Oracle and the sandbox Totara, where they do not run, and return once both answer.

    :raises LocalRunFailed: one ended, or needs too long.
    """
    commands = {
        ORACLE: ("oracle", "--port", str(ports["oracle"]), "--data", str(home.oracle)),
        TOTARA: ("totara.http", "--port", str(ports["totara"]), "--database-url", totara_address(postgres)),
    }
    for name, (module, *arguments) in commands.items():
        if not processes.alive(home, name):
            command = ("-m", f"totara_bridge.sandbox.{module}", *arguments)
            processes.start(home, name, (processes.program("python"), *command), environment)
    _wait_until(home, ORACLE, lambda: received(ports["oracle"]) is not None)
    _wait_until(home, TOTARA, lambda: _answer(ports["totara"], "/sandbox/switches") is not None)


def _wait_until(home: Home, name: str, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not answers():
        if not processes.alive(home, name) or time.monotonic() > deadline:
            raise LocalRunFailed(f"The {name.replace('-', ' ')} did not start: {processes.last_words(home, name)}")
        time.sleep(0.2)


def received(port: int) -> dict[str, Any] | None:
    """What the sandbox Oracle was sent, in counts; none: it does not answer."""
    return _answer(port, "/sandbox/received")


def _answer(port: int, path: str) -> dict[str, Any] | None:
    with requests.Session() as session:
        session.trust_env = False  # no proxy is asked for loopback
        try:
            answer = session.get(f"http://127.0.0.1:{port}{path}", timeout=30)
            return dict(answer.json()) if answer.ok else None
        except (requests.RequestException, ValueError):
            return None


def store_connections(
    api: AirflowApi, totara: str, ports: Mapping[str, int], say: Callable[[str], None], *, password: str = ""
) -> None:
    """Store the two Connections; one whose address is right keeps whatever a person changed in it.

    :param totara: the address of the sandbox Totara's database, without its password.
    """
    for connection in _connections(totara, password, ports):
        name = connection["connection_id"]
        there = api.connection(name)
        if there is None:
            api.add_connection(connection)
            say(f"Connection {name} is stored.")
        elif _address(there) != _address(connection):
            api.replace_connection(connection)
            say(f"Connection {name} has its new address.")


def totara_address(postgres: EmbeddedPostgres) -> str:
    """Of the sandbox Totara's database, as a Connection has it."""
    # without the colon of an empty password, which a Connection's database URL may not have
    return postgres.dsn(TOTARA_DATABASE).replace("postgres:@", "postgres@", 1)


#: Airflow's form shows of a stored Connection those extra fields that it has.
_ALL_FIELDS = {
    "source": "database",
    "database_url": "",
    "database_password": "",
    "table_prefix": "ttr_",
    "timeout_ms": 30_000,
    "requests_in_flight": 4,
    "recheck_days": 30,
    "api_client": CLIENT_ID_OF_API,
    "api_secret": CLIENT_SECRET_OF_API,
    "report": {"id": 1},
    "time_zone": "UTC",
    "days_of": "site",
    "is_active": True,
    "is_source": True,
    "query": {},
}


def _connections(totara: str, password: str, ports: Mapping[str, int]) -> list[dict[str, Any]]:
    oracle = f"http://127.0.0.1:{ports['oracle']}"
    return [
        {
            "connection_id": "totara_sandbox",
            "conn_type": "totara",
            "description": "The sandbox Totara",
            "host": f"http://127.0.0.1:{ports['totara']}",
            "port": _NO_PORT,
            "password": REST_TOKEN,
            "extra": json.dumps(_ALL_FIELDS | {"database_url": totara, "database_password": password}),
        },
        {
            "connection_id": "oracle_sandbox",
            "conn_type": "oracle_completions",
            "description": "The sandbox Oracle",
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
