"""Nobody keeps others from being served, and a database that cannot be used now is told as such."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import requests
from sqlalchemy import Connection, Engine, text
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.staging_roles import PULL, address_as
from tests.web.puller import Puller
from tests.web.serving import serving
from totara_bridge import api_token
from totara_bridge.staging.engine import staging_engine
from totara_bridge.web.problem import Problem
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.service import Service

Wait = Callable[[Callable[[], bool]], None]

SAID = [{"id": "sbx-3-20", "status": "received"}]


@pytest.fixture
def beside(staging: Engine) -> Iterator[Connection]:
    """A connection of the test's own, that was there before."""
    with staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT 1"))
        yield connection


@contextmanager
def pulling(service: Service, token: str) -> Iterator[Puller]:
    """Somebody who asks a server of this service."""
    with serving(Starlette(routes=[Mount(PREFIX, pull_app(service))])) as host, Puller(host + PREFIX, token) as puller:
        yield puller
    service.engine.dispose()


@contextmanager
def locked(staging: Engine, table: str, mode: str) -> Iterator[None]:
    """Nobody else gets a lock on the table that the mode keeps from them."""
    with staging.begin() as transaction:
        transaction.execute(text(f"LOCK TABLE bridge.{table} IN {mode} MODE"))
        yield


@contextmanager
def sending(puller: Puller, times: int, *tokens: str) -> Iterator[list[int]]:
    """So many who acknowledge something at the same time; their statuses, once all have their answer.

    :param tokens: so many with each of them; none: with the puller's own.
    """
    statuses: list[int] = []

    def send(token: str) -> None:
        with Puller(puller.address, token) as another:
            statuses.append(another.post("/acknowledgements", SAID).status_code)

    shown = tokens or (str(puller.session.headers["X-Api-Key"]),)
    threads = [threading.Thread(target=send, args=[each]) for each in shown for _ in range(times)]
    for thread in threads:
        thread.start()
    yield statuses
    for thread in threads:
        thread.join()


def unavailable(answer: requests.Response) -> bool:
    """Whether it says that, and when to ask again."""
    kind = answer.json().get("type")
    return (answer.status_code, kind) == (503, "urn:totara-bridge:problem:unavailable") and (
        int(answer.headers["retry-after"]) > 0
    )


def test_who_acknowledges_leaves_threads_and_connections_to_who_reads(
    staging: Engine, token: str, wait_until: Wait
) -> None:
    service = Service(staging_engine(_address(staging), connections=4), threads=4)
    with pulling(service, token) as puller:
        with sending(puller, 6) as statuses, locked(staging, "acknowledgement", "SHARE"):
            wait_until(lambda: service.changes.statistics().tasks_waiting == 2)  # and three for the caller's own turn
            assert puller.get("/completions").status_code == 200
        assert statuses == [200] * 6


def test_bodies_beyond_a_few_wait_and_then_are_refused(staging: Engine, token: str, wait_until: Wait) -> None:
    service = Service(staging_engine(_address(staging), connections=4), threads=4, body_within=3)
    others = [issued(staging, caller) for caller in ("first", "second", "third", "fourth")]
    with pulling(service, token) as puller:
        with sending(puller, 2, *others) as statuses, locked(staging, "acknowledgement", "SHARE"):
            wait_until(lambda: bool(statuses) or service.bodies.statistics().borrowed_tokens == 8)
            assert statuses == [], "one was answered before all had come"
            assert unavailable(puller.post("/acknowledgements", SAID))
            assert puller.get("/completions").status_code == 200
        assert statuses == [200] * 8
        assert puller.post("/acknowledgements", SAID).status_code == 200


def test_one_caller_leaves_room_for_the_bodies_of_others_whichever_tokens_it_shows(
    staging: Engine, token: str, wait_until: Wait
) -> None:
    service = Service(staging_engine(_address(staging), connections=4), threads=4, body_within=3)
    with staging.begin() as transaction:
        again = api_token.rotate(transaction, caller="warehouse", by="ann", now=datetime.now(UTC)).new.token
    other = issued(staging, "other")
    with pulling(service, token) as puller:
        with ExitStack() as sent, locked(staging, "acknowledgement", "SHARE"):
            some = sent.enter_context(sending(puller, 1, token, again, token))
            others = sent.enter_context(sending(puller, 1, other))
            wait_until(lambda: bool(some or others) or service.bodies.statistics().borrowed_tokens == 4)
            assert (some, others) == ([], []), "one was answered before all had come"
            refused = puller.post("/acknowledgements", SAID)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
            assert refused.json()["type"] == "urn:totara-bridge:problem:too-many-requests"
        assert (some, others) == ([200] * 3, [200])
        assert puller.post("/acknowledgements", SAID).status_code == 200


def test_a_statement_that_takes_too_long_is_told_as_unavailable(staging: Engine, token: str) -> None:
    engine = staging_engine(_address(staging), connections=1, statement_timeout=timedelta(seconds=3))
    with pulling(Service(engine, threads=1), token) as puller:
        with locked(staging, "completion", "ACCESS EXCLUSIVE"):
            told = puller.get("/completions")
            assert unavailable(told)
            assert "needed too long for this and was stopped" in told.json()["detail"]
        assert puller.get("/completions").status_code == 200


def test_a_database_that_only_reads_is_unavailable_and_connected_to_anew(
    staging: Engine, token: str, beside: Connection
) -> None:
    """As the server of a failover that is found again, at its address, as the other's standby."""
    only_reads = f"ALTER DATABASE {staging.url.database} SET default_transaction_read_only"
    service = Service(staging_engine(_address(staging), connections=1), threads=1)
    beside.execute(text(f"{only_reads} = on"))
    with pulling(service, token) as puller:
        assert unavailable(puller.get("/completions"))
        beside.execute(text(f"{only_reads} = off"))
        assert puller.get("/completions").status_code == 200  # a connection that was kept would only read for good


def test_a_change_that_meets_a_database_that_only_reads_connects_anew(staging: Engine) -> None:
    engine = staging_engine(staging.url.render_as_string(hide_password=False), connections=1)
    service = Service(engine, threads=1)
    with service.change() as transaction:
        transaction.execute(text("SET SESSION default_transaction_read_only = on"))
    with pytest.raises(Problem, match="unavailable"), service.change() as transaction:
        transaction.execute(text("DELETE FROM bridge.completion"))
    with service.change() as transaction:
        transaction.execute(text("DELETE FROM bridge.completion"))
    engine.dispose()


def issued(staging: Engine, caller: str) -> str:
    """A token of the caller."""
    with staging.begin() as transaction:
        return api_token.issue(transaction, caller=caller, by="ann", now=datetime.now(UTC)).token


def _address(staging: Engine) -> str:
    return address_as(staging, PULL)
