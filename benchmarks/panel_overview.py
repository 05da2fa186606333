"""What the control panel's overview costs the database, with a million items and with a hundred thousand."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import sqlalchemy as sa

from benchmarks import report
from benchmarks.bridge import DESTINATION, SITE
from benchmarks.report import Line
from benchmarks.server import Server
from totara_bridge.config import read_config
from totara_bridge.staging.engine import staging_engine
from totara_bridge.web.panel import overview
from totara_bridge.web.service import Service

_SMALL, _LARGE = 100_000, 1_000_000
_ROUNDS = 15

#: Of a hundred items, how many are in a state and lane; all others were sent.
_SHARES = (
    ("queued", "backfill", 30),
    ("queued", "fresh", 1),
    ("failed", "retry", 1),
    ("dead", "fresh", 1),
    ("held", "fresh", 1),
    ("cancelled", "fresh", 1),
)

#: What four requests in flight carry.
_SENDING = 400


def page(server: Server, small: int = _SMALL, large: int = _LARGE) -> Iterator[Line]:
    """All statements of the page, over the longest period, together."""
    seconds: dict[int, list[float]] = {small: [], large: []}
    for size in seconds:
        _prepare(server, size)
    for counted in (False, *[True] * _ROUNDS):
        for size, of_size in seconds.items():
            took = _round(server, size)
            if counted:
                of_size.append(took)
    named = {size: f"{size:,}".replace(",", " ") for size in seconds}
    what = f"the panel's overview, {named[large]} items"
    yield report.lasts(what, statistics.median(seconds[large]), at_most=0.05)
    yield report.growth(what, seconds[large], seconds[small], at=f"with {named[small]}", at_most=1.2)


def _round(server: Server, size: int) -> float:
    engine = staging_engine(server.url(_name(size)).render_as_string())
    try:
        with engine.connect():  # connecting is not what is measured
            pass
        with _clock(engine) as spent:
            seen = overview.get(Service(engine, threads=1), read_config(), "30d")
    finally:
        engine.dispose()
    counts = {state: number for state, number in seen["totals"]["counts"].items() if number}
    if counts != _expected(size) or seen["destinations"][0]["delay"] is None:
        raise SystemExit(f"The overview of {size} items counted {counts} instead of {_expected(size)}.")
    return sum(spent)


@contextmanager
def _clock(engine: sa.Engine) -> Iterator[list[float]]:
    """How long each statement took, from being sent to its answer, over a Unix socket."""
    begun, spent = list[float](), list[float]()

    def begin(*_: object) -> None:
        begun.append(time.perf_counter())

    def end(*_: object) -> None:
        spent.append(time.perf_counter() - begun.pop())

    sa.event.listen(engine, "before_cursor_execute", begin)
    sa.event.listen(engine, "after_cursor_execute", end)
    yield spent
    sa.event.remove(engine, "before_cursor_execute", begin)
    sa.event.remove(engine, "after_cursor_execute", end)


def _expected(size: int) -> dict[str, int]:
    """How many items are in each state."""
    found = {"queued": 0, "sending": _SENDING, "sent": size - _SENDING}
    for state, _, share in _SHARES:
        found[state] = found.get(state, 0) + size * share // 100
        found["sent"] -= size * share // 100
    return found


def _name(size: int) -> str:
    return f"panel_{size}"


def _prepare(server: Server, size: int) -> None:
    """A bridge that was in use for a month, busy until a moment ago; what it counted is the same at any size."""
    server.copy(server.staging(), _name(size))
    places = [each for state, lane, share in _SHARES for each in [(state, lane)] * share]
    values = {
        "size": size,
        "sending": _SENDING,
        "site": SITE,
        "destination": DESTINATION,
        "now": datetime.now(UTC),
        "states": [state for state, _ in places],
        "lanes": [lane for _, lane in places],
    }
    with server.engine(_name(size)).begin() as connection:
        for statement in (_INSTANCES, _ITEMS, *_MONTH):
            connection.execute(statement, values)
    server.settle(_name(size))


# the oldest are in the backfill lane, as after a first load
_INSTANCES = sa.text(
    """
    INSERT INTO bridge.completion_instance (site, user_id, course_id, row_id, status, time_completed,
                                            first_time_completed, ordinal, revision, record_key, after_deletion,
                                            first_seen_at)
    SELECT :site, i, 1, i, 'complete', :now, :now, 0, 1, 'TB' || lpad(i::text, 26, '0'), false, :now
    FROM generate_series(1, cast(:size AS int)) i
    """
)
_ITEMS = sa.text(
    """
    INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane, payload,
                                     next_attempt_at, staged_at, queued_at, sent_at, error_class, held_for, held_at,
                                     cancelled_by, claim_token, claimed_from, claimed_at, lease_until)
    SELECT :destination, id, 'completion', 1, record_key, state, lane, repeat('x', 450), :now, staged_at, staged_at,
           CASE WHEN state = 'sent' THEN cast(:now AS timestamptz) END,
           CASE WHEN state IN ('failed', 'dead') THEN 'refused' END, CASE WHEN state = 'held' THEN 'number' END,
           CASE WHEN state = 'held' THEN cast(:now AS timestamptz) END, CASE WHEN state = 'cancelled' THEN 'ann' END,
           CASE WHEN state = 'sending' THEN gen_random_uuid() END, CASE WHEN state = 'sending' THEN 'queued' END,
           CASE WHEN state = 'sending' THEN cast(:now AS timestamptz) END,
           CASE WHEN state = 'sending' THEN cast(:now AS timestamptz) END
    FROM (SELECT id, record_key, cast(:now AS timestamptz) - (:size - id) * interval '1 second' AS staged_at,
                 CASE WHEN place IS NULL AND sent <= :sending THEN 'sending'
                      ELSE coalesce((cast(:states AS text[]))[place], 'sent') END AS state,
                 coalesce((cast(:lanes AS text[]))[place], 'fresh') AS lane
          FROM (SELECT id, record_key, place, count(*) FILTER (WHERE place IS NULL) OVER (ORDER BY id) AS sent
                FROM (SELECT id, record_key,
                             nullif(least((id - 1) * 100 / :size + 1, cardinality(cast(:states AS text[])) + 1),
                                    cardinality(cast(:states AS text[])) + 1) AS place
                      FROM bridge.completion_instance) placed) ranked) each
    ORDER BY id
    """
)
_MONTH = (
    sa.text(
        """
        INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
        SELECT grain, at, :destination, state, lane, 50, 50
        FROM (SELECT 0 AS grain, cast(:now AS timestamptz) - n * interval '100 milliseconds' AS at
              FROM generate_series(1, 1200) n
              UNION ALL SELECT 1, date_trunc('minute', :now - n * interval '1 minute') FROM generate_series(2, 1500) n
              UNION ALL SELECT 2, date_trunc('hour', :now - n * interval '1 hour') FROM generate_series(25, 768) n
             ) AS busy (grain, at)
        CROSS JOIN (VALUES ('queued', 'fresh'), ('sending', 'fresh'), ('sent', 'fresh'), ('failed', 'retry'),
                           ('queued', 'backfill'), ('sending', 'backfill'), ('sent', 'backfill')) AS moved (state, lane)
        """
    ),
    sa.text(
        """
        INSERT INTO bridge.delivery_hour (destination, hour, delay_bucket, sent)
        SELECT :destination, date_trunc('hour', :now - n * interval '1 hour'), bucket, 3
        FROM generate_series(0, 720) n CROSS JOIN generate_series(-1, 40) bucket
        """
    ),
    sa.text(
        """
        INSERT INTO bridge.extract_hour (site, hour, runs, changes)
        SELECT :site, date_trunc('hour', :now - n * interval '1 hour'), 1, 50 FROM generate_series(0, 720) n
        """
    ),
    sa.text(
        """
        INSERT INTO bridge.alert (name, subject, words, raised_at, seen_at)
        SELECT 'run_failed', 'dag' || n, 'It failed.', :now, :now FROM generate_series(1, 10) n
        """
    ),
)
