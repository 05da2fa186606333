"""How often a token may be used, and what is known of its use."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Self

import psycopg
import pytest
from sqlalchemy import Connection, NullPool, create_engine, text

from tests.items import NOW
from tests.web.door import Door, a_door
from totara_bridge import api_token
from totara_bridge.settings import Settings
from totara_bridge.staging.api_token import Caller, admit, may_go_on
from totara_bridge.staging.engine import driver

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def opened(new_database: Callable[[str], str]) -> Iterator[Door]:
    """A door for all tests of this file."""
    with a_door(new_database("gate_limit")) as door:
        yield door


@pytest.fixture
def door(opened: Door) -> Door:
    """A door before which nobody was yet."""
    return opened.emptied()


@pytest.fixture
def connection(door: Door) -> Iterator[Connection]:
    """For the gate's statement alone."""
    with door.table.staging.connect().execution_options(isolation_level="AUTOCOMMIT") as opened:
        yield opened


def ask(connection: Connection, token: str, now: datetime = NOW) -> Caller:
    """The gate's statement."""
    caller = admit(connection, sha256=hashlib.sha256(token.encode()).digest(), address=None, now=now)
    assert caller is not None
    return caller


def passed(connection: Connection, token: str, times: int, now: datetime = NOW) -> int:
    """How many of so many requests."""
    return sum(not ask(connection, token, now).wait for _ in range(times))


@pytest.mark.parametrize("per_minute", [1, 2, 7, 13, 59, 60, 61, 997])
def test_as_many_as_are_said_pass_at_one_moment_and_again_a_minute_later(
    door: Door, connection: Connection, per_minute: int
) -> None:
    door.switch("pull_per_minute", per_minute)
    token = door.issue()
    assert passed(connection, token, per_minute + 3) == per_minute
    assert passed(connection, token, per_minute + 3, NOW + MINUTE) == per_minute


def test_the_bounds_of_the_switch_are_those_of_the_statement(door: Door, connection: Connection) -> None:
    token = door.issue()
    [low, high] = (getattr(each, name) for each, name in zip(
        Settings.model_fields["pull_per_minute"].metadata, ("ge", "le"), strict=True))  # fmt: skip
    for number, on in ((low - 1, None), (low, True), (high, True), (high + 1, None)):
        door.table.sql("DELETE FROM bridge.setting")
        door.table.sql(
            "INSERT INTO bridge.setting VALUES ('bridge', 'pull_per_minute', to_jsonb(cast(:n AS int)), now(), 'ann')",
            n=number,
        )
        assert ask(connection, token).switched_on is on, number


def test_of_many_at_the_same_time_as_many_pass_as_may(door: Door) -> None:
    door.switch("pull_per_minute", 25)
    token = door.issue()

    def several(_: int) -> list[int]:
        with door.calling() as ask:
            return [ask([("X-Api-Key", token)], "/read").status for _ in range(10)]

    with ThreadPoolExecutor(8) as threads:
        told = [status for some in threads.map(several, range(8)) for status in some]
    assert (told.count(200), told.count(429)) == (25, 55)


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600])
def test_who_waits_as_long_as_told_is_let_in_and_not_before(door: Door, per_minute: int) -> None:
    door.switch("pull_per_minute", per_minute)
    token = door.issue()
    with door.table.staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        passed(connection, token, per_minute)
        door.now += timedelta(milliseconds=20)
        exactly = ask(connection, token, door.now).wait
    for _ in range(5):  # refused, it costs nothing
        refused = door.show(token)
        assert (refused.status, refused.kind) == (429, "too-many-requests")
        assert exactly <= refused.retry_after < exactly + SECOND
    began = door.now
    door.now = began + exactly - MICROSECOND
    assert door.show(token).status == 429
    door.now = began + refused.retry_after
    assert door.show(token).status == 200


def test_at_its_pace_one_may_go_on_for_ever(door: Door, connection: Connection) -> None:
    door.switch("pull_per_minute", 60)
    token = door.issue()
    assert passed(connection, token, 60) == 60
    for second in range(1, 100):
        assert passed(connection, token, 2, NOW + second * SECOND) == 1
    assert passed(connection, token, 100, NOW + 130 * SECOND) == 31, "what was not used for half a minute is saved"


def test_who_was_let_in_by_a_clock_that_was_ahead_is_not_locked_out(door: Door, connection: Connection) -> None:
    door.switch("pull_per_minute", 3)
    token = door.issue()
    assert passed(connection, token, 1) == 1
    assert passed(connection, token, 5, NOW + timedelta(days=1)) == 3
    assert passed(connection, token, 5, NOW + SECOND) == 3
    assert ask(connection, token, NOW + SECOND).wait == MINUTE / 3
    assert passed(connection, token, 5, NOW + MINUTE + SECOND) == 3


def test_by_clocks_that_differ_by_seconds_no_more_are_let_in(door: Door, connection: Connection) -> None:
    door.switch("pull_per_minute", 3)
    token = door.issue()
    assert passed(connection, token, 5, NOW + 5 * SECOND) == 3
    assert passed(connection, token, 5, NOW) == 0


@pytest.mark.parametrize(("written", "number"), [("1_0", 10), ("+7", 7), (" 3 ", 3), ("2.0", 2), (4.0, 4)])
def test_a_number_that_is_taken_counts_however_it_is_written(
    door: Door, connection: Connection, written: object, number: int
) -> None:
    door.switch("pull_per_minute", written)
    assert passed(connection, door.issue(), number + 1) == number


def test_each_token_has_a_limit_of_its_own(door: Door, connection: Connection) -> None:
    door.switch("pull_per_minute", 2)
    first, other = door.issue(), door.issue("other")
    with door.table.staging.begin() as transaction:
        second = api_token.rotate(transaction, caller="warehouse", by="ann", now=NOW).new.token
    assert [passed(connection, each, 5) for each in (first, other, second)] == [2, 2, 2]


def test_another_limit_counts_from_the_next_request_on(door: Door, connection: Connection) -> None:
    door.switch("pull_per_minute", 1)
    token = door.issue()
    assert passed(connection, token, 2) == 1
    door.switch("pull_per_minute", 6)
    assert passed(connection, token, 9, NOW + 30 * SECOND) == 3
    door.switch("pull_per_minute", 1)
    assert passed(connection, token, 2, NOW + 31 * SECOND) == 0
    assert passed(connection, token, 2, NOW + 91 * SECOND) == 1


PROCESS = """
import sys
from datetime import datetime
from sqlalchemy import create_engine
from totara_bridge.staging.api_token import admit
engine = create_engine(sys.argv[1], isolation_level="AUTOCOMMIT")
with engine.connect() as connection:
    print("ready", flush=True)
    sys.stdin.readline()
    asked = dict(sha256=bytes.fromhex(sys.argv[2]), address=None, now=datetime.fromisoformat(sys.argv[3]))
    print(sum(not admit(connection, **asked).wait for _ in range(100)))
engine.dispose()
"""


def test_two_processes_share_the_limit(door: Door) -> None:
    door.switch("pull_per_minute", 101)
    token = door.issue()
    address = door.table.staging.url.render_as_string(hide_password=False)
    hashed = hashlib.sha256(token.encode()).hexdigest()
    program = [sys.executable, "-c", PROCESS, address, hashed, NOW.isoformat()]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    several = [
        subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for each in several:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in several:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        assert sum(int(each.communicate()[0]) for each in several) == 101
    finally:
        for each in several:
            each.kill()
            each.communicate()


def last_used(door: Door) -> datetime | None:
    """As the table has it."""
    [row] = door.table.sql("SELECT last_used_at FROM bridge.api_token")
    found: datetime | None = row["last_used_at"]
    return found


def test_the_last_use_is_written_once_a_minute_at_most(door: Door, connection: Connection) -> None:
    token = door.issue()
    assert last_used(door) is None
    for later, written in ((0, 0), (30, 0), (60, 0), (61, 61), (90, 61), (500, 500)):
        assert not ask(connection, token, NOW + later * SECOND).wait
        assert last_used(door) == NOW + written * SECOND


def test_a_request_that_is_refused_is_no_use(door: Door, connection: Connection) -> None:
    door.switch("pull_per_minute", 1)
    token = door.issue(networks=["10.0.0.0/8"])
    assert door.show(token).status == 403
    assert last_used(door) is None
    assert door.show(token, source="10.0.0.1").status == 200
    door.switch("pull", False)
    door.now += 2 * MINUTE
    assert door.show(token, source="10.0.0.1").status == 503
    door.switch("pull", True)
    door.table.sql("UPDATE bridge.api_token_pace SET paid_until = :at", at=door.now + MINUTE)
    assert door.show(token, source="10.0.0.1").status == 429
    assert last_used(door) == NOW


def test_who_was_let_in_may_go_on_without_paying_until_the_token_or_the_api_ends(
    door: Door, connection: Connection
) -> None:
    door.switch("pull_per_minute", 1)
    caller = ask(connection, door.issue(lasts=timedelta(hours=1)))

    def goes_on(later: timedelta = timedelta(0)) -> bool:
        return may_go_on(connection, token=caller.token, now=NOW + later)

    assert all(goes_on() for _ in range(5))
    assert [goes_on(timedelta(hours=1) - MICROSECOND), goes_on(timedelta(hours=1))] == [True, False]
    for name in ("enabled", "pull"):
        door.switch(name, False)
        assert not goes_on()
        door.switch(name, True)
        assert goes_on()
    door.table.sql("UPDATE bridge.setting SET value = '0' WHERE name = 'pull_per_minute'")
    assert not goes_on()
    door.switch("pull_per_minute", 1)
    door.revoke()
    assert not goes_on()


def prepared(connection: Connection, token: str) -> str:
    """Prepare the gate's statement on the server; what executes it."""
    caught: list[tuple[str, dict[str, Any]]] = []

    class Catching(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **others: Any) -> Self:
            caught.append((query.decode() if isinstance(query, bytes) else query, params))
            return super().execute(query, params, **others)

    driver(connection).cursor_factory = Catching
    ask(connection, token)
    driver(connection).cursor_factory = psycopg.Cursor
    [(statement, values)] = caught
    names = list(values)
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement)
    connection.exec_driver_sql(f"PREPARE gate AS {numbered}")
    written = (
        "NULL" if each is None else f"'\\x{each.hex()}'" if isinstance(each, bytes) else f"'{each}'"
        for each in values.values()
    )
    return f"EXECUTE gate ({', '.join(written)})"


def scans(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Of each table that a plan reads: how."""
    if "Scan" in node["Node Type"] and "Relation Name" in node:
        yield node["Relation Name"], node.get("Index Name", node["Node Type"])
    for child in node.get("Plans", ()):
        yield from scans(child)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_the_statement_reads_indexes_however_many_tokens_there_are(door: Door, mode: str) -> None:
    token = door.issue()
    door.table.sql(
        """
        INSERT INTO bridge.api_token (caller, sha256, hint, scopes, networks, created_at, created_by)
        SELECT 'caller' || n, sha256(n::text::bytea), 'tbk_xxxx', '{read}', '{}', :now, 'ann'
        FROM generate_series(1, 20000) n
        """,
        now=NOW,
    )
    door.table.sql("INSERT INTO bridge.api_token_pace SELECT id, :now FROM bridge.api_token", now=NOW)
    engine = create_engine(
        door.table.staging.url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"prepare_threshold": None},
    )
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE bridge.api_token, bridge.api_token_pace"))
        connection.execute(text(f"SET plan_cache_mode = {mode}"))
        execute = prepared(connection, token)
        [(found,)] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {execute}").all()
        whole = connection.exec_driver_sql("EXPLAIN (FORMAT JSON) SELECT hint FROM bridge.api_token").scalar_one()
    used = set(scans((json.loads(found) if isinstance(found, str) else found)[0]["Plan"]))
    assert {each for each in used if each[0] != "setting"} == {
        ("api_token", "api_token_sha256_key"),
        ("api_token", "api_token_pk"),
        ("api_token_pace", "api_token_pace_pk"),
    }
    assert set(scans(whole[0]["Plan"])) == {("api_token", "Seq Scan")}, "it would be noticed"
