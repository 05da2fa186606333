"""The bridge's numbers in Airflow's own metrics: StatsD or OpenTelemetry, as ``[metrics]`` says.

The code of a site or destination is part of the name, because StatsD by itself drops tags. docs/alerts.md lists them.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from airflow.sdk.observability import stats

from totara_bridge.push import Drained
from totara_bridge.staging.states import State
from totara_bridge.watch import DestinationWatched, Watched

#: Of what is not finished.
_OPEN = (State.QUEUED, State.SENDING, State.FAILED, State.HELD, State.DEAD)


@contextmanager
def timed(task: str, code: str) -> Iterator[None]:
    """Measure how long a task's work takes, also if it fails."""
    began = time.monotonic()
    try:
        yield
    finally:
        stats.timing(f"totara_bridge.{task}.{code}.duration", (time.monotonic() - began) * 1000)


def count(task: str, code: str, counts: Mapping[str, int]) -> None:
    """Add what a task did to its counters."""
    for name, number in counts.items():
        stats.incr(f"totara_bridge.{task}.{code}.{name}", number)


@contextmanager
def timed_drain(code: str) -> Iterator[Drained]:
    """Measure a drain, and add what it counts there, also if it fails."""
    drained = Drained()
    with timed("push", code):
        try:
            yield drained
        finally:
            counts = drained.counts()
            count("push", code, {name: counts[name] for name in ("sent", "failed", "dead", "requests")})


def watched(found: Watched, now: datetime) -> None:
    """Say how things are."""
    stats.gauge("totara_bridge.alerts.open", found.open_alerts)
    for site, silent_for in found.silent_for.items():
        stats.gauge(f"totara_bridge.site.{site}.seconds_since_extract", silent_for.total_seconds())
    for code, destination in found.destinations.items():
        for name, number in _gauges(destination, now):
            stats.gauge(f"totara_bridge.queue.{code}.{name}", number)


def _gauges(found: DestinationWatched, now: datetime) -> Iterator[tuple[str, float]]:
    for state in _OPEN:
        yield state.value, found.waiting.by_state.get(state, 0)
    oldest = found.waiting.oldest
    yield "oldest_seconds", 0 if oldest is None else (now - oldest).total_seconds()
    if found.delivered.sent:
        yield "share_in_time", float(found.delivered.in_time / found.delivered.sent)
