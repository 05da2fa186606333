"""Pushing by one, two and four drain tasks on Celery workers, to an endpoint that answers after 50 ms.

Once where the wire is the limit: small requests, few in flight; and once with the settings as they come, where this
machine's two processors are. Each time with as many items for each task, so that all work for equally long.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil
import sqlalchemy as sa

from benchmarks import push_rate, report
from benchmarks.bridge import DESTINATION, SITE
from benchmarks.celery_stack import Production, Ran, production
from benchmarks.push_task import PAYLOAD
from benchmarks.report import Line
from totara_bridge.settings import Settings

_DELAY = 0.05  #: of the endpoint, seconds
_TASKS = (1, 2, 4)
_DEFAULT = Settings()


@dataclass(frozen=True)
class _Kind:
    """What limits the senders."""

    name: str
    batch_size: int
    in_flight: int
    items_a_second: int  #: that a task sends, about
    at_least: float | None  #: of as many times as there are tasks

    def target(self, tasks: int) -> float | None:
        return None if self.at_least is None or tasks == 1 else self.at_least * tasks


_KINDS = (
    _Kind("the wire", batch_size=50, in_flight=1, items_a_second=950, at_least=0.85),
    _Kind("the machine", _DEFAULT.batch_size, _DEFAULT.requests_in_flight, items_a_second=4_000, at_least=None),
)


@dataclass(frozen=True)
class _Pushed:
    """What came of a run."""

    items: int
    seconds: float  #: from the beginning of the first request to the end of the last
    ran: Ran
    processor: Mapping[str, float]  #: seconds, by whose
    of_machine: float  #: of its processors, the share that was busy

    @property
    def per_second(self) -> float:
        return self.items / self.seconds


def scaling(seconds: float = 30.0) -> Iterator[Line]:
    """How many times as many items with two and four tasks as with one, and whose processor time they take.

    :param seconds: that each run sends for, about.
    """
    pushed: dict[tuple[str, int], _Pushed] = {}
    with push_rate.endpoint(_DELAY) as address, production() as running:
        running.connect_oracle(address)
        running.begin()
        for tasks in _TASKS:
            running.has_tasks(tasks)
            for kind in _KINDS:
                running.setting("batch_size", kind.batch_size)
                running.setting("requests_in_flight", kind.in_flight)
                pushed[kind.name, tasks] = _push(running, round(kind.items_a_second * seconds) * tasks)
    for kind in _KINDS:
        for tasks in _TASKS:
            yield from _lines(kind, tasks, pushed[kind.name, tasks], pushed[kind.name, 1])


def _lines(kind: _Kind, tasks: int, done: _Pushed, by_one: _Pushed) -> Iterator[Line]:
    what = f"push on Celery, {kind.name} is the limit, {tasks} task{'s' if tasks > 1 else ''}"
    yield report.times(what, done.per_second, by_one.per_second, at="1 task", at_least=kind.target(tasks))
    costs = ", ".join(f"{whose} {1000 * spent / done.items:.3f} s" for whose, spent in done.processor.items())
    yield report.fact(
        f"{what}, processor of the run per 1 000 items", f"{costs}; {done.of_machine:.0%} of the machine is busy"
    )
    ran = f"{done.ran.seconds:.0f} s, of which {done.seconds:.0f} s sending"
    yield report.fact(f"{what}, the run of the DAG", f"{ran}; the first task after {done.ran.first_task:.1f} s")


def _push(running: Production, items: int) -> _Pushed:
    engine = running.engine()
    _fill(engine, items)
    endpoint = _endpoint()
    before, idle, begun = _spent(running, endpoint), psutil.cpu_times().idle, time.monotonic()
    ran = running.push()
    after, idle_after, ended = _spent(running, endpoint), psutil.cpu_times().idle, time.monotonic()
    with engine.connect() as connection:
        sent, delivered, first, seconds = connection.execute(_CAME_OF_IT).one()
    if not sent == delivered == items or first < ran.began:
        raise SystemExit(
            f"{sent} items were sent, the first at {first}, and {delivered} are in the ledger, instead of {items} "
            f"by the run that began at {ran.began}."
        )
    return _Pushed(
        items=items,
        seconds=float(seconds),
        ran=ran,
        processor={whose: after[whose] - before[whose] for whose in after},
        of_machine=1 - (idle_after - idle) / ((ended - begun) * (psutil.cpu_count() or 1)),
    )


def _fill(engine: sa.Engine, items: int) -> None:
    """So many items that are due and nothing else, as after a backfill."""
    with engine.begin() as connection:
        connection.execute(_EMPTY)
        for statement in (_INSTANCES, _ITEMS):
            values = {"site": SITE, "destination": DESTINATION, "items": items, "payload": PAYLOAD}
            connection.execute(statement, values)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM (ANALYZE)"))
        connection.execute(sa.text("CHECKPOINT"))


def _spent(running: Production, endpoint: psutil.Process) -> dict[str, float]:
    spent = endpoint.cpu_times()
    return {**running.processor_time(), "endpoint": spent.user + spent.system}


def _endpoint() -> psutil.Process:
    return next(each for each in psutil.Process().children() if "benchmarks.endpoint" in each.cmdline())


_EMPTY = sa.text(
    """
    TRUNCATE bridge.completion_instance, bridge.export_queue, bridge.item_event, bridge.delivery, bridge.delivery_hour,
             bridge.export_log, bridge.kept_body, bridge.item_count, bridge.destination_state
    """
)
_INSTANCES = sa.text(
    """
    INSERT INTO bridge.completion_instance (site, user_id, course_id, row_id, status, time_completed,
                                            first_time_completed, ordinal, revision, record_key, after_deletion,
                                            first_seen_at)
    SELECT :site, i, 1, i, 'complete', now(), now(), 0, 1, 'TB' || lpad(i::text, 26, '0'), false, now()
    FROM generate_series(1, cast(:items AS int)) i
    """
)
_ITEMS = sa.text(
    """
    INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane, payload,
                                     next_attempt_at, staged_at, queued_at)
    SELECT :destination, id, 'completion', 1, record_key, 'queued', 'backfill', :payload, now(), now(), now()
    FROM bridge.completion_instance WHERE cast(:items AS int) > 0 ORDER BY id
    """
)
_CAME_OF_IT = sa.text(
    """
    SELECT (SELECT coalesce(sum(items), 0) FROM bridge.export_log WHERE outcome = 'sent'),
           (SELECT count(*) FROM bridge.delivery),
           (SELECT min(at) FROM bridge.export_log),
           (SELECT extract(epoch FROM max(at + duration_ms * interval '1 millisecond') - min(at))
            FROM bridge.export_log)
    """
)
