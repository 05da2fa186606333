"""Erasing a learner: what the bridge holds of a person is removed or blanked in one transaction, for good.

The tombstone that it leaves keeps every extract, backfill, requeue and load of mappings from bringing them back.
"""

import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from totara_bridge.completion import Status
from totara_bridge.errors import ErasureIncomplete, LearnerBusy
from totara_bridge.staging import audit, completion, erased, erasure, leftover
from totara_bridge.staging.engine import Transaction, bulk_transaction
from totara_bridge.staging.erased import Tombstone
from totara_bridge.staging.erasure import Learner, Step
from totara_bridge.staging.leftover import Searched
from totara_bridge.staging.states import TRANSITIONS, Kind, Lane, State

log = logging.getLogger(__name__)

#: Bytes of a name that can be told from the rest of a text.
SHORTEST = 4

#: What the bridge itself writes into a learner's rows.
_OWN_WORDS = " ".join(
    (*State, *Kind, *Lane, *Status, *TRANSITIONS, "late split shadow push extract", erasure.CANCELLED)
)


@dataclass(frozen=True)
class Erased:
    """What was erased, or in a dry run would be, and what a search found afterwards."""

    learner: Learner
    by: str
    at: datetime
    dry_run: bool
    before: Tombstone | None  #: the learner was erased already
    steps: Sequence[Step]
    names: "Names"
    searched: Searched | None  #: none: no name is known to search for, or in a dry run

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
            "erased_before": None if self.before is None else self.before.erased_at.isoformat(),
            "tables": [vars(step) for step in self.steps],
            "search": self._search(),
        }

    def _search(self) -> dict[str, Any] | str:
        if self.dry_run:
            return "not made in a dry run"
        if self.searched is None:
            return "not made: the bridge knows no name of this learner that could be looked for"
        return {
            "looked_for": sorted(self.names.sought),
            "not_looked_for": self.names.skipped,
            "tables": self.searched.tables,
            "columns": self.searched.columns,
            "found_in_rows_of_the_learner": self.searched.own,
            "found_where_it_says_who_did_something": self.searched.acted,
            "found_in_rows_of_others": self.searched.others,
        }


@dataclass(frozen=True, repr=False)
class Names:
    """A learner's names: which are looked for, and why others are not."""

    sought: Mapping[str, str]  #: by what they are, such as ``username``
    skipped: dict[str, str]  #: why, by what they are

    @classmethod
    def of(cls, identity: Mapping[str, str], words: Sequence[str]) -> "Names":
        """Those that a search can tell from other words, such as these."""
        names = {what: name.strip() for what, name in identity.items()}
        common = " ".join((_OWN_WORDS, *words)).casefold()
        skipped = {what: why for what, name in names.items() if (why := _why_not_sought(name, common))}
        return cls({what: name for what, name in names.items() if what not in skipped}, skipped)

    @property
    def pattern(self) -> str | None:
        """A regular expression, as PostgreSQL reads it, that finds any of them; none: there are none."""
        forms = {_literal(form) for name in self.sought.values() for form in _forms(name)}
        return "|".join(sorted(forms)) or None


def erase(engine: Engine, *, site: str, user_id: int, by: str, dry_run: bool, now: datetime) -> Erased:
    """Remove or blank what is held of the learner, in one transaction; then look whether any name is left.

    :raises LearnerBusy: something about the learner is being sent; nothing was changed.
    :raises ErasureIncomplete: a name of the learner is still in a row of theirs; all else was erased.
    """
    learner = Learner(site, user_id)
    with bulk_transaction(engine) as transaction:
        # extracts write under this lock too: one that read the learner before drops those rows after
        completion.begin_merge(transaction)
        before = erased.tombstone(transaction, site=site, user_id=user_id)
        erased.put_tombstone(transaction, site=site, user_id=user_id, by=by, now=now)
        words = [site, *filter(None, erasure.codes(transaction, learner))]
        names = Names.of(erasure.identity(transaction, learner), words)
        keys = erasure.keys(transaction, learner)
        items = _not_busy(transaction, learner, dry_run=dry_run, now=now)
        steps = erasure.erase(transaction, learner, items=items, keys=keys, names=names.pattern, now=now)
        done = Erased(learner, by, now, dry_run, before, steps, names, None)
        if dry_run:
            transaction.rollback()
            return done
        subject = f"{site}/{user_id}"
        audit.record(transaction, actor=by, action=erasure.ERASE, subject=subject, details=done.counts(), now=now)
    return _proved(engine, done, keys)


def _not_busy(transaction: Transaction, learner: Learner, *, dry_run: bool, now: datetime) -> list[int]:
    """The learner's items, locked.

    :raises LearnerBusy: one of them is being sent, and this is no dry run.
    """
    items = erasure.lock_items(transaction, learner, now=now)
    sending = sum(item.state == State.SENDING for item in items)
    if sending and not dry_run:
        raise LearnerBusy(
            f"Of the learner {learner.user_id} of site {learner.site}, {sending} of {len(items)} items are being sent "
            "at this moment, so nothing was erased: try again when that push has ended."
        )
    return [item.id for item in items]


def _proved(engine: Engine, done: Erased, keys: Sequence[str]) -> Erased:
    """What was done, with what a search finds now that it is committed.

    :raises ErasureIncomplete: the search found a name in a row of the learner.
    """
    if (pattern := done.names.pattern) is not None:
        with engine.connect() as transaction:
            searched = leftover.search(transaction, done.learner, keys=keys, names=pattern)
        done = replace(done, searched=searched)
    log.info("proof of what was erased: %s", json.dumps(done.document(), indent=2, ensure_ascii=False))
    if done.searched is not None and done.searched.own:
        raise ErasureIncomplete(
            f"The learner {done.learner.user_id} of site {done.learner.site} was erased, but one of their names still "
            f"stands in {', '.join(done.searched.own)}, in rows of theirs: look there and blank it by hand."
        )
    return done


def _why_not_sought(name: str, common: str) -> str | None:
    if not name:
        return "there is none"
    if len(name.encode()) < SHORTEST:
        return f"it is shorter than {SHORTEST} letters, which many other words contain"
    if name.casefold() in common:
        return "the bridge uses this word itself"
    return None


def _forms(name: str) -> Iterator[str]:
    """How a name may be written in a text or in JSON."""
    for form in {name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}:
        yield form
        yield json.dumps(form)[1:-1]
        yield json.dumps(form, ensure_ascii=False)[1:-1]


def _literal(form: str) -> str:
    """A regular expression for this text alone; a number within another number is another one."""
    return rf"(?<![0-9]){form}(?![0-9])" if re.fullmatch("[0-9]+", form) else re.escape(form)
