"""A backfill that is killed or stopped half way, and run again, ends as if it had not been."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text

from tests.bridge import ALL, DESTINATION, Bridge
from totara_bridge.sandbox.oracle.server import SandboxOracle

pytestmark = pytest.mark.staging("has_read")

SLICE = 100
WaitUntil = Callable[[Callable[[], bool]], None]

BACKFILL = """
import sys
from datetime import datetime
from sqlalchemy import create_engine
from tests.bridge import Bridge
bridge = Bridge(create_engine(sys.argv[1], connect_args={"application_name": "killed"}), create_engine(sys.argv[2]))
bridge.now = datetime.fromisoformat(sys.argv[3])
bridge.backfill(resend=True, slice_size=int(sys.argv[4]))
"""

TASK = """
import sys
from datetime import datetime
from types import SimpleNamespace
from totara_bridge.orchestration.tasks.backfill import backfill_destination
run = SimpleNamespace(run_after=datetime.fromisoformat(sys.argv[1]), triggering_user_name="ann")
form = {"from_date": "1970-01-01", "dry_run": False, "resend": sys.argv[2] == "True"}
backfill_destination("oracle", form, run, None)
"""


@contextmanager
def in_a_process(program: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The program in a process of its own, which ends with this at the latest."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": os.getcwd()} | environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def blocked(bridge: Bridge) -> bool:
    """Whether somebody waits for a row that somebody else is writing."""
    return bool(
        bridge.rows(
            """SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'transactionid'"""
        )
    )


def kill(process: subprocess.Popen[str], bridge: Bridge, wait_until: WaitUntil) -> None:
    """Kill it once it waits; its connection ends with it, as it does when a machine is lost."""
    wait_until(lambda: blocked(bridge) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with bridge.staging.begin() as transaction:
        transaction.execute(
            text("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'killed'")
        )


@pytest.fixture
def extracted(bridge: Bridge) -> Bridge:
    """A bridge with the whole past staged and nothing queued."""
    return bridge


@pytest.fixture
def blocking(bridge: Bridge) -> Iterator[Connection]:
    """A transaction that is never committed."""
    with bridge.staging.connect() as connection:
        yield connection
        connection.rollback()


def addresses(bridge: Bridge) -> list[str]:
    return [bridge.staging.url.render_as_string(False), bridge.totara.engine.url.render_as_string(False)]


def queue_one(blocking: Connection, nth: int) -> None:
    """Queue the nth instance that a backfill would queue, without committing: who queues it too has to wait."""
    blocking.execute(
        text(
            """
            INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                             payload, next_attempt_at, staged_at, queued_at)
            SELECT :destination, id, 'completion', revision, record_key, 'queued', 'fresh', '', now(), now(), now()
            FROM bridge.completion_instance WHERE NOT after_deletion AND ended_at IS NULL
            ORDER BY id OFFSET :nth LIMIT 1
            """
        ),
        {"destination": DESTINATION, "nth": nth},
    )


def test_killed_between_two_slices_it_queues_the_rest(
    extracted: Bridge, blocking: Connection, oracle: SandboxOracle, wait_until: WaitUntil
) -> None:
    queue_one(blocking, 3 * SLICE + 50)
    with in_a_process(BACKFILL, *addresses(extracted), extracted.now.isoformat(), str(SLICE)) as process:
        kill(process, extracted, wait_until)
    blocking.rollback()
    assert extracted.states() == {"queued": 3 * SLICE}
    again = extracted.backfill(asked_at=extracted.now, resend=True, slice_size=SLICE)
    assert (again.found.queued, again.queued, again.resent) == (3 * SLICE, ALL - 3 * SLICE, 0)
    assert len(extracted.rows("SELECT FROM bridge.audit_log")) == 1
    extracted.push(oracle)
    assert extracted.states() == {"sent": ALL}
    assert set(oracle.times_received().values()) == {1}
    assert len(oracle.stored_keys()) == ALL


@pytest.mark.parametrize("purged", [False, True], ids=["kept", "purged"])
def test_killed_while_it_resends_it_sends_each_once_more(
    extracted: Bridge, blocking: Connection, oracle: SandboxOracle, wait_until: WaitUntil, purged: bool
) -> None:
    extracted.backfill()
    extracted.push(oracle)
    extracted.later(minutes=1)
    asked_at = extracted.now
    if purged:
        with extracted.staging.begin() as transaction:
            transaction.execute(text("DELETE FROM bridge.export_queue"))
        queue_one(blocking, 4 * SLICE + 50)
    else:
        nth = "(SELECT id FROM bridge.export_queue ORDER BY id OFFSET :nth LIMIT 1)"
        blocking.execute(text(f"SELECT FROM bridge.export_queue WHERE id = {nth} FOR UPDATE"), {"nth": 4 * SLICE + 50})
    with in_a_process(BACKFILL, *addresses(extracted), asked_at.isoformat(), str(SLICE)) as process:
        kill(process, extracted, wait_until)
    blocking.rollback()
    assert extracted.states().get("queued") == 4 * SLICE
    assert extracted.push(oracle).sent == 4 * SLICE
    extracted.later(minutes=1)
    again = extracted.backfill(asked_at=asked_at, resend=True, slice_size=SLICE)
    assert again.resent == ALL - 4 * SLICE
    assert extracted.push(oracle).sent == ALL - 4 * SLICE
    assert set(oracle.times_received().values()) == {2}
    assert len(oracle.stored_keys()) == ALL
    assert len(extracted.rows("SELECT FROM bridge.audit_log WHERE at = :at", at=asked_at)) == 1


@pytest.mark.parametrize(
    ("resend", "what_to_do"),
    [
        (False, "clear its task, or trigger another run, and it goes on from there."),
        (True, "clear its task, and it goes on from there; another run sends all of it again."),
    ],
)
def test_a_task_that_is_told_to_end_ends_its_slice_and_can_be_tried_again(
    extracted: Bridge, blocking: Connection, wait_until: WaitUntil, resend: bool, what_to_do: str
) -> None:
    queue_one(blocking, 50)
    address = extracted.staging.url.render_as_string(False).replace("+psycopg", "")
    with in_a_process(TASK, extracted.now.isoformat(), str(resend), TOTARA_BRIDGE_DATABASE_URL=address) as process:
        wait_until(lambda: blocked(extracted) or process.poll() is not None)
        process.terminate()
        blocking.rollback()
        _, words = process.communicate()
    assert process.returncode == 1
    assert words.splitlines()[-1] == (
        f"totara_bridge.errors.Transient: The backfill of oracle was stopped after {ALL} were queued, 0 held and 0 "
        f"queued to be sent again: {what_to_do}"
    )
    assert extracted.states() == {"queued": ALL}
    assert extracted.backfill().queued == 0
