"""One extract of one site: what was read, staged and queued belongs to one transaction with the watermark.

Killed at any point, it has done nothing; run again, it finds nothing new.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import Engine

from totara_bridge.errors import DeletionsUnconfirmed, SiteReplaced, TotaraUnavailable
from totara_bridge.extract import enqueue, full_compare, incremental
from totara_bridge.staging import completion, deliverable, incoming, instance, queue, scope, site
from totara_bridge.staging.completion import CompletionChanges
from totara_bridge.staging.engine import Transaction, bulk_transaction
from totara_bridge.staging.instance import InstanceChanges
from totara_bridge.staging.site import Watermark
from totara_bridge.totara.source import Snapshot, Source

log = logging.getLogger(__name__)

#: A full compare that would delete more than both of these stops and asks.
BELIEVABLE_DELETIONS = 100
BELIEVABLE_SHARE = 0.05


@dataclass(frozen=True)
class Extracted:
    """What an extract did."""

    site: str
    full_compare: bool
    read: int  #: completions
    completions: CompletionChanges
    instances: InstanceChanges
    baseline: tuple[str, ...]  #: destinations that saw the site for the first time: its past is not queued
    queued: int
    replaced: int  #: items that were not posted yet and got a later revision's payload
    cancelled: int  #: items that were not posted yet and whose completion Totara lost
    reported: int  #: revisions and losses of what a destination may already have

    @property
    def changed(self) -> bool:
        """Whether anything in staging or in the queue is different now."""
        changes = (*vars(self.completions).values(), *vars(self.instances).values())
        return any(changes) or bool(self.queued or self.replaced or self.cancelled)

    def counts(self) -> dict[str, int]:
        """The numbers, flat."""
        return {
            "read": self.read,
            **{f"completions_{name}": number for name, number in vars(self.completions).items()},
            **{f"instances_{name}": number for name, number in vars(self.instances).items()},
            "queued": self.queued,
            "replaced": self.replaced,
            "cancelled": self.cancelled,
            "reported": self.reported,
        }


@dataclass(frozen=True)
class ExtractPlan:
    """How a site is to be extracted."""

    site: str
    connection: str  #: the Airflow Connection's name, for the books and for sentences
    destinations: Sequence[str]  #: those whose route takes the site
    overlap: timedelta
    full_compare_at: time  #: UTC; the first run after it compares everything
    force_full_compare: bool = False
    confirm_deletions: bool = False


def extract_site(engine: Engine, source: Source, plan: ExtractPlan, *, now: datetime) -> Extracted:
    """Read a site's changes, or all of it where a full compare is due, and stage and queue them.

    :raises SiteReplaced: another Totara answers than before.
    :raises DeletionsUnconfirmed: a full compare would delete more than is believable.
    :raises TotaraUnavailable: Totara does not answer, or the site is being extracted by another run.
    :raises TotaraRefused: it may not be read.
    """
    with bulk_transaction(engine) as transaction, source.snapshot() as snapshot:
        if not site.reserve(transaction, plan.site):
            raise TotaraUnavailable(f"The site {plan.site} is being extracted by another run: wait for it to end.")
        _refuse_another_totara(transaction, snapshot, plan, now)
        before = site.watermark(transaction, plan.site)
        whole_site = plan.force_full_compare or full_compare.due(
            before, newest_log_id=snapshot.newest_log_id, at=plan.full_compare_at, now=now
        )
        incoming.receive(transaction)
        if whole_site or before is None:
            whole_site, read = True, full_compare.read(transaction, snapshot)
        else:
            read = incremental.read(transaction, snapshot, before, plan.overlap)
        extracted = _stage(transaction, plan, whole_site=whole_site, read=read, now=now)
        site.advance(
            transaction,
            plan.site,
            Watermark(
                log_id=snapshot.newest_log_id,
                read_at=snapshot.clock,
                extracted_at=now,
                compared_at=now if whole_site or before is None else before.compared_at,
            ),
        )
    log.info("site %s: %s", plan.site, extracted.counts())
    return extracted


def _refuse_another_totara(transaction: Transaction, snapshot: Snapshot, plan: ExtractPlan, now: datetime) -> None:
    known = site.recognise(
        transaction, site=plan.site, connection=plan.connection, fingerprint=snapshot.fingerprint, now=now
    )
    if known != snapshot.fingerprint:
        made = datetime.fromtimestamp(known, UTC), datetime.fromtimestamp(snapshot.fingerprint, UTC)
        raise SiteReplaced(
            f"The connection {plan.connection} of site {plan.site} leads to another Totara than before (made on "
            f"{made[1]:%Y-%m-%d %H:%M:%S} instead of {made[0]:%Y-%m-%d %H:%M:%S} UTC), so nothing was read: "
            "correct the connection, or give the new Totara a site code of its own in bridge.toml."
        )


def _stage(transaction: Transaction, plan: ExtractPlan, *, whole_site: bool, read: int, now: datetime) -> Extracted:
    scope.note_left_out(transaction)
    completion.begin_merge(transaction)
    if whole_site and not plan.confirm_deletions:
        _refuse_mass_deletion(transaction, plan)
    completion.merge_learners(transaction, site=plan.site, now=now)
    completion.merge_courses(transaction, site=plan.site, now=now)
    completions = completion.merge(transaction, site=plan.site, whole_site=whole_site, now=now)
    instances = instance.merge(transaction, site=plan.site, whole_site=whole_site, now=now)
    baseline = tuple(
        each
        for each in plan.destinations
        if deliverable.set_baseline(transaction, destination=each, site=plan.site, now=now)
    )
    cancelled = queue.cancel_lost(transaction, now=now)
    outcome = enqueue.touched(transaction, plan.destinations, site=plan.site, now=now)
    return Extracted(
        site=plan.site,
        full_compare=whole_site,
        read=read,
        completions=completions,
        instances=instances,
        baseline=baseline,
        queued=outcome.queued,
        replaced=outcome.replaced,
        cancelled=cancelled,
        reported=deliverable.count_reported(transaction),
    )


def _refuse_mass_deletion(transaction: Transaction, plan: ExtractPlan) -> None:
    missing, staged = completion.missing(transaction, site=plan.site, whole_site=True)
    if missing > BELIEVABLE_DELETIONS and missing > staged * BELIEVABLE_SHARE:
        raise DeletionsUnconfirmed(
            f"A full compare of site {plan.site} finds {missing} of {staged} completions gone from Totara, more than "
            f"{BELIEVABLE_SHARE:.0%}, so nothing was changed: check what happened there and, if they are to be "
            "deleted here as well, run extract_completions once with confirm_deletions on."
        )
