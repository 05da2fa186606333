"""The same work by pgqueuer: claim a batch of jobs, and log them as done; each has its row in a ledger too.

``manager`` is how its users run it: a job writes its own row. ``idle`` is the same with jobs that do nothing, which
is less than the bridge does. ``statements`` are pgqueuer's two statements without its loop, the ledger written for a
whole batch in the transaction of the second: the same rows, constraints and commits as the bridge's.
"""

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from pgqueuer.core.qm import QueueManager
from pgqueuer.models import Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode, QueueManagerId

_ENTRYPOINT = "oracle"
_AT_ONCE = 5_000

_LEDGER = """
    CREATE TABLE ledger (destination text, instance_id bigint, kind text, revision bigint, sent_at timestamptz,
                         reference text, PRIMARY KEY (destination, instance_id, kind, revision))
"""
_WRITE = """
    INSERT INTO ledger SELECT 'oracle', id, 'completion', 1, now(), 'ref' FROM unnest($1::bigint[]) id
    ON CONFLICT DO NOTHING
"""


def fill(dsn: str, jobs: int, payload: bytes) -> None:
    """Install pgqueuer into an empty database and queue so many jobs, all due."""
    asyncio.run(_fill(dsn, jobs, payload))


def manager(dsn: str, jobs: int, *, batch: int) -> float:
    """How many seconds so many jobs take that write their ledger rows."""
    return asyncio.run(_managed(dsn, jobs, batch, ledger=True))


def idle(dsn: str, jobs: int, *, batch: int) -> float:
    """How many seconds so many jobs take that do nothing."""
    return asyncio.run(_managed(dsn, jobs, batch, ledger=False))


def statements(dsn: str, jobs: int, *, batch: int) -> float:
    """How many seconds its statements take, with a ledger written by the batch."""
    return asyncio.run(_stated(dsn, jobs, batch))


async def _fill(dsn: str, jobs: int, payload: bytes) -> None:
    connection = await asyncpg.connect(dsn)
    queries = Queries.from_asyncpg_connection(connection)
    await queries.install()
    for _ in range(0, jobs, _AT_ONCE):
        await queries.enqueue([_ENTRYPOINT] * _AT_ONCE, [payload] * _AT_ONCE, [0] * _AT_ONCE)
    await connection.execute(_LEDGER)
    await connection.close()


async def _managed(dsn: str, jobs: int, batch: int, *, ledger: bool) -> float:
    connection = await asyncpg.connect(dsn)
    pool = await asyncpg.create_pool(dsn)
    work = QueueManager(Queries.from_asyncpg_connection(connection))
    done = 0

    @work.entrypoint(_ENTRYPOINT)
    async def job(each: Job) -> None:
        nonlocal done
        if ledger:
            await pool.execute(_WRITE, [each.id])
        done += 1
        if done == jobs:
            work.shutdown.set()

    begun = time.perf_counter()
    await work.run(batch_size=batch, mode=QueueExecutionMode.drain)
    seconds = time.perf_counter() - begun
    await _require(connection, jobs, done, await _written(connection) if ledger else done)
    await pool.close()
    return seconds


async def _stated(dsn: str, jobs: int, batch: int) -> float:
    connection = await asyncpg.connect(dsn)
    queries = Queries.from_asyncpg_connection(connection)
    us, entrypoints = QueueManagerId(uuid4()), {_ENTRYPOINT: EntrypointExecutionParameter(0)}
    done = 0
    begun = time.perf_counter()
    while done < jobs:
        picked = await queries.dequeue(batch, entrypoints, us, None, timedelta(minutes=1))  # type: ignore[arg-type]
        async with connection.transaction():
            await connection.execute(_WRITE, [job.id for job in picked])
            await queries.log_jobs([(job, "successful", None) for job in picked])
        done += len(picked)
    seconds = time.perf_counter() - begun
    await _require(connection, jobs, done, await _written(connection))
    return seconds


async def _written(connection: Any) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM ledger"))


async def _require(connection: Any, jobs: int, done: int, written: int) -> None:
    logged = await connection.fetchval("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'")
    await connection.close()
    if not jobs <= done or not jobs <= logged or not jobs <= written:
        raise SystemExit(f"pgqueuer did {done} jobs, logged {logged} and wrote {written}, instead of {jobs}.")
