"""Four senders beside a purge of a million sent items, next to the same senders undisturbed."""

import json
import statistics
from collections.abc import Iterator
from contextlib import ExitStack

import sqlalchemy as sa

from benchmarks import purge_task, push_rate, queue_rate, report
from benchmarks.report import Line
from benchmarks.server import Server

OLD = 1_000_000
_WORK = 100_000  #: items that the senders send
_TASKS = 4
_DELAY = 0.05  #: of the endpoint, seconds
_ROUNDS = 2


def purge(server: Server, old: int = OLD, work: int = _WORK) -> Iterator[Line]:
    """What of their rate the senders keep, and how long the purge takes."""
    alone, beside, seconds = list[float](), list[float](), list[float]()
    with push_rate.endpoint(_DELAY) as address:
        for _ in range(_ROUNDS):
            alone.append(_send(server, address, old, work, purged_in=None))
            beside.append(_send(server, address, old, work, purged_in=seconds))
    named = f"{old:,}".replace(",", " ")
    what = f"{_TASKS} senders beside a purge of {named}"
    yield report.share(what, beside, alone, slower="the senders", at_least=0.8)
    yield report.lasts(f"a purge of {named}, the senders beside it at first", statistics.median(seconds))


def _send(server: Server, address: str, old: int, work: int, *, purged_in: list[float] | None) -> float:
    """Items per second; the purge begins before the senders do, and goes on until it has finished."""
    database = server.copy(_queue(server, old, work), "purge")
    server.settle(database)
    stays = _not_final(server, database, old)
    with ExitStack() as stack:
        purge = None if purged_in is None else stack.enter_context(purge_task.purging(server, database))
        rate = push_rate.together(server, database, "push", address, tasks=_TASKS)
        if purge is not None and purged_in is not None:
            if purge.poll() is not None:
                raise SystemExit("The purge ended before the senders did: let it have more old rows.")
            purged_in.append(json.loads(push_rate.line(purge))["seconds"])
    with server.engine(database).connect() as connection:
        [left, delivered] = connection.execute(_LEFT, {"old": old}).one()
    if rate.items != work or delivered != work:
        raise SystemExit(f"{rate.items} items were sent and {delivered} are in the ledger, instead of {work}.")
    if purged_in is not None and (left or _not_final(server, database, old) != stays):
        raise SystemExit(f"The purge left {left} old rows, or touched one that was not final.")
    return rate.per_second


def _queue(server: Server, old: int, due: int) -> str:
    """A staging database with old items and due ones; of a thousand old ones five are not final, or young."""
    name = f"purge_{old}_{due}"
    if not server.has(name):
        server.copy(queue_rate.queue(server, due, old), name)
        with server.engine(name).begin() as connection:
            for statement in (_YOUNG, _NOT_FINAL):
                connection.execute(statement, {"old": old})
        server.settle(name)
    return name


def _not_final(server: Server, database: str, old: int) -> str:
    """What must stay as it is, as one checksum."""
    with server.engine(database).connect() as connection:
        return str(connection.execute(_STAYS, {"old": old}).scalar_one())


_YOUNG = sa.text("UPDATE bridge.export_queue SET sent_at = now() - interval '1 day' WHERE id <= :old AND id % 1000 = 0")
_NOT_FINAL = sa.text(
    """
    UPDATE bridge.export_queue
    SET state = (ARRAY['dead', 'failed', 'held', 'cancelled'])[id % 1000], sent_at = NULL,
        error_class = CASE WHEN id % 1000 IN (1, 2) THEN 'rejected' END,
        next_attempt_at = now() + interval '1 year',
        held_for = CASE WHEN id % 1000 = 3 THEN 'grade' END, held_at = CASE WHEN id % 1000 = 3 THEN now() END,
        cancelled_by = CASE WHEN id % 1000 = 4 THEN 'ann' END
    WHERE id <= :old AND id % 1000 BETWEEN 1 AND 4
    """
)
_STAYS = sa.text(
    """
    SELECT md5(string_agg(q::text, ' ' ORDER BY id)) FROM bridge.export_queue q
    WHERE id <= :old AND (state <> 'sent' OR sent_at > now() - interval '90 days')
    """
)
_LEFT = sa.text(
    """
    SELECT (SELECT count(*) FROM bridge.export_queue
            WHERE id <= :old AND state = 'sent' AND sent_at < now() - interval '90 days'),
           (SELECT count(*) - :old FROM bridge.delivery)
    """
)
