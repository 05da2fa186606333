"""The whole bridge brought up for chaos: real schedules, Celery, two workers, the Pull API alone, and both sides."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from sqlalchemy import Engine, create_engine

from tests.chaos.whole.audit import RECONCILE, WATCH
from tests.chaos.whole.follower import Follower
from tests.chaos.whole.health import watching
from tests.chaos.whole.keeper import Keeper, Kept
from tests.chaos.whole.life import Life
from tests.chaos.whole.scene import Scene
from tests.chaos.whole.wire import Wire
from tests.e2e.running import NEVER, RunningAirflow
from tests.production.delivery import EXTRACT, PUSH
from tests.production.stack import AIRFLOW, Stack
from totara_bridge.local import airflow, sandbox
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.delivery import BACKFILL
from totara_bridge.sandbox.oracle.orders import Orders
from totara_bridge.sandbox.oracle.server import SandboxOracle

#: Everything as often as Airflow's schedules allow, and nothing compared but at the end.
_CONFIGURATION = f"""
[extract]
schedule = "* * * * *"
[push]
schedule = "* * * * *"
[watch]
schedule = "* * * * *"
[reconcile]
schedule = "{NEVER}"
[purge]
schedule = "{NEVER}"

[[sites]]
code = "sbx"
connection = "totara_sandbox"

[[destinations]]
code = "oracle"
connection = "oracle_sandbox"
corrections = true
withdrawals = true
"""

#: Small requests to a slow Oracle: most of the time something is being sent.
_SETTINGS = {"batch_size": 5, "requests_in_flight": 2, "retry_longest": "PT1M"}
_LATENCY = 1.5

_DAGS = (EXTRACT, BACKFILL, PUSH, RECONCILE, WATCH)

SERVICES = {
    **{name: Kept(name) for name in ("redis", *AIRFLOW, "pull")},
    **{f"worker-{number}": Kept("worker", {"WORKER_CONCURRENCY": "2"}) for number in (1, 2)},
}


@contextmanager
def everything(root: Path, dice: random.Random, say: Callable[[str], None]) -> Iterator[Scene]:
    """All of it, at work after the first delivery.

    :param root: an empty folder with a short path, for all that is kept.
    """
    stack = Stack(root, {"AIRFLOW_EXECUTOR": "CeleryExecutor"})
    try:
        stack.here.configuration.write_text(_CONFIGURATION)
        stack.make_databases()
        stack.run("migrate")
        keeper = Keeper(stack, SERVICES)
        for called in SERVICES:
            keeper.start(called)
        with (
            _totara(stack) as totara,
            SandboxOracle(root / "oracle.sqlite") as oracle,
            acting(keeper, totara, oracle, dice, say) as scene,
        ):
            _deliver(scene)
            oracle.settings(latency=_LATENCY)
            scene.life.begin()
            yield scene
    finally:
        stack.close()


@contextmanager
def acting(
    keeper: Keeper, totara: Engine, oracle: Orders, dice: random.Random, say: Callable[[str], None]
) -> Iterator[Scene]:
    """A scene of services that run, with wires to both sides and a puller that follows; none of these outlives it."""
    stack = keeper.stack
    ports = (urlsplit(oracle.url).port or 0, stack.postgres.port)
    database = stack.postgres.url("bridge").set(drivername="postgresql").render_as_string(hide_password=False)
    airflow_port = stack.here.ports["api-server"]
    with (
        Wire(ports[0]) as to_oracle,
        Wire(ports[1]) as to_totara,
        RunningAirflow(airflow_port, staging=database, totara="", oracle=oracle, logs=stack.logs) as asked,
    ):
        token = asked.issue_token("chaos")
        follower, life = Follower(f"{stack.pull_address}/bridge/api/v1", token), Life(totara, dice)
        with watching(keeper, token) as health:
            scene = Scene(stack, keeper, health, asked, oracle, totara, to_oracle, to_totara, life, follower, dice, say)
            scene.until_well()
            asked.log_in(stack.secret("AIRFLOW_ADMIN"))
            follower.begin()
            try:
                yield scene
            finally:
                life.end()
                follower.stop()


@contextmanager
def _totara(stack: Stack) -> Iterator[Engine]:
    """The recorded Totara, in a database of a role of its own."""
    name, server = sql.Identifier(sandbox.TOTARA_DATABASE), stack.postgres.url()
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        secret = sql.Literal(sandbox.TOTARA_DATABASE)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, secret))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))
    url = stack.postgres.url(sandbox.TOTARA_DATABASE, sandbox.TOTARA_DATABASE, sandbox.TOTARA_DATABASE)
    engine = create_engine(url, pool_pre_ping=True)
    sandbox.fill(engine)
    yield engine
    engine.dispose()


def _deliver(scene: Scene) -> None:
    """Deliver the past, and let the schedules run."""
    for setting, value in _SETTINGS.items():
        scene.airflow.set(setting, value)
    connect(scene, oracle=scene.to_oracle.port, totara=scene.to_totara.port)
    scene.until("the DAGs are known", lambda: {*_DAGS} <= _known(scene))
    scene.airflow.pause(EXTRACT, False)
    scene.run(EXTRACT)  # the baseline
    for dag in _DAGS[1:]:
        scene.airflow.pause(dag, False)
    scene.run(BACKFILL, from_date="1970-01-01", dry_run=False)
    scene.until("the past is delivered", lambda: not scene.open_items())


def _known(scene: Scene) -> set[str]:
    return {dag["dag_id"] for dag in scene.airflow.api("GET", "dags")["dags"]}


def connect(scene: Scene, *, oracle: int, totara: int) -> None:
    """Store the Connections to the sandbox, at these ports."""
    name = sandbox.TOTARA_DATABASE
    with _api(scene) as api:
        ports = {"oracle": oracle, "totara": totara}
        sandbox.store_connections(
            api, f"postgresql://{name}@127.0.0.1:{totara}/{name}", ports, scene.say, password=name
        )


def _api(scene: Scene) -> AirflowApi:
    return AirflowApi(scene.stack.address, login=airflow.LOGIN, password=scene.stack.secret("AIRFLOW_ADMIN"))
