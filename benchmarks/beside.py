"""Fresh completions beside a backfill of 200 000: how long each takes from being staged to being sent.

One push task sends to an endpoint that answers after 50 ms, run after run, as Airflow triggers it. Meanwhile extracts
find new completions, a burst at a time; once with an empty backfill lane, once with a full one.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from benchmarks import push_rate, queue_rate, report
from benchmarks.bridge import DESTINATION, SITE
from benchmarks.push_task import PAYLOAD, Done
from benchmarks.report import Line
from benchmarks.server import Server

BACKFILL = 200_000
_DELAY = 0.05  #: of the endpoint, seconds
_BURST = 500  #: completions that an extract finds
_BURSTS = 15
_PAUSE = 0.7  #: seconds between two bursts
_ROUNDS = 3


@dataclass(frozen=True)
class _Delays:
    """How long the fresh completions of a round took, in seconds."""

    median: float
    most: float  #: 19 of 20 took no longer


def backfill(server: Server, items: int = BACKFILL) -> Iterator[Line]:
    """The delay beside a full backfill lane, next to the delay beside an empty one."""
    with push_rate.endpoint(_DELAY) as address:
        rounds = [
            {full: _round(server, address, items if full else 0) for full in (False, True)} for _ in range(_ROUNDS)
        ]
    what = f"fresh completions beside a backfill of {items:,}".replace(",", " ")
    for name, delays in (
        ("half of them", {full: [each[full].median for each in rounds] for full in (False, True)}),
        ("19 of 20", {full: [each[full].most for each in rounds] for full in (False, True)}),
    ):
        yield report.growth(f"{what}: {name} sent within", delays[True], delays[False], at="without", at_most=2)


def _round(server: Server, address: str, items: int) -> _Delays:
    database = server.copy(_queue(server, items), "beside")
    server.settle(database)
    url = server.url(database).render_as_string()
    command = [sys.executable, "-m", "benchmarks.push_task", "on", url, address, "0"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as task,
        server.engine(database).connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        assert task.stdin is not None
        push_rate.line(task)
        task.stdin.write("go\n")
        task.stdin.flush()
        for _ in range(_BURSTS):
            time.sleep(_PAUSE)
            connection.execute(_FRESH, {"site": SITE, "destination": DESTINATION, "burst": _BURST, "payload": PAYLOAD})
        while connection.execute(_WAITING, {"lane": "fresh"}).scalar_one():
            time.sleep(0.1)
        left = connection.execute(_WAITING, {"lane": "backfill"}).scalar_one()
        task.stdin.close()
        done = Done(**json.loads(push_rate.line(task)))
        delays = connection.execute(_DELAYS).scalars().all()
    if len(delays) != _BURST * _BURSTS or (items > 0) != (left > 0) or done.items < len(delays):
        raise SystemExit(f"{len(delays)} fresh items and {done.items} in all were sent; {left} of {items} were left.")
    return _Delays(statistics.median(delays), statistics.quantiles(delays, n=20)[-1])


def _queue(server: Server, items: int) -> str:
    """A staging database with so many items in the backfill lane, and none in another."""
    name = f"beside_{items}"
    if not server.has(name):
        server.copy(queue_rate.queue(server, items), name)
        with server.engine(name).begin() as connection:
            connection.execute(sa.text("UPDATE bridge.export_queue SET lane = 'backfill'"))
        server.settle(name)
    return name


_FRESH = sa.text(
    """
    WITH new AS (
        INSERT INTO bridge.completion_instance (site, user_id, course_id, row_id, status, time_completed,
                                                first_time_completed, ordinal, revision, record_key, after_deletion,
                                                first_seen_at)
        SELECT :site, i, 2, i, 'complete', now(), now(), 0, 1, 'TB' || upper(left(md5(i::text), 26)), false, now()
        FROM (SELECT i + (SELECT count(*) FROM bridge.completion_instance) AS i FROM generate_series(1, :burst) i) n
        RETURNING id, record_key
    )
    INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane, payload,
                                     next_attempt_at, staged_at, queued_at)
    SELECT :destination, id, 'completion', 1, record_key, 'queued', 'fresh', :payload, now(), now(), now() FROM new
    """
)
_WAITING = sa.text(
    """
    SELECT count(*) FROM bridge.export_queue WHERE lane = :lane AND state IN ('queued', 'failed', 'sending')
    """
)
_DELAYS = sa.text(
    """
    SELECT cast(extract(epoch FROM sent_at - staged_at) AS float8) FROM bridge.export_queue
    WHERE lane = 'fresh' AND state = 'sent'
    """
)
