"""`make up`: from nothing, or from wherever the last one came, to a working bridge that has delivered the past."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine

from totara_bridge.command import __main__ as command
from totara_bridge.config import database_url
from totara_bridge.local import airflow, delivery, ports, processes, sandbox
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.home import Home, LocalRunFailed, make_home
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.local.report import read_overview, table
from totara_bridge.sandbox.totara.http.tokens import REST_TOKEN
from totara_bridge.staging.engine import staging_engine
from totara_bridge.staging.migrate import migrate

_DATABASE_URL = "TOTARA_BRIDGE_DATABASE_URL"
_began = time.monotonic()


def say(words: str) -> None:
    """One line of what is being done, and when."""
    print(f"{time.monotonic() - _began:4.0f} s  {words}", flush=True)


def up() -> None:
    """Bring everything up, deliver, and report; what runs already is left as it is.

    :raises BridgeError: it cannot be done; one sentence says why.
    """
    home = make_home()
    with home.locked():
        home.require_space()
        _end_strays(home)
        chosen = _choose_ports(home)
        postgres = _start_postgres(home)
        with _staging(postgres) as staging, _api(chosen["airflow"]) as api:
            already = _start(home, chosen, postgres, staging, api)
            sandbox.store_connections(api, sandbox.totara_address(postgres), chosen, say)
            delivery.deliver(api, staging, say)
            if already:
                print("Totara Bridge is already up.")
            report(staging, chosen)


def status() -> None:
    """Report on a local run that is up.

    :raises LocalRunFailed: none is.
    """
    home = _home_of_what_is_up()
    with _staging(_start_postgres(home)) as staging:
        report(staging, home.remembered_ports())


def ask(question: Sequence[str]) -> int:
    """Put a question of `totara_bridge.command` to the local run; the command's exit code.

    :raises LocalRunFailed: none is up.
    """
    with _staging(_start_postgres(_home_of_what_is_up())):
        return command.main(question, program="make ask WHAT=…")


def _home_of_what_is_up() -> Home:
    home = make_home()
    if not all(processes.alive(home, name) for name in (*airflow.SERVICES, *sandbox.SERVICES)):
        raise LocalRunFailed(
            f"Totara Bridge is not up in {home.root}: start it with `make up`, or name the folder of one that is up in "
            "TOTARA_BRIDGE_HOME."
        )
    return home


def report(staging: Engine, chosen: dict[str, int]) -> None:
    """Print the table, the addresses, the login, and how to get a token."""
    received = sandbox.received(chosen["oracle"])
    print()
    for line in table(read_overview(staging), received["keys_stored"] if received else None):
        print(line)
    address = f"http://127.0.0.1:{chosen['airflow']}"
    print(f"\n  Airflow    {address}")
    print(f"  login      {airflow.LOGIN} / {airflow.PASSWORD}")
    print(f"  panel      {address}/plugin/oracle-integration")
    print(f"  Pull API   {address}/bridge/api/v1")
    print('  token      make ask WHAT="token issue demo"')
    print(f"  Totara     http://127.0.0.1:{chosen['totara']} (its web services' token is {REST_TOKEN})")
    print(f"  staging    {_address(staging)}")
    print("  stop with  make down\n", flush=True)


def _address(staging: Engine) -> str:
    """What `TOTARA_BRIDGE_DATABASE_URL` is to be for others, without a password: the embedded one has none."""
    return staging.url.set(drivername="postgresql").render_as_string(hide_password=True).replace(":***@", "@")


def _end_strays(home: Home) -> None:
    """End what still runs of a run whose data folder was deleted under it."""
    if not any(processes.alive(home, name) for name in (*airflow.SERVICES, *sandbox.SERVICES)):
        processes.stop(home)


def _choose_ports(home: Home) -> dict[str, int]:
    """A port per service: the one that it listens on, or one that is free."""
    chosen: dict[str, int] = {}
    remembered = home.remembered_ports()
    owners = {"airflow": "api-server", "oracle": sandbox.ORACLE, "totara": sandbox.TOTARA}
    for service, owner in owners.items():
        before = remembered.get(service)
        if before is not None and processes.alive(home, owner):
            chosen[service] = before
            if (asked := ports.asked(service)) not in ("", str(before)):
                say(f"The {owner} stays at port {before}: `make down`, then `make up` moves it to {asked}.")
            continue
        avoid = {*chosen.values(), *(remembered[other] for other in owners if other != service and other in remembered)}
        chosen[service] = ports.choose(service, remembered=before, avoid=avoid)
    home.remember_ports(chosen)
    return chosen


def _start_postgres(home: Home) -> EmbeddedPostgres:
    if home.postgres.parent != home.root:
        say(
            f"PostgreSQL's data goes to {home.postgres}, since the path of {home.root} is too long for its socket; "
            "a shorter TOTARA_BRIDGE_HOME keeps all in one place."
        )
    try:
        return EmbeddedPostgres(home.postgres)
    except (subprocess.SubprocessError, psycopg.OperationalError, AssertionError) as error:
        raise LocalRunFailed(
            f"The embedded PostgreSQL did not start: see {home.postgres / 'log'}, then run `make up` again."
        ) from error


def _start(home: Home, chosen: dict[str, int], postgres: EmbeddedPostgres, staging: Engine, api: AirflowApi) -> bool:
    """Start what does not run; whether everything ran already."""
    started = {name: processes.started_at(home, name) for name in airflow.SERVICES}
    sandbox_runs = all(processes.alive(home, name) for name in sandbox.SERVICES)
    if sandbox_runs and all(started.values()) and not airflow.unhealthy(api.health(), started):
        return True
    environment = airflow.environment(
        home,
        port=chosen["airflow"],
        metadata_url=postgres.ensure_database("airflow"),
        staging_url=os.environ[_DATABASE_URL],
    )
    airflow.write_passwords(home)
    say("PostgreSQL is up; Airflow's database is being migrated.")
    migration = processes.start(home, "migrate", (processes.program("airflow"), "db", "migrate"), environment)
    migrate(staging.url.render_as_string(hide_password=False))
    say(f"The staging database {staging.url.database} is migrated.")
    if filled := sandbox.fill_totara(postgres):
        say(f"The sandbox Totara is made, {filled}.")
    sandbox.start(home, postgres, chosen, environment)
    say(
        f"The sandbox Oracle answers at http://127.0.0.1:{chosen['oracle']}, the sandbox Totara at "
        f"http://127.0.0.1:{chosen['totara']}."
    )
    processes.finish(home, "migrate", migration)
    airflow.start(home, environment)
    say("Airflow's database is migrated; Airflow is starting.")
    airflow.wait_until_healthy(home, api)
    say(f"Airflow is healthy: {', '.join(airflow.SERVICES)}.")
    return False


@contextmanager
def _staging(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """The staging database: the embedded one, unless the environment names another."""
    if not os.environ.get(_DATABASE_URL):
        os.environ[_DATABASE_URL] = postgres.ensure_database("bridge")
    engine = staging_engine(database_url())
    try:
        yield engine
    finally:
        engine.dispose()


def _api(port: int) -> AirflowApi:
    return AirflowApi(f"http://127.0.0.1:{port}", login=airflow.LOGIN, password=airflow.PASSWORD)
