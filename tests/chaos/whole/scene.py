"""Everything at work: the services of docker-compose.yaml, a Totara in which life goes on, an Oracle, and a puller.

The bridge reaches Totara and Oracle only over wires that can be cut.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row
from sqlalchemy import Engine

from tests.chaos.whole.follower import Follower
from tests.chaos.whole.health import Health
from tests.chaos.whole.keeper import Keeper
from tests.chaos.whole.life import Life
from tests.chaos.whole.wire import Wire
from tests.e2e.running import RunningAirflow
from tests.production.stack import Stack
from totara_bridge.sandbox.oracle.orders import Orders

#: Seconds between two looks at what has no event to wait for.
LOOK = 0.5


class NeverCame(AssertionError):
    """What should have happened did not; says what, and how things are."""


@dataclass
class Scene:
    """What there is to break, and to look at."""

    stack: Stack
    keeper: Keeper
    health: Health
    airflow: RunningAirflow
    oracle: Orders
    totara: Engine
    to_oracle: Wire
    to_totara: Wire
    life: Life
    follower: Follower
    dice: random.Random
    say: Callable[[str], None]
    longest_cut: float = 50.0  #: seconds
    patience: float = 900.0  #: seconds after which what should have happened never will

    def rows(self, statement: str, **values: object) -> Sequence[dict[str, Any]]:
        """What staging says."""
        address = self.stack.postgres.url("bridge").set(drivername="postgresql")
        with psycopg.connect(address.render_as_string(hide_password=False), row_factory=dict_row) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def states(self) -> dict[str, int]:
        """How many items are in each state."""
        found = self.rows("SELECT state, count(*) AS items FROM bridge.export_queue GROUP BY state")
        return {row["state"]: row["items"] for row in found}

    def open_items(self) -> int:
        """How many are still to be sent."""
        return sum(items for state, items in self.states().items() if state in ("queued", "failed", "sending"))

    def until(self, what: str, condition: Callable[[], bool]) -> float:
        """Return once it is so, with the seconds that this took; what ended by itself is started again meanwhile.

        :raises NeverCame: it never was.
        """
        begun = time.monotonic()
        while not condition():
            waited = time.monotonic() - begun
            if waited > self.patience:
                raise NeverCame(
                    f"In {self.patience:.0f} s it never came to this: {what}. Not well: {self.health.trouble()}."
                )
            self.keeper.tend()
            time.sleep(LOOK)
        return time.monotonic() - begun

    def pause(self, seconds: float) -> None:
        """Let time pass; what ended by itself is started again meanwhile."""
        end = time.monotonic() + seconds
        self.until("time passes", lambda: time.monotonic() > end)

    def until_well(self) -> None:
        """Return once everything is."""
        self.until("all are well", lambda: not self.health.trouble())

    def run(self, dag: str, **conf: Any) -> None:
        """Begin a run of a DAG, and return when it has ended well."""
        run = self.airflow.begin(dag, **conf)
        path = f"dags/{dag}/dagRuns/{run}"
        state = ""

        def ended() -> bool:
            nonlocal state
            with suppress(requests.RequestException):  # a busy machine answers late
                state = self.airflow.api("GET", path)["state"]
            return state in ("success", "failed")

        self.until(f"the run {run} of {dag} ends", ended)
        if state == "failed":
            raise NeverCame(f"The run {run} of {dag} failed, though nothing was wrong any more.")

    def worker_that_sends(self) -> str:
        """The worker that runs a push, once one does."""
        workers = [called for called, kept in self.keeper.services.items() if kept.name == "worker"]
        found: list[str] = []

        def one_does() -> bool:
            path = "dags/push_completions/dagRuns/~/taskInstances"
            tasks = self.airflow.api("GET", path, params={"state": "running"})["task_instances"]
            at_work = {task["pid"] for task in tasks}
            found.extend(
                called for called in workers if at_work & {process.pid for process in self.stack.processes(called)}
            )
            return bool(found)

        self.until("a worker sends", one_does)
        return found[0]
