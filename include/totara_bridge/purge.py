"""Deleting finished rows that are past their retention: in slices that each stand for themselves, with rests between.

What is not final stays, and so does the ledger of deliveries: what was sent is known for ever.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine

from totara_bridge.errors import Transient
from totara_bridge.staging import audit, setting
from totara_bridge.staging import purge as staged
from totara_bridge.staging.engine import Transaction, bulk_transaction
from totara_bridge.staging.purge import Cutoff, Dated, Numbered
from totara_bridge.staging.session_lock import SessionLock, session_lock

log = logging.getLogger(__name__)

#: Rows that are looked at, or deleted, in one transaction.
SLICE = 1_000

#: So many seconds of rest follow each second of work: senders have the database to themselves most of the time.
REST = 2.0

#: What can be purged by itself; what belongs to a row goes with it.
KINDS: Mapping[str, Numbered | Dated] = {
    "items": staged.ITEMS,
    "kept_bodies": staged.KEPT_BODIES,
    "log_rows": staged.LOG_ROWS,
    "acknowledgements": staged.ACKNOWLEDGEMENTS,
    "audit_rows": staged.AUDIT_ROWS,
    "alerts": staged.ALERTS,
}

#: What is counted.
_ROWS = (
    "items",
    "item_events",
    "kept_bodies",
    "log_rows",
    "acknowledgements",
    "audit_rows",
    "alerts",
    "alert_notices",
)

#: So often, in seconds, it is looked whether another purge has ended.
_LOOK_AGAIN = 1.0


@dataclass(frozen=True)
class Asked:
    """What a purge is asked to do."""

    by: str
    by_hand: bool  #: a person asked, not a schedule
    sent_days: int | None = None  #: none: as in the settings, of each destination
    log_days: int | None = None  #: none: as in the settings
    dry_run: bool = False
    only: frozenset[str] | None = None  #: kinds of rows, of `KINDS`; none: all

    def wants(self, kind: str) -> bool:
        """Whether rows of this kind are to go."""
        return self.only is None or kind in self.only


@dataclass(frozen=True)
class Purged:
    """What was deleted, or in a dry run would be."""

    counts: Mapping[str, int]  #: rows, by table
    finished: bool  #: off: it was stopped, and the next purge goes on


@dataclass(frozen=True)
class _Cutoffs:
    """By kind of row, what is past its retention."""

    items: Cutoff
    kept_bodies: Cutoff
    log_rows: Cutoff
    acknowledgements: Cutoff
    audit_rows: Cutoff
    alerts: Cutoff

    def written(self) -> dict[str, dict[str, str]]:
        """For the audit log."""
        return {
            name: {code: at.isoformat() for code, at in {setting.EVERYWHERE: each.everywhere, **each.own}.items()}
            for name, each in vars(self).items()
        }


@dataclass
class _Run:
    """A purge at work."""

    engine: Engine
    lock: SessionLock  #: keeps other purges waiting
    asked: Asked
    cutoffs: _Cutoffs
    now: datetime
    stop: threading.Event
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_ROWS, 0)))
    audited: bool = False

    def table(self, table: Numbered | Dated, cutoff: Cutoff) -> None:
        """Purge a table."""
        if isinstance(table, Numbered):
            self._numbered(table, cutoff)
        else:
            self._dated(table, cutoff)

    def _numbered(self, table: Numbered, cutoff: Cutoff) -> None:
        """From its lowest number upwards, as far as there is anything old."""
        after: int | None = 0
        while after is not None and not self.stop.is_set():
            with self._slice() as transaction:
                after = self._stretch(transaction, table, cutoff, after)

    def _dated(self, table: Dated, cutoff: Cutoff) -> None:
        """By its index, oldest first."""
        more = True
        while more and not self.stop.is_set():
            with self._slice() as transaction:
                if self.asked.dry_run:
                    done = table.found(transaction, cutoff)
                else:
                    done = table.purge(transaction, cutoff, limit=SLICE)
                self._write_down(transaction, done)
                more = not self.asked.dry_run and SLICE in done.values()

    def _stretch(self, transaction: Transaction, table: Numbered, cutoff: Cutoff, after: int) -> int | None:
        """Purge what follows that number; where to go on, or none at the end of what is old."""
        stretch = table.next(transaction, after=after, size=SLICE)
        if stretch is None or stretch.oldest >= cutoff.latest:
            return None
        self._write_down(transaction, table.purge(transaction, stretch, cutoff, dry_run=self.asked.dry_run))
        return stretch.up_to

    def _write_down(self, transaction: Transaction, done: Mapping[str, int]) -> None:
        """Count it; the first transaction that deletes says in the audit log who had it done."""
        self.counts.update(done)
        if self.audited or self.asked.dry_run or not (self.asked.by_hand or any(done.values())):
            return
        details = {"before": self.cutoffs.written()}
        audit.record(
            transaction, actor=self.asked.by, action="purge", subject=setting.EVERYWHERE, details=details, now=self.now
        )
        self.audited = True

    @contextmanager
    def _slice(self) -> Iterator[Transaction]:
        """A transaction, and a rest after it.

        :raises Transient: another purge may be at work, as the connection that keeps it waiting was lost.
        """
        if not self.lock.has_its_session():
            raise Transient(
                "The purge lost the connection to the staging database that keeps other purges waiting, so it stopped "
                f"after {self.counts['items']} items; what is deleted is deleted: run it again, and it goes on."
            )
        begun = time.monotonic()
        with bulk_transaction(self.engine) as transaction:
            yield transaction
        self.stop.wait((time.monotonic() - begun) * REST)


def purge(engine: Engine, asked: Asked, *, now: datetime, stop: threading.Event) -> Purged:
    """Delete what is finished and past its retention; in a dry run only count it.

    While another purge is at work it waits: the second finds what the first left.

    :param engine: with two connections: one of them keeps other purges waiting.
    :param stop: once it is set, no slice is begun any more.
    :raises ConfigurationInvalid: the ``setting`` table holds a value out of bounds.
    :raises Transient: the connection was lost that keeps other purges waiting.
    """
    with session_lock(engine, staged.LOCK) as lock:
        while not lock.take(within=timedelta(0)):
            log.info("another purge is at work; this one waits for it")
            if stop.wait(_LOOK_AGAIN):
                return Purged(dict.fromkeys(_ROWS, 0), finished=False)
        with engine.begin() as transaction:
            cutoffs = _cutoffs(transaction, asked, now)
        run = _Run(engine, lock, asked, cutoffs, now, stop)
        for kind, table in KINDS.items():
            if asked.wants(kind):
                run.table(table, getattr(cutoffs, kind))
    return Purged(dict(run.counts), finished=not stop.is_set())


def count(transaction: Transaction, asked: Asked, *, now: datetime) -> Mapping[str, int]:
    """How many rows a purge would delete, by table: all at once, as a person waits for it.

    :raises ConfigurationInvalid: the ``setting`` table holds a value out of bounds.
    """
    cutoffs = _cutoffs(transaction, asked, now)
    found = Counter(dict.fromkeys(_ROWS, 0))
    for kind, table in KINDS.items():
        if asked.wants(kind):
            found.update(table.found(transaction, getattr(cutoffs, kind)))
    return found


def _cutoffs(transaction: Transaction, asked: Asked, now: datetime) -> _Cutoffs:
    everywhere, own = setting.read(transaction), setting.of_destinations(transaction)
    logged = now - (everywhere.log_retention if asked.log_days is None else timedelta(days=asked.log_days))
    sent = Cutoff(now - everywhere.sent_retention, {code: now - each.sent_retention for code, each in own.items()})
    return _Cutoffs(
        items=sent if asked.sent_days is None else Cutoff(now - timedelta(days=asked.sent_days)),
        # a body goes with its request at the latest
        kept_bodies=Cutoff(
            max(logged, now - everywhere.body_retention),
            {code: max(logged, now - each.body_retention) for code, each in own.items()},
        ),
        log_rows=Cutoff(logged),
        acknowledgements=Cutoff(now - everywhere.acknowledgement_retention),
        audit_rows=Cutoff(now - everywhere.audit_retention),
        alerts=Cutoff(now - everywhere.alert_retention),
    )
