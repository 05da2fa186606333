"""Draining one destination's queue: several requests in flight, until nothing is due or the time box is over.

Each thread claims a batch, sends it and writes down what became of it, over and over. What it holds is leased: a
drain that is killed holds nothing for longer than the lease, and what it had sent is sent again under the same key.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy import Engine

from totara_bridge.errors import OracleUnavailable
from totara_bridge.push.batch import Batches
from totara_bridge.push.bodies import Bodies
from totara_bridge.push.flow import FAILURES_TO_OPEN
from totara_bridge.push.keeper import LeaseKeeper
from totara_bridge.push.plan import Drained, DrainPlan, Sends
from totara_bridge.push.run import Run
from totara_bridge.push.shadow import show
from totara_bridge.staging import body, destination, item_count, lease

log = logging.getLogger(__name__)


def drain(
    engine: Engine,
    new_sender: Callable[[], AbstractContextManager[Sends]],
    plan: DrainPlan,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
    drained: Drained | None = None,
) -> Drained:
    """Send what is due; in shadow mode only show it.

    :param engine: with as many connections as the plan says.
    :param new_sender: called once by each thread.
    :param stop: set from outside for a clean stop: requests in flight end, leases are returned.
    :param drained: what is sent is counted there, for who wants the numbers also of a drain that fails.
    :raises OracleRefused: the destination does not work; items are back in the queue as they were.
    :raises OracleUnavailable: it is down; nothing is claimed for it for a while.
    """
    bodies = _begin(engine, plan, clock())
    if plan.settings.shadow:
        shown = show(engine, new_sender, plan, bodies, clock=clock, stop=stop)
        log.info("%s in shadow mode, nothing was sent: %s", plan.destination, shown.counts())
        return shown
    run = Run(engine, plan, bodies, clock, stop=stop, drained=drained or Drained())
    with (
        LeaseKeeper(engine, plan.lease, clock) as keeper,
        ThreadPoolExecutor(plan.threads, thread_name_prefix=f"push-{plan.destination}") as threads,
    ):
        working = [threads.submit(_work, run, new_sender, keeper) for _ in range(plan.threads)]
    run.end()
    log.info("%s: %s", plan.destination, run.drained.counts())
    _write_down_whether_it_works(run)
    _raise_what_ended(run, working)
    return run.drained


def _raise_what_ended(run: Run, working: Sequence[Future[None]]) -> None:
    """Raise what ended the drain before its time; that the destination is down is written down first."""
    try:
        for each in working:
            each.result()
        if run.problem is not None:
            raise run.problem
    except OracleUnavailable:
        with run.engine.begin() as transaction:
            destination.went_down(transaction, run.plan.destination, now=run.clock())
        raise


def _write_down_whether_it_works(run: Run) -> None:
    """For who watches; once per drain, as a request has no time for it."""
    code = run.plan.destination
    with run.engine.begin() as transaction:
        if run.drained.answered:
            destination.works(transaction, code)
        elif run.drained.failed and run.problem is None:
            destination.went_down_unless_answered(transaction, code, requests=FAILURES_TO_OPEN, now=run.clock())


def _begin(engine: Engine, plan: DrainPlan, now: datetime) -> Bodies:
    """Put back what was left behind; how bodies are kept."""
    code = plan.destination
    with engine.begin() as transaction:
        if expired := lease.release_expired(transaction, destination=code, now=now):
            log.warning("%s: %d items of a sender that went silent are due again", code, expired)
        if not plan.settings.shadow:
            lease.forget_shown(transaction, destination=code)
        until, reason = destination.resting_until(transaction, code)
        bodies = Bodies.of(plan, body.templates_used(transaction))
    with engine.begin() as transaction:
        item_count.add_up(transaction, now=now)
    if until is not None and until > now:
        log.info("%s is left alone until %s: it %s", code, until.isoformat(), reason)
    return bodies


def _work(run: Run, new_sender: Callable[[], AbstractContextManager[Sends]], keeper: LeaseKeeper) -> None:
    """Claim, send and settle until there is nothing to do."""
    try:
        with new_sender() as sender:
            batches = Batches(run, sender, keeper)
            while not run.over() and batches.send_next():
                pass
    except BaseException:
        run.broke()  # the other threads end cleanly; this one's error is the drain's
        raise
