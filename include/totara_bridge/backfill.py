"""Queueing past instances from a date: in slices that each stand for themselves, so that it can be stopped."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row

from totara_bridge.extract import enqueue
from totara_bridge.extract.enqueue import Wants
from totara_bridge.staging import audit, by_hand, completion, deliverable, past, setting, throughput
from totara_bridge.staging import site as staged_site
from totara_bridge.staging.engine import Transaction, bulk_transaction
from totara_bridge.staging.past import FOREVER, Past, PastCount, ToldCount
from totara_bridge.staging.throughput import Throughput

log = logging.getLogger(__name__)

_Slice = tuple[Sequence[Row[Any]], Counter[str]]  #: the instances that were looked at, and what was done
_Step = Callable[[Transaction, Wants, "Asked", "_Place"], _Slice]


@dataclass(frozen=True)
class Asked:
    """What a person asks of a backfill."""

    past: Past
    by: str
    at: datetime  #: when it was asked: the same when the run is tried again, or continued after it was stopped
    resend: bool = False  #: send again what was delivered before that
    dry_run: bool = True


@dataclass(frozen=True)
class _Place:
    """Where a slice begins."""

    after: int  #: the instance before it
    slice_size: int
    now: datetime


@dataclass(frozen=True)
class Outlook:
    """What a backfill finds before it begins."""

    found: PastCount
    told: ToldCount | None  #: of what was delivered; none where nobody asked to send it again
    throughput: Throughput

    @property
    def resendable(self) -> int:
        """Of what was delivered, would be sent again."""
        return self.told.resendable if self.told else 0

    @property
    def changed(self) -> int:
        """Of what was delivered, cannot be sent again as it was told: its item was purged, it changed since."""
        return self.told.changed if self.told else 0

    @property
    def minutes(self) -> int | None:
        """About how long delivery will take, of what waits already too; none: not known yet."""
        return self.throughput.minutes(self.found.lacking + self.resendable)

    def words(self) -> str:
        """The same for a person."""
        length = f"not known yet: {'only small requests' if self.throughput.tried else 'nothing was sent to it'} so far"
        if self.minutes is not None and self.throughput.per_minute is not None:
            length = f"about {self.minutes} minutes at the present {self.throughput.per_minute:.0f} items a minute"
        changed = f", {self.changed} are left out: they were purged and edited since" if self.changed else ""
        cancelled = f"{self.found.cancelled} were cancelled: requeue_completions sends them; " * bool(
            self.found.cancelled
        )
        return (
            f"{self.found.lacking} would be queued, {self.found.delivered} are delivered already ({self.resendable} "
            f"would be sent again{changed}), {self.found.queued} are in the queue already, {self.found.withheld} are "
            f"withheld as their learner was deleted or erased; {cancelled}{self.throughput.waiting} items wait before "
            f"them; how long delivery will take: {length}"
        )


@dataclass(frozen=True)
class Backfilled:
    """What a backfill found before it began, and what it did: nothing in a dry run."""

    outlook: Outlook
    queued: int = 0
    held: int = 0  #: of what was lacking, cannot be sent yet
    resent: int = 0  #: queued to be sent again
    left_out: int = 0  #: of what was to be sent again, was not, for whatever reason
    finished: bool = True  #: off: it was stopped, and goes on when it is run again

    @property
    def found(self) -> PastCount:
        """How many past instances there were."""
        return self.outlook.found

    def counts(self) -> dict[str, int | None]:
        """As a run returns them; ``minutes`` is none where that is not known."""
        return {
            **vars(self.found),
            "resendable": self.outlook.resendable,
            "left_out": self.outlook.changed + self.left_out,
            "waiting": self.outlook.throughput.waiting,
            "minutes": self.outlook.minutes,
            "queued_now": self.queued,
            "held_now": self.held,
            "resent_now": self.resent,
        }


def backfill(
    engine: Engine,
    wants: Wants,
    asked: Asked,
    *,
    now: datetime,
    stop: threading.Event | None = None,
    slice_size: int = enqueue.SLICE,
) -> Backfilled:
    """Queue, in the backfill lane, what is asked for, is on the destination's route, and the destination lacks.

    Run again, it queues only what is still missing: what was delivered is known even when the queue was purged. With
    ``resend``, what the destination was told last of each instance is sent again, unless it was sent since that was
    asked: a run that was killed half way and is tried again sends nothing a third time, another run does. What was
    purged after it was sent again is no more known as that.

    :param stop: once it is set, no slice is begun any more.
    :param slice_size: instances in a transaction.
    :raises ConfigurationInvalid: the template changed and its version did not.
    """
    with bulk_transaction(engine) as transaction:
        outlook = look(transaction, asked)
        if not asked.dry_run:
            _begin(transaction, asked, outlook, now)
    log.info("backfill of %s: %s", asked.past.destination, outlook.words())
    done: Counter[str] = Counter()
    finished = True
    for step in _steps(asked):
        after: int | None = 0
        while after is not None and not (stop is not None and stop.is_set()):
            with bulk_transaction(engine) as transaction:
                # no extract changes an instance between its reading and its queueing
                completion.begin_merge(transaction)
                rows, put = step(transaction, wants, asked, _Place(after, slice_size, now))
            done += put
            after = rows[-1].instance_id if rows else None
        finished = finished and after is None
    return _told(asked, Backfilled(outlook, done["queued"], done["held"], done["resent"], finished=finished))


def _told(asked: Asked, done: Backfilled) -> Backfilled:
    """The same with what was left out, once it is known; the log says all of it."""
    if asked.dry_run or not done.finished:
        return done
    done = replace(done, left_out=max(0, done.outlook.resendable - done.resent))
    log.info(
        "backfill of %s: %d queued, %d held, %d to be sent again, %d that were delivered left out",
        asked.past.destination,
        done.queued,
        done.held,
        done.resent,
        done.outlook.changed + done.left_out,
    )
    return done


def look(transaction: Transaction, asked: Asked) -> Outlook:
    """What the backfill would find now; changes nothing."""
    destination = asked.past.destination
    return Outlook(
        found=past.count(transaction, asked.past),
        told=past.count_told(transaction, asked.past, before=asked.at) if asked.resend else None,
        throughput=throughput.present(
            transaction, destination, batch_size=setting.read(transaction, destination).batch_size
        ),
    )


def _begin(transaction: Transaction, asked: Asked, outlook: Outlook, now: datetime) -> None:
    """From now on the destination takes part: a later extract must not take for past what comes in between."""
    for site in asked.past.sites:
        if staged_site.watermark(transaction, site) is not None:
            deliverable.set_baseline(transaction, destination=asked.past.destination, site=site, now=now)
    subject = asked.past.destination
    if not audit.recorded(transaction, action="backfill", subject=subject, at=asked.at):
        details = _details(asked) | vars(outlook.found) | {"resendable": outlook.resendable}
        audit.record(transaction, actor=asked.by, action="backfill", subject=subject, details=details, now=asked.at)


def _details(asked: Asked) -> dict[str, Any]:
    """What was asked, without the patterns for learners: they may be names."""
    wanted = asked.past
    return {
        "from": wanted.since.date().isoformat(),
        "to": None if wanted.until == FOREVER else wanted.until.date().isoformat(),
        "sites": list(wanted.sites),
        "courses": list(wanted.narrowed.courses),
        "learner_patterns": len(wanted.narrowed.learners),
        "statuses": list(wanted.narrowed.statuses),
        "resend": asked.resend,
    }


def _steps(asked: Asked) -> Sequence[_Step]:
    if asked.dry_run:
        return []
    return [_queue_slice, _resend_slice] if asked.resend else [_queue_slice]


def _queue_slice(transaction: Transaction, wants: Wants, asked: Asked, place: _Place) -> _Slice:
    rows = past.lacking(transaction, asked.past, after=place.after, slice_size=place.slice_size)
    put = enqueue.put_past(transaction, rows, wants, now=place.now)
    return rows, Counter(queued=put.queued, held=put.held)


def _resend_slice(transaction: Transaction, wants: Wants, asked: Asked, place: _Place) -> _Slice:
    rows, resent = _resend_kept(transaction, asked, place)
    purged = [row for row in rows if row.item_id is None]
    resent += enqueue.put_again(transaction, purged, wants, by=asked.by, now=place.now)
    return rows, Counter(resent=resent)


def _resend_kept(transaction: Transaction, asked: Asked, place: _Place) -> tuple[Sequence[Row[Any]], int]:
    """Have the next slice's items that are still there sent again; the slice, and how many."""
    before: Sequence[Row[Any]] | None = None
    resent = 0
    while True:
        rows = past.resendable(transaction, asked.past, before=asked.at, after=place.after, slice_size=place.slice_size)
        kept = [row.item_id for row in rows if row.item_id is not None]
        done = by_hand.resend(transaction, kept, by=asked.by, now=place.now)
        resent += done.done
        if not done.refused or rows == before:
            return rows, resent
        before = rows  # some were purged between the reading and the moving: they show as that now
