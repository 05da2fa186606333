"""Queueing past instances from a date: in slices that each stand for themselves, so that it can be stopped."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from totara_bridge.extract import enqueue
from totara_bridge.extract.enqueue import Wants
from totara_bridge.staging import completion, deliverable
from totara_bridge.staging import site as staged_site
from totara_bridge.staging.deliverable import Past, PastCount
from totara_bridge.staging.engine import Transaction, bulk_transaction

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backfilled:
    """What a backfill found before it began, and what it queued (nothing in a dry run)."""

    found: PastCount
    queued: int
    held: int  #: of what was lacking, cannot be sent yet


def backfill(
    engine: Engine, *, wants: Wants, sites: Sequence[str], since: datetime, dry_run: bool, now: datetime
) -> Backfilled:
    """Queue, in the backfill lane, what was completed at or after ``since`` and the destination wants and lacks.

    Run again, it queues only what is still missing: what was delivered is known even when the queue was purged.
    """
    asked = Past(wants.destination, sites, since, wants.route)
    with bulk_transaction(engine) as transaction:
        if not dry_run:
            _begin(transaction, asked, now)
        found = deliverable.count_past(transaction, asked)
    log.info("backfill of %s since %s: %s", wants.destination, since.isoformat(), found)
    queued = held = 0
    after: int | None = None if dry_run else 0
    while after is not None:
        with bulk_transaction(engine) as transaction:
            completion.begin_merge(transaction)  # no extract changes an instance between its reading and its queueing
            rows = deliverable.past(transaction, asked, after=after, slice_size=enqueue.SLICE)
            put = enqueue.put_past(transaction, rows, wants, now=now)
        queued, held = queued + put.queued, held + put.held
        after = rows[-1].instance_id if rows else None
    return Backfilled(found=found, queued=queued, held=held)


def _begin(transaction: Transaction, asked: Past, now: datetime) -> None:
    """From now on the destination takes part: a later extract must not take for past what comes in between."""
    for site in asked.sites:
        if staged_site.watermark(transaction, site) is not None:
            deliverable.set_baseline(transaction, destination=asked.destination, site=site, now=now)
