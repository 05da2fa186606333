"""Erasing a learner: what the bridge holds of a person is removed or blanked in one transaction, for good.

The tombstone that it leaves keeps every extract, backfill, requeue and load of mappings from bringing them back.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from totara_bridge.errors import ErasureIncomplete, LearnerBusy
from totara_bridge.staging import audit, body, completion, erased, erasure, leftover
from totara_bridge.staging.engine import Transaction, bulk_look, bulk_transaction
from totara_bridge.staging.erased import Tombstone
from totara_bridge.staging.erasure import Held, Learner, Step
from totara_bridge.staging.learner_names import Names
from totara_bridge.staging.leftover import Searched

log = logging.getLogger(__name__)

#: In the audit log: that the search was finished, and what it found.
_SEARCHED = "erase_search"

_NO_NAME = "not made: the bridge knew no name of this learner that could be looked for"

#: What is said of a search that may have been cut short; the names are gone, so it cannot be made again.
_UNKNOWN = "erased before; whether the search was finished then is not known, and it cannot be made again"


@dataclass(frozen=True)
class Before:
    """What is known of the run that erased the learner, from the audit log."""

    tombstone: Tombstone
    counts: dict[str, Any] | None  #: none: the audit log has it no more
    search: dict[str, Any] | str

    @classmethod
    def of(cls, transaction: Transaction, learner: Learner) -> "Before | None":
        """None: the learner was not erased."""
        tombstone = erased.tombstone(transaction, site=learner.site, user_id=learner.user_id)
        if tombstone is None:
            return None
        rows = audit.since(transaction, subject=learner.subject, at=tombstone.erased_at)
        counts = next((row.details for row in rows if row.action == erasure.ERASE), None)
        search = next((row.details for row in rows if row.action == _SEARCHED), _UNKNOWN)
        if counts is not None and counts.get("looked_for") == []:
            search = _NO_NAME
        return cls(tombstone, counts, search)

    @property
    def doubt(self) -> str | None:
        """Why it may not have been complete, in a sentence; none: it was."""
        if isinstance(self.search, str):
            return None if self.search == _NO_NAME else self.search
        found = self.search["found_in_rows_of_the_learner"]
        return f"erased before; the search found a name in {', '.join(found)} then" if found else None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "at": self.tombstone.erased_at.isoformat(),
            "asked_by": self.tombstone.erased_by,
            "counts": self.counts,
            "search": self.search,
        }


@dataclass(frozen=True)
class Erased:
    """What was erased, or in a dry run would be, and what a search found afterwards."""

    learner: Learner
    by: str
    at: datetime
    dry_run: bool
    before: Before | None  #: the learner was erased already
    steps: Sequence[Step]
    names: Names
    searched: Searched | None = None  #: none: no name is known to search for, or it is not finished

    @property
    def found(self) -> int:
        """How many rows were removed, blanked or cancelled."""
        return sum(step.rows for step in self.steps if step.fate != "kept")

    def counts(self) -> dict[str, int]:
        """The numbers, flat: by table and what became of its rows."""
        return {f"{step.table}_{step.fate}": step.rows for step in self.steps}

    def document(self) -> dict[str, Any]:
        """The proof, as JSON: it says what was done and looked at, and never whose names were looked for."""
        return {
            "site": self.learner.site,
            "learner": self.learner.user_id,
            "asked_by": self.by,
            "at": self.at.isoformat(),
            "dry_run": self.dry_run,
            "erased_before": None if self.before is None else self.before.document(),
            "tables": [asdict(step) for step in self.steps],
            "search": self.search(),
        }

    def search(self) -> dict[str, Any] | str:
        """What was looked for and found, or why nothing was."""
        if self.dry_run:
            return "not made in a dry run"
        if not self.names.sought:
            return _NO_NAME if self.before is None else "not made: what the learner was called is known no more"
        return "not finished" if self.searched is None else _found(self.names, self.searched)


def _found(names: Names, searched: Searched) -> dict[str, Any]:
    return {
        "looked_for": sorted(names.sought),
        "not_looked_for": names.skipped,
        "tables": searched.tables,
        "columns": searched.columns,
        "found_in_rows_of_the_learner": searched.own,
        "found_where_it_says_who_did_something": searched.acted,
        "found_in_rows_of_others": searched.others,
    }


def erase(engine: Engine, *, site: str, user_id: int, by: str, dry_run: bool, now: datetime) -> Erased:
    """Remove or blank what is held of the learner, in one transaction; then look whether any name is left.

    A dry run only counts: it locks nothing and nobody waits for it.

    :raises LearnerBusy: something about the learner is being sent; nothing was changed.
    :raises ErasureIncomplete: a name of the learner is still in a row of theirs; all else was erased.
    """
    learner = Learner(site, user_id)
    with bulk_look(engine) as look:
        # long before anybody has to wait, as it takes long
        bodies = body.carrying(look, erasure.keys(look, learner))
        if dry_run:
            return _counted(look, learner, bodies.found, by=by, now=now)
    with bulk_transaction(engine) as transaction:
        # extracts write under this lock too: one that read the learner before drops those rows after
        completion.begin_merge(transaction)
        now = completion.merge_time(transaction, now=now)
        erased.reserve(transaction)
        before, names = Before.of(transaction, learner), _names(transaction, learner)
        erased.put_tombstone(transaction, site=site, user_id=user_id, by=by, now=now)
        keys, items = erasure.keys(transaction, learner), _not_busy(transaction, learner, now=now)
        kept_since = body.carrying(transaction, keys, but=bodies.looked_at)
        held = _held(transaction, items, [*bodies.found, *kept_since.found])
        steps = erasure.erase(transaction, learner, held, names=names.pattern, now=now)
        done = Erased(learner, by, now, dry_run, before, steps, names)
        details = done.counts() | {"looked_for": sorted(names.sought)}
        audit.record(transaction, actor=by, action=erasure.ERASE, subject=learner.subject, details=details, now=now)
    return _proved(engine, done, keys, held.requests)


def _counted(look: Transaction, learner: Learner, bodies: Sequence[int], *, by: str, now: datetime) -> Erased:
    names = _names(look, learner)
    held = _held(look, erasure.items(look, learner), bodies)
    steps = erasure.count(look, learner, held, names=names.pattern, now=now)
    return Erased(learner, by, now, True, Before.of(look, learner), steps, names)


def _names(transaction: Transaction, learner: Learner) -> Names:
    words = [learner.site, *filter(None, erasure.codes(transaction, learner))]
    return Names.of(erasure.identity(transaction, learner), words, user_id=learner.user_id)


def _held(transaction: Transaction, items: Sequence[int], bodies: Sequence[int]) -> Held:
    return Held(items, bodies, erasure.requests(transaction, items=items, bodies=bodies))


def _not_busy(transaction: Transaction, learner: Learner, *, now: datetime) -> Sequence[int]:
    """The learner's items, locked.

    :raises LearnerBusy: one of them is being sent.
    """
    locked, busy = erasure.lock_items(transaction, learner, now=now)
    if busy:
        raise LearnerBusy(
            f"Of the learner {learner.user_id} of site {learner.site}, {busy} of {len(locked) + busy} items are being "
            "sent at this moment, so nothing was erased: try again when that push has ended."
        )
    return locked


def _proved(engine: Engine, done: Erased, keys: Sequence[str], requests: Sequence[int]) -> Erased:
    """What was done, with what a search finds now that it is committed.

    The names are known to this process alone now: a search that is cut short cannot be made again.

    :raises ErasureIncomplete: the search found a name in a row of the learner.
    """
    learner, pattern = done.learner, done.names.pattern
    if pattern is not None:
        log.info("erased, and not searched yet: %s", _written(done))
        with engine.begin() as transaction:
            searched = leftover.search(transaction, learner, keys=keys, requests=requests, names=pattern)
            done = replace(done, searched=searched)
            audit.record(
                transaction,
                actor=done.by,
                action=_SEARCHED,
                subject=learner.subject,
                details=_found(done.names, searched),
                now=done.at,
            )
    log.info("proof of what was erased: %s", _written(done))
    if done.before is not None and done.before.doubt is not None:
        log.warning("learner %s: %s: look there, and into that run's log", learner.subject, done.before.doubt)
    if done.searched is not None and done.searched.own:
        raise ErasureIncomplete(
            f"The learner {learner.user_id} of site {learner.site} was erased, but one of their names still "
            f"stands in {', '.join(done.searched.own)}, in rows of theirs: look there and blank it by hand."
        )
    return done


def _written(done: Erased) -> str:
    return json.dumps(done.document(), indent=2, ensure_ascii=False)
