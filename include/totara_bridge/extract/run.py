"""One extract of one site: what was read, staged and queued belongs to one transaction with the watermark.

Killed at any point, it has done nothing; run again, it finds nothing new.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import Engine

from totara_bridge.errors import DeletionsUnconfirmed, SiteBusy, SiteReplaced
from totara_bridge.extract import audiences, enqueue, full_compare, incremental
from totara_bridge.extract.enqueue import Wants
from totara_bridge.staging import audience, audit, completion, deliverable, incoming, instance, queue, scope, site
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
    set_aside: int  #: rows that cannot be true; the table of that name says why
    completions: CompletionChanges
    instances: InstanceChanges
    baseline: tuple[str, ...]  #: destinations that saw the site for the first time: its past is not queued
    queued: int
    held: int  #: new completions that lack something which the template requires
    replaced: int  #: items that were not posted yet and got a later revision's payload
    cancelled: int  #: items that were not posted yet and are no more true: Totara lost the completion, or has it again
    corrections: int  #: items that tell a destination of a revision
    withdrawals: int  #: items that tell a destination of a loss
    reported: int  #: revisions and losses that a destination has, or may have, and does not want to know of

    @property
    def changed(self) -> bool:
        """Whether anything in staging or in the queue is different now."""
        staged = (*vars(self.completions).values(), *vars(self.instances).values())
        return any((*staged, self.queued, self.held, self.replaced, self.cancelled))

    def counts(self) -> dict[str, int]:
        """The numbers, flat."""
        return {
            "read": self.read,
            "set_aside": self.set_aside,
            **{f"completions_{name}": number for name, number in vars(self.completions).items()},
            **{f"instances_{name}": number for name, number in vars(self.instances).items()},
            "queued": self.queued,
            "held": self.held,
            "replaced": self.replaced,
            "cancelled": self.cancelled,
            "corrections": self.corrections,
            "withdrawals": self.withdrawals,
            "reported": self.reported,
        }


@dataclass(frozen=True)
class ExtractPlan:
    """How a site is to be extracted."""

    site: str
    connection: str  #: the Airflow Connection's name, for the books and for sentences
    destinations: Sequence[Wants]  #: all: one whose route does not take the site any more may have some of it
    overlap: timedelta
    full_compare_at: time  #: the first run after it, in its time zone, compares everything
    force_full_compare: bool = False
    confirm_deletions: bool = False
    by: str = "extract"  #: who confirms
    only_news: bool = False  #: no full compare, even where one is due

    @property
    def audiences(self) -> frozenset[str]:
        """The audiences that routes name which take the site, by their id numbers."""
        taking = (wants for wants in self.destinations if wants.takes(self.site))
        return frozenset(name for wants in taking for name in wants.route.audiences)


def extract_site(engine: Engine, source: Source, plan: ExtractPlan, *, now: datetime) -> Extracted:
    """Read a site's changes, or all of it where a full compare is due, and stage and queue them.

    :raises SiteReplaced: another Totara answers than before.
    :raises DeletionsUnconfirmed: a full compare would delete more than is believable; what is new was staged and
        queued nevertheless.
    :raises SiteBusy: another run extracts the site.
    :raises TotaraUnavailable: Totara does not answer.
    :raises TotaraRefused: it may not be read.
    """
    try:
        extracted = _extract(engine, source, plan, now)
    except DeletionsUnconfirmed:
        log.info("site %s: the full compare stopped; its news are read all the same", plan.site)
        _extract(engine, source, replace(plan, only_news=True), now)
        raise
    log.info("site %s: %s", plan.site, extracted.counts())
    return extracted


def _extract(engine: Engine, source: Source, plan: ExtractPlan, now: datetime) -> Extracted:
    with bulk_transaction(engine) as transaction:
        # before Totara is looked at: an older look must not be merged after a newer one
        if not site.reserve(transaction, plan.site):
            raise SiteBusy(f"The site {plan.site} is being extracted by another run: wait for it to end.")
        before = site.watermark(transaction, plan.site)
        read = _read(transaction, source, plan, before, now)
        extracted = _stage(transaction, plan, read, before, now)
        compared_at = now if read.whole_site or before is None else before.compared_at
        site.advance(transaction, plan.site, replace(read.watermark, compared_at=compared_at))
        site.count_extract(transaction, plan.site, changes=extracted.instances.told, now=now)
    return extracted


@dataclass(frozen=True)
class _Read:
    """What is in the temporary tables now."""

    whole_site: bool
    completions: int
    watermark: Watermark


def _read(
    transaction: Transaction, source: Source, plan: ExtractPlan, before: Watermark | None, now: datetime
) -> _Read:
    """Read Totara, and let go of it: what follows may take long, and waits for others."""
    with source.snapshot() as snapshot:
        _refuse_another_totara(transaction, snapshot, plan, now)
        incoming.receive(transaction)
        whole_site = before is None or (
            not plan.only_news
            and (
                plan.force_full_compare
                or snapshot.query != before.query
                or full_compare.due(before, newest_log_id=snapshot.newest_log_id, at=plan.full_compare_at, now=now)
            )
        )
        if before is None or whole_site:
            window = None
            completions = full_compare.read(transaction, snapshot)
        else:
            window = snapshot.window(after=before.log_id, read_at=before.read_at, overlap=plan.overlap)
            completions = incremental.read(transaction, snapshot, window)
        audiences.read(transaction, snapshot, site=plan.site, wanted=plan.audiences, window=window)
        keep = before.query if before is not None and not whole_site else snapshot.query
        return _Read(whole_site, completions, Watermark(snapshot.newest_log_id, snapshot.clock, now, now, keep))


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


def _stage(
    transaction: Transaction, plan: ExtractPlan, read: _Read, before: Watermark | None, now: datetime
) -> Extracted:
    completion.begin_merge(transaction)
    incoming.drop_erased(transaction, site=plan.site)
    set_aside = incoming.set_aside_impossible(transaction, site=plan.site, now=now)
    scope.note_left_out(transaction, site=plan.site)
    missing, staged = completion.missing(transaction, site=plan.site, whole_site=read.whole_site)
    if read.whole_site and _is_mass_deletion(missing, staged):
        _confirmed_deletion(transaction, plan, "completions", gone=missing, staged=staged, now=now)
    merged_at = completion.merge_time(transaction, now=now)
    completion.merge_learners(transaction, site=plan.site, now=merged_at)
    completion.merge_courses(transaction, site=plan.site, now=merged_at)
    audience.merge(transaction, site=plan.site)
    completions = completion.merge(transaction, site=plan.site, now=merged_at)
    if missing:
        completion.delete_missing(transaction, site=plan.site, whole_site=read.whole_site, now=merged_at)
    alive = instance.count_alive(transaction, plan.site) if read.whole_site else 0
    widened = before is not None and before.query != read.watermark.query
    instances = instance.merge(transaction, site=plan.site, whole_site=read.whole_site, by_date=widened, now=now)
    completion.tell_of_instances(transaction, site=plan.site, now=merged_at, first=before is None)
    if read.whole_site and _is_mass_deletion(instances.lost, alive):
        _confirmed_deletion(transaction, plan, "instances of completions", gone=instances.lost, staged=alive, now=now)
    baseline = _set_baselines(transaction, plan, now)
    if before is not None and widened:
        deliverable.raise_baselines(transaction, site=plan.site, before=before.read_at)
    cancelled = queue.cancel_untrue(transaction, now=now)
    outcome = enqueue.touched(transaction, _told(transaction, plan), site=plan.site, now=now)
    return Extracted(
        site=plan.site,
        full_compare=read.whole_site,
        read=read.completions,
        set_aside=set_aside,
        completions=replace(completions, deleted=missing),
        instances=instances,
        baseline=baseline,
        cancelled=cancelled,
        **vars(outcome),
    )


def _set_baselines(transaction: Transaction, plan: ExtractPlan, now: datetime) -> tuple[str, ...]:
    """Those destinations that take the site and see it for the first time."""
    taking = [wants.destination for wants in plan.destinations if wants.takes(plan.site)]
    return tuple(
        code for code in taking if deliverable.set_baseline(transaction, destination=code, site=plan.site, now=now)
    )


def _told(transaction: Transaction, plan: ExtractPlan) -> Sequence[Wants]:
    """Those destinations that take the site, or took it once."""
    knowing = deliverable.having_baseline(transaction, site=plan.site)
    return [wants for wants in plan.destinations if wants.destination in knowing]


def _is_mass_deletion(gone: int, staged: int) -> bool:
    return gone > BELIEVABLE_DELETIONS and gone > staged * BELIEVABLE_SHARE


def _confirmed_deletion(
    transaction: Transaction, plan: ExtractPlan, what: str, *, gone: int, staged: int, now: datetime
) -> None:
    """Write down who confirmed it.

    :raises DeletionsUnconfirmed: nobody did.
    """
    if not plan.confirm_deletions:
        raise DeletionsUnconfirmed(
            f"A full compare of site {plan.site} finds {gone} of {staged} {what} gone from Totara, more than "
            f"{BELIEVABLE_SHARE:.0%}, so none was deleted; news are staged all the same. Check what happened there "
            f"and, if they are to be deleted here as well, run extract_completions once for the site {plan.site} "
            "with confirm_deletions on."
        )
    details = {"what": what, "gone": gone, "staged": staged}
    audit.record(transaction, actor=plan.by, action="confirm_deletions", subject=plan.site, details=details, now=now)
