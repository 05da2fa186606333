"""One extract of one site: what was read, staged and queued belongs to one transaction with the watermark.

Killed at any point, it has done nothing; run again, it finds nothing new.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine

from totara_bridge.errors import DeletionsUnconfirmed, SiteBusy
from totara_bridge.extract import enqueue
from totara_bridge.extract.alike import say_alike
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.plan import Extracted, ExtractPlan
from totara_bridge.extract.read import Read, read
from totara_bridge.staging import (
    adopt,
    audience,
    audit,
    completion,
    deliverable,
    incoming,
    instance,
    loaded_file,
    queue,
    scope,
    site,
    unsaid,
)
from totara_bridge.staging.completion import CompletionChanges
from totara_bridge.staging.engine import Transaction, bulk_transaction
from totara_bridge.staging.instance import InstanceChanges
from totara_bridge.staging.site import Watermark
from totara_bridge.totara.source import Dates, Source

__all__ = ["ExtractPlan", "Extracted", "extract_site"]

log = logging.getLogger(__name__)

#: A full compare that would delete more than both of these stops and asks.
BELIEVABLE_DELETIONS = 100
BELIEVABLE_SHARE = 0.05


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
        there = read(transaction, source, plan, before, now)
        extracted = _stage(transaction, plan, there, before, now)
        if there.source.is_there:  # else the site is as silent as before
            site.advance(transaction, plan.site, there.watermark)
            site.count_extract(transaction, plan.site, changes=extracted.instances.told, now=now)
        for file in there.source.files:
            loaded_file.write(transaction, plan.site, **vars(file), now=now)
    return extracted


def _stage(
    transaction: Transaction, plan: ExtractPlan, read: Read, before: Watermark | None, now: datetime
) -> Extracted:
    completion.begin_merge(transaction)
    incoming.drop_erased(transaction, site=plan.site)
    set_aside = incoming.set_aside_impossible(transaction, site=plan.site, now=now)
    set_aside += say_alike(transaction, plan.site, read, now=now)
    if not read.source.gives.row_ids and not read.whole_site:
        unsaid.speak_for_read_pairs(transaction)
    elif read.source.gives.row_ids and before is not None and before.source != read.source.kind:
        adopt.adopt_rows(transaction, site=plan.site)
    scope.note_left_out(transaction, site=plan.site)
    merged_at = completion.merge_time(transaction, now=now)
    completions = _merge_completions(transaction, plan, read, merged_at=merged_at, now=now)
    widened = before is not None and _is_widened(read, before)
    instances = _merge_instances(transaction, plan, read, by_date=widened, now=now)
    completion.tell_of_instances(transaction, site=plan.site, now=merged_at, first=before is None)
    baseline = _set_baselines(transaction, plan, now) if _shows_the_past(read) else ()
    if before is not None and widened:
        deliverable.raise_baselines(transaction, site=plan.site, before=before.read_at)
    cancelled = queue.cancel_untrue(transaction, now=now)
    outcome = enqueue.touched(transaction, _told(transaction, plan), site=plan.site, now=now)
    return Extracted(
        site=plan.site,
        full_compare=read.whole_site,
        read=read.completions,
        set_aside=set_aside,
        completions=completions,
        instances=instances,
        baseline=baseline,
        cancelled=cancelled,
        more=read.source.more,
        **vars(outcome),
    )


def _merge_completions(
    transaction: Transaction, plan: ExtractPlan, read: Read, *, merged_at: datetime, now: datetime
) -> CompletionChanges:
    """With their learners, courses and audiences."""
    missing, staged = completion.missing(transaction, site=plan.site, whole_site=read.whole_site)
    if read.whole_site and _is_mass_deletion(missing, staged):
        _confirmed_deletion(transaction, plan, "completions", gone=missing, staged=staged, now=now)
    completion.merge_learners(transaction, site=plan.site, now=merged_at)
    completion.merge_courses(transaction, site=plan.site, now=merged_at)
    audience.merge(transaction, site=plan.site)
    completions = completion.merge(transaction, site=plan.site, now=merged_at)
    if missing:
        completion.delete_missing(transaction, site=plan.site, whole_site=read.whole_site, now=merged_at)
    return replace(completions, deleted=missing)


def _merge_instances(
    transaction: Transaction, plan: ExtractPlan, read: Read, *, by_date: bool, now: datetime
) -> InstanceChanges:
    alive = instance.count_alive(transaction, plan.site) if read.whole_site else 0
    instances = instance.merge(
        transaction,
        site=plan.site,
        whole_site=read.whole_site,
        history=read.source.gives.history,
        row_ids=read.source.gives.row_ids,
        by_date=by_date,
        now=now,
    )
    if read.whole_site and _is_mass_deletion(instances.lost, alive):
        _confirmed_deletion(transaction, plan, "instances of completions", gone=instances.lost, staged=alive, now=now)
    return instances


def _shows_the_past(read: Read) -> bool:
    """Whether what was read, with what was read before, is all of the past: of several files, once the last was."""
    return read.source.is_there and not read.source.more


def _is_widened(read: Read, before: Watermark) -> bool:
    """Whether it may show a past that was not seen before; of what has no date, that would be said of all news too."""
    now = read.watermark
    return now.query != before.query or (now.source != before.source and read.source.gives.dates is not Dates.NONE)


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
