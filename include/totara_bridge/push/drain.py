"""Draining one destination's queue: several requests in flight, until nothing is due or the time box is over.

Each thread claims a batch, sends it and writes down what became of it, over and over. What it holds is leased: a
drain that is killed holds nothing for longer than the lease, and what it had sent is sent again under the same key.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy import Engine

from totara_bridge.push.batch import Batches
from totara_bridge.push.bodies import Bodies
from totara_bridge.push.keeper import LeaseKeeper
from totara_bridge.push.plan import Drained, DrainPlan, Sends
from totara_bridge.push.run import Run
from totara_bridge.push.shadow import show
from totara_bridge.staging import body, destination, lease

log = logging.getLogger(__name__)

#: So many kept bodies are deleted at a time.
_BODIES_AT_ONCE = 500


def drain(
    engine: Engine,
    new_sender: Callable[[], AbstractContextManager[Sends]],
    plan: DrainPlan,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
) -> Drained:
    """Send what is due; in shadow mode only show it.

    :param engine: with as many connections as the plan says.
    :param new_sender: called once by each thread.
    :param stop: set from outside for a clean stop: requests in flight end, leases are returned.
    :raises OracleRefused: the destination does not work; items are back in the queue as they were.
    :raises OracleUnavailable: it is down; nothing is claimed for it for a while.
    """
    bodies = _begin(engine, plan, clock())
    if plan.settings.shadow:
        drained = show(engine, new_sender, plan, bodies, clock=clock, stop=stop)
        log.info("%s in shadow mode, nothing was sent: %s", plan.destination, drained.counts())
        return drained
    run = Run(engine, plan, bodies, clock, stop)
    with (
        LeaseKeeper(engine, plan.lease, clock) as keeper,
        ThreadPoolExecutor(plan.threads, thread_name_prefix=f"push-{plan.destination}") as threads,
    ):
        working = [threads.submit(_work, run, new_sender, keeper) for _ in range(plan.threads)]
    run.end()
    log.info("%s: %s", plan.destination, run.drained.counts())
    for each in working:
        each.result()
    if run.problem is not None:
        raise run.problem
    return run.drained


def _begin(engine: Engine, plan: DrainPlan, now: datetime) -> Bodies:
    """Put back what was left behind, and delete what was kept long enough."""
    code = plan.destination
    with engine.begin() as transaction:
        if expired := lease.release_expired(transaction, destination=code, now=now):
            log.warning("%s: %d items of a sender that went silent are due again", code, expired)
        if not plan.settings.shadow:
            lease.forget_shown(transaction, destination=code)
        until, reason = destination.resting_until(transaction, code)
        bodies = Bodies.of(plan, body.templates_used(transaction))
    if until is not None and until > now:
        log.info("%s is left alone until %s: it %s", code, until.isoformat(), reason)
    deleted = _BODIES_AT_ONCE
    while deleted == _BODIES_AT_ONCE:
        with engine.begin() as transaction:
            deleted = body.expire(
                transaction, destination=code, before=now - plan.settings.body_retention, limit=_BODIES_AT_ONCE
            )
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
