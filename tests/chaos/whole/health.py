"""Whether everything is well: what the services' health checks ask, the control panel with a login, and the Pull API.

The checks are those of the compose file, asked from one process: Airflow's own take seconds of processor time each.
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import ModuleType

import psycopg
import redis
import requests
from celery import Celery  # type: ignore[import-untyped]
from kombu.exceptions import KombuError

from tests.chaos.whole.keeper import Keeper
from tests.production.compose_file import PROJECT

PANEL, PULL = "control panel", "Pull API"

#: What Airflow calls its services in its answer, and in the names of their heartbeats.
_AIRFLOW = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}

#: Seconds in which who is asked must answer.
_ANSWER = 10.0


class Health:
    """Asks how all are; for ``with watching(…)``."""

    def __init__(self, keeper: Keeper, session: requests.Session, token: str) -> None:
        """Nobody is asked yet.

        :param token: of the Pull API.
        """
        self._keeper, self._stack = keeper, keeper.stack
        self._session = session
        self._pull = {"X-Api-Key": token}
        self._login: dict[str, str] = {}
        self._healthy = _health_check()
        self._celery = Celery(broker=self._stack.service("worker").environment["AIRFLOW__CELERY__BROKER_URL"])
        self._celery.conf.broker_transport_options = {"socket_timeout": _ANSWER, "socket_connect_timeout": _ANSWER}

    def close(self) -> None:
        """Ask no more."""
        self._celery.close()

    def trouble(self) -> dict[str, str]:
        """Who is not well, and why; the panel and the Pull API by their own names."""
        found = {name: why for name, why in self._asked() if why is not None}
        return found | {name: "It has ended." for name in self._keeper.services if not self._stack.runs(name)}

    def _asked(self) -> Iterator[tuple[str, str | None]]:
        yield "postgres", _said(self._postgres)
        yield "api-server", self._healthy.trouble(self._stack.address)
        for name, told in _AIRFLOW.items():
            yield name, _said(lambda told=told, name=name: self._beats(told, self._keeper.since[name]))  # type: ignore[misc]
        yield PANEL, _said(self._panel)
        yield PULL, _said(self._pulled)
        yield "pull", self._healthy.trouble(self._stack.pull_address, "pull")
        if "redis" in self._keeper.services:
            yield "redis", _said(self._redis)
            workers = [called for called, kept in self._keeper.services.items() if kept.name == "worker"]
            there = self._workers(workers)
            for called in workers:
                yield called, None if called in there else "It does not answer over Redis."

    def _beats(self, told: str, since: datetime) -> str | None:
        """Airflow takes a service for healthy for half a minute after its end: what counts is a heartbeat since."""
        said = self._session.get(f"{self._stack.address}/api/v2/monitor/health", timeout=_ANSWER).json()[told]
        heartbeat = said[f"latest_{told}_heartbeat"]
        if said["status"] != "healthy" or heartbeat is None:
            return f"Airflow takes it for {said['status']}."
        fresh = datetime.fromisoformat(heartbeat) > since
        return None if fresh else "It has not given a sign of life since it was started."

    def _panel(self) -> str | None:
        if not self._login:
            login = {"username": "admin", "password": self._stack.secret("AIRFLOW_ADMIN")}
            answer = self._session.post(f"{self._stack.address}/auth/token", json=login, timeout=_ANSWER)
            answer.raise_for_status()
            self._login = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return self._answers(f"{self._stack.address}/bridge/panel/api/overview", self._login)

    def _pulled(self) -> str | None:
        addresses = (f"{self._stack.address}/bridge/api/v1", f"{self._stack.pull_address}/bridge/api/v1")
        return next(
            filter(None, (self._answers(f"{each}/completions?limit=1", self._pull) for each in addresses)), None
        )

    def _answers(self, address: str, headers: dict[str, str]) -> str | None:
        answer = self._session.get(address, headers=headers, timeout=_ANSWER)
        return None if answer.status_code == 200 else f"{address} answers with HTTP {answer.status_code}."

    def _postgres(self) -> None:
        psycopg.connect(self._stack.staging(), connect_timeout=int(_ANSWER)).close()

    def _redis(self) -> None:
        port = self._stack.here.ports["redis"]
        with redis.Redis(port=port, password=self._stack.secret("REDIS"), socket_timeout=_ANSWER) as asked:
            asked.ping()

    def _workers(self, called: list[str]) -> set[str]:
        """Who answers what ``celery inspect ping`` asks."""
        names = {f"celery@{each}": each for each in called}
        try:
            with self._celery.connection_for_read() as connection:  # a new one: those that are kept may be dead
                ping = self._celery.control.ping
                answers = ping(destination=[*names], timeout=2.0, limit=len(names), connection=connection)
        except (OSError, redis.RedisError, KombuError):
            return set()
        return {names[name] for answer in answers for name in answer}


@contextmanager
def watching(keeper: Keeper, token: str) -> Iterator[Health]:
    """Somebody who asks."""
    with requests.Session() as session:
        session.trust_env = False
        found = Health(keeper, session, token)
        try:
            yield found
        finally:
            found.close()


def _said(ask: Callable[[], str | None]) -> str | None:
    try:
        return ask()
    except (OSError, KeyError, ValueError, psycopg.Error, redis.RedisError) as error:  # requests' errors are OSErrors
        return f"{type(error).__name__}: {error}"


def _health_check() -> ModuleType:
    """The program of the services' health checks."""
    told = importlib.util.spec_from_file_location("healthy", PROJECT / "production" / "healthy.py")
    assert told is not None
    assert told.loader is not None
    found = importlib.util.module_from_spec(told)
    told.loader.exec_module(found)
    return found
