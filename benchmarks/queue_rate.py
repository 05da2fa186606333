"""Claim and acknowledge in batches of 500: next to pgqueuer, in small and large tables, and while others disturb."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa

from benchmarks import peer_pgqueuer, purge_task, report
from benchmarks.bridge import DESTINATION, SITE
from benchmarks.report import Line
from benchmarks.server import Server
from totara_bridge.staging import delivery, lease
from totara_bridge.staging.engine import staging_engine

_BATCH = 500
_SMALL, _LARGE = 10_000, 1_000_000
_WORK = 10_000  #: items of each measurement
_DISTURBED_WORK = 50_000
_ROUNDS = 3
_PAYLOAD = "x" * 450  #: as long as an item of the default template

Disturbance = Callable[[Server, str], AbstractContextManager[object]]


def against_pgqueuer(server: Server) -> Iterator[Line]:
    """Against pgqueuer, in a small and in a large table."""
    ours: dict[int, list[float]] = {}
    for size, named in ((_SMALL, "10 000"), (_LARGE, "1 000 000")):
        seconds: dict[str, list[float]] = {"ours": [], "manager": [], "idle": [], "statements": []}
        for counted in (False, *[True] * _ROUNDS):
            took = {
                "ours": _ours(server, size),
                "manager": _theirs(server, size, peer_pgqueuer.manager),
                "idle": _theirs(server, size, peer_pgqueuer.idle),
                "statements": _theirs(server, size, peer_pgqueuer.statements),
            }
            for side, each in took.items() if counted else ():
                seconds[side].append(each)
        ours[size] = seconds["ours"]
        what = f"claim + acknowledge 10 000 of {named}"
        yield report.speed(what, seconds["ours"], seconds["manager"], peer="pgqueuer", at_least=3)
        yield report.speed(what, seconds["ours"], seconds["idle"], peer="pgqueuer, jobs do nothing")
        yield report.speed(what, seconds["ours"], seconds["statements"], peer="pgqueuer's statements")
    yield report.growth("claim + acknowledge in 1 000 000", ours[_LARGE], ours[_SMALL], at="in 10 000", at_most=1.2)


def disturbed(server: Server) -> Iterator[Line]:
    """Beside a transaction that is held open, and beside a purge of a million old rows."""
    seconds: dict[str, list[float]] = {"alone": [], "open": [], "purge": []}
    beside: dict[str, Disturbance] = {"alone": _nothing, "open": _open_transaction, "purge": _purge}
    for counted in (False, *[True] * _ROUNDS):
        for name, disturbance in beside.items():
            took = _ours(server, _LARGE, old=_LARGE, work=_DISTURBED_WORK, beside=disturbance)
            if counted:
                seconds[name].append(took)
    for name, what in (("open", "a transaction held open"), ("purge", "a purge of 1 000 000 old rows")):
        yield report.growth(f"the same beside {what}", seconds[name], seconds["alone"], at="alone", at_most=1.25)


def _ours(server: Server, size: int, *, old: int = 0, work: int = _WORK, beside: Disturbance | None = None) -> float:
    database = server.copy(queue(server, size, old), "queue")
    server.settle(database)
    engine = staging_engine(server.url(database).render_as_string())
    try:
        with (beside or _nothing)(server, database), engine.connect():
            begun = time.perf_counter()
            done = sum(_batch(engine) for _ in range(work // _BATCH))
            seconds = time.perf_counter() - begun
    finally:
        engine.dispose()
    _require(server, database, done, work, old)
    return seconds


def _batch(engine: sa.Engine) -> int:
    now, token = datetime.now(UTC), uuid4()
    with engine.begin() as transaction:
        items = lease.claim(
            transaction,
            destination=DESTINATION,
            token=token,
            limit=_BATCH,
            now=now,
            lease_until=now + timedelta(minutes=2),
        )
    with engine.begin() as transaction:
        return delivery.acknowledge(transaction, token, {item.id: "ref" for item in items}, log_id=1, now=now)


def _require(server: Server, database: str, done: int, work: int, old: int) -> None:
    with server.engine(database).connect() as connection:
        delivered = connection.execute(sa.text("SELECT count(*) FROM bridge.delivery")).scalar_one() - old
    if not done == delivered == work:
        raise SystemExit(f"{done} items were acknowledged and {delivered} are in the ledger, instead of {work}.")


def _theirs(server: Server, size: int, do: Callable[..., float]) -> float:
    template = f"pgqueuer_{size}"
    if not server.has(template):
        server.copy(server.empty(), template)
        peer_pgqueuer.fill(server.dsn(template), size, _PAYLOAD.encode())
    database = server.copy(template, "queue")
    server.settle(database)
    return do(server.dsn(database), _WORK, batch=_BATCH)


def queue(server: Server, due: int, old: int = 0) -> str:
    """A staging database with so many items that are due, and so many that were sent long ago."""
    name = f"queue_{due}_{old}"
    if not server.has(name):
        server.copy(server.staging(), name)
        with server.engine(name).begin() as connection:
            for statement in (_INSTANCES, _ITEMS, _LEDGER):
                values = {"site": SITE, "destination": DESTINATION, "due": due, "old": old, "payload": _PAYLOAD}
                connection.execute(statement, values)
        server.settle(name)
    return name


_INSTANCES = sa.text(
    """
    INSERT INTO bridge.completion_instance (site, user_id, course_id, row_id, status, time_completed,
                                            first_time_completed, ordinal, revision, record_key, after_deletion,
                                            first_seen_at)
    SELECT :site, i, 1, i, 'complete', now(), now(), 0, 1, 'TB' || lpad(i::text, 26, '0'), false, now()
    FROM generate_series(1, :due + :old) i
    """
)
_ITEMS = sa.text(
    """
    INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane, payload,
                                     next_attempt_at, staged_at, queued_at, sent_at)
    SELECT :destination, id, 'completion', 1, record_key, CASE WHEN id <= :old THEN 'sent' ELSE 'queued' END, 'fresh',
           :payload, at, at, at, CASE WHEN id <= :old THEN at END
    FROM bridge.completion_instance
    CROSS JOIN LATERAL (SELECT CASE WHEN id <= :old THEN now() - interval '1 year' ELSE now() END AS at) dated
    WHERE :due + :old > 0 ORDER BY id
    """
)
_LEDGER = sa.text(
    """
    INSERT INTO bridge.delivery (destination, instance_id, kind, revision, sent_at)
    SELECT destination, instance_id, kind, revision, sent_at FROM bridge.export_queue
    WHERE state = 'sent' AND :due + :old > 0 ORDER BY id
    """
)


def _nothing(server: Server, database: str) -> AbstractContextManager[object]:
    return nullcontext()


@contextmanager
def _open_transaction(server: Server, database: str) -> Iterator[None]:
    """A reader that began before the work and ends after it, as a backup does."""
    with server.engine(database).connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(sa.text("SELECT count(*) FROM bridge.site"))
        yield


@contextmanager
def _purge(server: Server, database: str) -> Iterator[None]:
    """A purge is at work until the work is done."""
    with purge_task.purging(server, database) as purge:
        yield
        if purge.poll() is not None:
            raise SystemExit("The purge ended before the work did: let it have more old rows.")
