"""Shadow mode shows each item once with its exact body, and leaves the queue and the destination as they were."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from tests.bridge import Bridge
from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.oracle.payload import body
from totara_bridge.oracle.redaction import redact
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.template import DEFAULT

SHADOW = Settings(shadow=True, batch_size=4)
LIVE = Settings(batch_size=4)


@pytest.fixture
def ten(bridge: Bridge) -> Bridge:
    """A bridge with ten items in its queue."""
    bridge.queue_new(10)
    return bridge


def queue(bridge: Bridge, *, shown: bool = False) -> list[dict[str, Any]]:
    """The queue as it is, but for what was shown."""
    rows = bridge.rows("SELECT * FROM bridge.export_queue ORDER BY id")
    assert {row["shadowed_at"] is not None for row in rows} <= {shown}
    return [row | {"shadowed_at": None} for row in rows]


def test_it_shows_each_item_once_and_changes_nothing(ten: Bridge, oracle: SandboxOracle) -> None:
    before = queue(ten)
    drained = ten.push(oracle, settings=SHADOW)
    assert drained.counts() == {"sent": 0, "failed": 0, "dead": 0, "released": 10, "requests": 3}
    assert queue(ten, shown=True) == before
    assert oracle.received()["requests"] == 0
    assert oracle.received()["tokens_issued"] == 1
    logged = ten.rows("SELECT outcome, http_status, items FROM bridge.export_log ORDER BY id")
    assert logged == [{"outcome": "shadow", "http_status": None, "items": items} for items in (4, 4, 2)]
    assert ten.rows("SELECT FROM bridge.item_event") == []
    assert ten.push(oracle, settings=SHADOW).requests == 0


def test_the_body_that_is_shown_is_the_one_that_would_be_sent_without_names(ten: Bridge, oracle: SandboxOracle) -> None:
    payloads = [row["payload"] for row in queue(ten)]
    ten.push(oracle, settings=SHADOW)
    kept = ten.rows("SELECT * FROM bridge.kept_body ORDER BY export_log_id")
    assert [row["answer"] for row in kept] == [None] * 3
    expected = redact(payloads[:4], DEFAULT.personal_paths)
    assert kept[0]["request"] == body(expected.payload_texts).decode()
    assert expected.values
    assert not [value for value in expected.values if value in kept[0]["request"]]


def test_after_shadow_it_goes_live_and_each_item_is_sent_once(ten: Bridge, oracle: SandboxOracle) -> None:
    ten.push(oracle, settings=SHADOW)
    assert ten.push(oracle, settings=LIVE).sent == 10
    assert set(oracle.times_received().values()) == {1}
    assert ten.push(oracle, settings=SHADOW).requests == 0


def test_what_was_sent_before_stays_posted_and_what_failed_stays_failed(ten: Bridge, oracle: SandboxOracle) -> None:
    oracle.faults({"match": {"next": 1}, "action": {"status": 500}})
    first = ten.push(oracle, settings=LIVE)
    assert 0 < first.failed <= 4, "one batch, whichever was first"
    assert (first.sent, first.dead, first.released) == (10 - first.failed, 0, 0)
    ten.later(hours=2)
    before = queue(ten)
    assert {row["state"] for row in before} == {"sent", "failed"}
    assert ten.push(oracle, settings=SHADOW).released == first.failed
    after = ten.rows("SELECT * FROM bridge.export_queue ORDER BY id")
    assert [row | {"shadowed_at": None} for row in after] == before
    assert all(row["first_posted_at"] is not None for row in after)
    assert ten.push(oracle, settings=LIVE).sent == first.failed


def test_a_new_shadow_after_live_shows_again_what_still_waits(ten: Bridge, oracle: SandboxOracle) -> None:
    ten.push(oracle, settings=SHADOW)
    oracle.faults({"match": {}, "action": {"status": 403}})
    with pytest.raises(OracleRefused):
        ten.push(oracle, settings=LIVE)
    assert ten.push(oracle, settings=SHADOW).released == 10


def test_an_edit_is_shown_again_and_sent_as_it_is_now(ten: Bridge, oracle: SandboxOracle) -> None:
    ten.push(oracle, settings=SHADOW)
    [first] = ten.rows(
        """SELECT q.id, i.user_id, i.course_id FROM bridge.export_queue q
           JOIN bridge.completion_instance i ON i.id = q.instance_id ORDER BY q.id LIMIT 1"""
    )
    ten.totara.edit_date(first["user_id"], first["course_id"], at=1_600_000_000)
    assert ten.extract().replaced == 1
    assert ten.push(oracle, settings=SHADOW).released == 1
    assert ten.push(oracle, settings=LIVE).sent == 10
    [sent] = oracle.items(user_id=first["user_id"])
    assert sent["payload"]["timecompleted"] == "2020-09-13T12:26:40Z"


def test_an_unusable_token_is_reported_and_nothing_is_shown(ten: Bridge, oracle: SandboxOracle) -> None:
    before = queue(ten)
    with pytest.raises(OracleRefused, match=r"destination oracle cannot be used: No access token.*401"):
        ten.push(oracle, settings=SHADOW, client_secret="very-wrong")
    oracle.faults({"match": {"endpoint": "token"}, "action": {"status": 503}})
    with pytest.raises(OracleUnavailable, match="503"):
        ten.push(oracle, settings=SHADOW)
    assert queue(ten) == before


def test_an_item_that_is_too_large_is_shown_as_such_and_left_alone(ten: Bridge, oracle: SandboxOracle) -> None:
    with ten.staging.begin() as transaction:
        transaction.execute(
            text("UPDATE bridge.export_queue SET payload = '{\"x\":\"' || repeat('x', 10000) || '\",' "
                 "|| substr(payload, 2) WHERE id = (SELECT min(id) FROM bridge.export_queue)")
        )  # fmt: skip
    before = queue(ten)
    ten.push(oracle, settings=Settings(shadow=True, request_bytes=10_000))
    assert queue(ten, shown=True) == before
    logged = ten.rows("SELECT items, error FROM bridge.export_log ORDER BY id")
    assert [row["items"] for row in logged] == [9, 1]
    assert "request_bytes" in logged[1]["error"]


@contextmanager
def held_up(bridge: Bridge) -> Iterator[None]:
    """While the block runs, whoever wants to keep a body waits with what it has done so far uncommitted."""
    with bridge.staging.begin() as transaction:
        transaction.execute(
            text(
                """
                CREATE FUNCTION bridge.wait() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END';
                CREATE TRIGGER wait BEFORE INSERT ON bridge.kept_body FOR EACH ROW EXECUTE FUNCTION bridge.wait()
                """
            )
        )
    with bridge.staging.begin() as holding:
        holding.execute(text("SELECT pg_advisory_xact_lock(42)"))
        yield


def one_waits(bridge: Bridge) -> bool:
    """Whether somebody does."""
    return bool(
        bridge.rows(
            """
            SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """
        )
    )


def test_going_live_while_a_shadow_drain_runs_loses_and_doubles_nothing(
    ten: Bridge, oracle: SandboxOracle, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with held_up(ten):
            shadow = pool.submit(ten.push, oracle, settings=SHADOW)
            wait_until(lambda: one_waits(ten))
            assert ten.push(oracle, settings=LIVE).sent == 6, "all but the batch that is being shown"
        assert shadow.result().released == 4
    assert ten.push(oracle, settings=LIVE).sent == 4
    assert set(oracle.times_received().values()) == {1}


KILLED = """
import sys
from sqlalchemy import create_engine
from tests.bridge import Bridge
from totara_bridge.settings import Settings
bridge = Bridge(create_engine(sys.argv[1], pool_size=8), create_engine(sys.argv[2]))
class Oracle: url, token_url, client_id, client_secret = sys.argv[3:7]
bridge.push(Oracle, settings=Settings(shadow=True, batch_size=4))
"""


def test_a_shadow_drain_that_is_killed_leaves_the_queue_as_it_was(
    ten: Bridge, oracle: SandboxOracle, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    before = queue(ten)
    urls = [ten.staging.url.render_as_string(False), ten.totara.engine.url.render_as_string(False)]
    with held_up(ten):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", KILLED, *urls, oracle.url, oracle.token_url, oracle.client_id,
             oracle.client_secret],
            env=os.environ | {"PYTHONPATH": os.getcwd()},
        )  # fmt: skip
        wait_until(lambda: one_waits(ten))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    wait_until(
        lambda: (
            not ten.rows(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND xact_start IS NOT NULL"
            )
        )
    )
    assert queue(ten) == before
    assert ten.rows("SELECT FROM bridge.export_log") == []
    assert ten.push(oracle, settings=LIVE).sent == 10
    assert set(oracle.times_received().values()) == {1}
