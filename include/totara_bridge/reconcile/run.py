"""One reconcile of one site: nothing is written but what was found; what is to be repaired, extracts and enqueue do.

The comparison reads the whole site as an extract does, in a transaction that is never committed; what was found goes
through another one, the only one that is. It keeps extracts of the site away, so that nothing is staged meanwhile, but
it holds no merge lock: it gives nobody a ``change_seq``, other sites may merge, and a learner who is erased meanwhile
is left out at the end.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Engine

from totara_bridge.errors import RequestInvalid, SiteBusy, Transient
from totara_bridge.extract.alike import say_alike
from totara_bridge.extract.plan import ExtractPlan
from totara_bridge.extract.read import Read, read
from totara_bridge.reconcile.pending import SourceWithPending
from totara_bridge.reconcile.repair import Repaired, repair
from totara_bridge.staging import (
    comparison,
    difference,
    incoming,
    loaded_file,
    reconciliation,
    scope,
    site,
    untold,
)
from totara_bridge.staging.comparison import Compared, Found
from totara_bridge.staging.engine import Transaction, bulk_trial
from totara_bridge.staging.reconciliation import Made
from totara_bridge.totara.source import Source, SourceKind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReconcilePlan:
    """How a site is to be compared."""

    extract: ExtractPlan  #: as it is extracted, also where it is to be repaired
    zone: str  #: whose days are counted
    by: str  #: who asked for it
    repair: bool = False


@dataclass(frozen=True)
class Reconciled:
    """What the comparison found; after a repair, what the second one did."""

    site: str
    found: Found
    totals: Mapping[str, int]  #: that Totara has: ``completed``, and of these ``erased`` and ``set_aside``
    repaired: Repaired = field(default_factory=Repaired)

    def counts(self) -> dict[str, int]:
        """The numbers, flat."""
        return {**vars(self.found), **self.totals, **vars(self.repaired)}


def reconcile_site(engine: Engine, source: Source, plan: ReconcilePlan, *, clock: Callable[[], datetime]) -> Reconciled:
    """Compare Totara with staging and with what was delivered; with ``repair``, put right what differs and look again.

    :param engine: with two connections.
    :raises SiteBusy: a run extracts the site, or reconciles it.
    :raises RequestInvalid: the site was never extracted.
    :raises SiteReplaced: another Totara answers than before.
    :raises DeletionsUnconfirmed: a repair would delete more than is believable.
    :raises Transient: the site's Connection was changed since the last extract, or its report file was.
    :raises TotaraUnavailable: Totara does not answer.
    :raises TotaraRefused: it may not be read.
    """
    found = _compare(engine, source, plan, clock, repaired=False)
    if plan.repair and found.found.differences:
        done = repair(engine, source, plan.extract, now=clock())
        found = replace(_compare(engine, source, plan, clock, repaired=True), repaired=done)
    return found


def _compare(
    engine: Engine, source: Source, plan: ReconcilePlan, clock: Callable[[], datetime], *, repaired: bool
) -> Reconciled:
    code = plan.extract.site
    with bulk_trial(engine) as transaction:
        if not site.reserve(transaction, code):
            raise SiteBusy(f"The site {code} is being extracted or reconciled by another run: wait for it to end.")
        before, now = site.watermark(transaction, code), clock()
        if before is None:
            raise RequestInvalid(
                f"The site {code} was never extracted, so there is nothing to compare: run extract_completions first."
            )
        seen = SourceWithPending(source, transaction, plan.extract, before)
        # nobody asks for audiences, and nothing will be deleted
        reading = replace(plan.extract, destinations=(), force_full_compare=True, only_news=False)
        there = read(transaction, seen, reading, before, now)
        _refuse_another_file(transaction, code, there)
        compared = Compared(
            site=code,
            zone=plan.zone,
            now=now,
            read_at=before.read_at,
            change_log=seen.change_log,
            whole=there.whole_site,
            history=there.source.gives.history,
        )
        _lay_beside(transaction, there, compared)
        _look_at_deliveries(transaction, plan.extract)
        made = Made(code, now, plan.by, there.watermark.query, repaired, comparison.found(transaction))
        with engine.begin() as results:
            reconciliation.write(results, transaction, made, difference.first(transaction, site=code))
        reconciled = Reconciled(code, made.found, comparison.totals(transaction))
    log.info("site %s%s: %s", code, ", repaired" if repaired else "", reconciled.counts())
    return reconciled


def _refuse_another_file(transaction: Transaction, code: str, there: Read) -> None:
    """Only the file that was read last says what is staged.

    :raises Transient: it is not there, or another one is.
    """
    last, read_now = loaded_file.last(transaction, code), [file.digest for file in there.source.files]
    if there.source.kind is SourceKind.REPORT_FILE and last is not None and last not in read_now:
        there_is = "is there no more" if not read_now else "was followed by another"
        raise Transient(
            f"The report file of site {code} that was read last {there_is}, so nothing was compared: run "
            "extract_completions on a newer one, then reconcile_completions while that file is still in its place."
        )


def _lay_beside(transaction: Transaction, there: Read, compared: Compared) -> None:
    """Count what was read, and note where staging differs from it; erased learners are counted only."""
    code = compared.site
    comparison.begin(transaction)
    incoming.set_aside_impossible(transaction, site=code, now=compared.now)
    say_alike(transaction, code, there, now=compared.now)
    scope.note_left_out(transaction, site=code)
    comparison.note_not_compared(transaction, compared)
    comparison.count(transaction, compared)
    incoming.drop_erased(transaction, site=code)
    comparison.compare(transaction, compared)


def _look_at_deliveries(transaction: Transaction, plan: ExtractPlan) -> None:
    """Note what each destination was not told of what is staged; one may have some of a site that it takes no more."""
    for wants in plan.destinations:
        to = wants.destination
        if wants.takes(plan.site):
            untold.note_lacking(transaction, destination=to, route=wants.route, site=plan.site)
        for kind in wants.amendments:
            untold.note_outdated(transaction, kind, destination=to, site=plan.site)
