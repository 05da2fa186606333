"""Putting right what a comparison found: the site is extracted whole, and what destinations were not told is queued."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row

from totara_bridge.extract import enqueue
from totara_bridge.extract.enqueue import SLICE, Wants
from totara_bridge.extract.plan import ExtractPlan
from totara_bridge.extract.run import extract_site
from totara_bridge.staging import completion, crawl, untold
from totara_bridge.staging.engine import Transaction, bulk_transaction
from totara_bridge.staging.queue import Put
from totara_bridge.totara.source import Source

log = logging.getLogger(__name__)

_Next = Callable[..., Sequence[Row[Any]]]  #: given a transaction, what comes after and how many at most
_Queue = Callable[[Transaction, Sequence[Row[Any]]], Put]


@dataclass(frozen=True)
class Repaired:
    """What a repair has put into the queue, by the extract and because destinations lacked it."""

    queued: int = 0
    held: int = 0

    def __add__(self, more: Put) -> "Repaired":
        return Repaired(self.queued + more.queued, self.held + more.held)


def repair(engine: Engine, source: Source, plan: ExtractPlan, *, now: datetime) -> Repaired:
    """Extract all of the site, then queue what destinations should have been told: in slices that stand for themselves.

    Killed, repeated or run twice, it does nothing twice.

    :raises DeletionsUnconfirmed: the extract would delete more than is believable.
    :raises ConfigurationInvalid: a template changed and its version did not.
    """
    # or the next crawl stages what it heard before, and undoes what this extract finds
    with engine.begin() as transaction:
        crawl.forget_all(transaction, plan.site)
    extracted = extract_site(engine, source, replace(plan, force_full_compare=True), now=now)
    done = Repaired(extracted.queued + extracted.corrections + extracted.withdrawals, extracted.held)
    for wants in plan.destinations:
        done = _tell(engine, plan.site, wants, done, now)
    log.info("site %s: repaired, %d were queued and %d held", plan.site, done.queued, done.held)
    return done


def _tell(engine: Engine, site: str, wants: Wants, done: Repaired, now: datetime) -> Repaired:
    to = wants.destination
    if wants.takes(site):
        lacking = partial(untold.lacking, destination=to, route=wants.route, site=site)
        done = _in_slices(engine, lacking, partial(enqueue.put_past, wants=wants, now=now), done)
    for kind in wants.amendments:
        outdated = partial(untold.outdated, kind=kind, destination=to, site=site)
        done = _in_slices(engine, outdated, partial(enqueue.put_amendments, wants=wants, kind=kind, now=now), done)
    return done


def _in_slices(engine: Engine, following: _Next, queue: _Queue, done: Repaired) -> Repaired:
    after = 0
    while True:
        with bulk_transaction(engine) as transaction:
            completion.begin_merge(transaction)  # no extract changes an instance between its reading and its queueing
            rows = following(transaction, after=after, slice_size=SLICE)
            if not rows:
                return done
            done += queue(transaction, rows)
        after = rows[-1].instance_id
