"""Having items sent again, or cancelled, by what they have in common.

In slices that each stand for themselves: killed and run again, it goes on; run twice, it does nothing twice.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row

from totara_bridge.staging import audit, by_hand, completion, selection
from totara_bridge.staging.engine import Transaction, bulk_transaction
from totara_bridge.staging.selection import Action, Selection

log = logging.getLogger(__name__)

#: Items in one transaction: no extract merges meanwhile.
SLICE = 2_000

#: As many slices are looked up at once: each look sorts all that is left.
_SLICES = 50

#: Kinds of errors that are named one by one.
_NAMED_ERRORS = 10


@dataclass(frozen=True)
class CarriedOut:
    """What was found, and what became of it."""

    found: Sequence[Row[Any]]  #: as `selection.groups` gives it
    done: int  #: none in a dry run
    refused: int  #: the action does not fit them (any more); named by ids, they are not there or not as asked for

    @property
    def selected(self) -> int:
        """How many items were found."""
        return sum(group.items for group in self.found)

    def counts(self) -> dict[str, int]:
        """Flat: what was done, then the found items by state, by destination, and by their commonest errors."""
        named: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        for group in self.found:
            named[f"state_{group.state}"] += group.items
            named[f"destination_{group.destination}"] += group.items
            if group.fingerprint is not None:
                errors[f"error_{group.fingerprint}"] += group.items
        total = {"selected": self.selected, "done": self.done, "refused": self.refused}
        return total | dict(sorted(named.items())) | dict(errors.most_common(_NAMED_ERRORS))


def carry_out(
    engine: Engine,
    action: Action,
    asked: Selection,
    *,
    by: str,
    words: str | None,
    dry_run: bool,
    now: datetime,
    slice_size: int = SLICE,
) -> CarriedOut:
    """Requeue or cancel all the items that are selected; in a dry run only count them.

    :param by: who asked, and ``words`` why: both are kept with each item.
    """
    with bulk_transaction(engine) as transaction:
        found = selection.groups(transaction, asked, action)
        selected, refused = (sum(getattr(group, name) for group in found) for name in ("items", "refused"))
        if not dry_run and selected > refused:
            _note(transaction, action, asked, by=by, selected=selected, now=now)
    not_there = len(set(asked.ids)) - selected if asked.ids else 0
    _say(action, found, not_there)
    if dry_run or selected == refused:
        return CarriedOut(found, done=0, refused=refused + not_there)
    done = after = 0
    while ids := _read(engine, action, asked, after=after, limit=_SLICES * slice_size):
        for start in range(0, len(ids), slice_size):
            part = ids[start : start + slice_size]
            done += _carry_out_slice(engine, action, replace(asked, ids=part), by=by, words=words, now=now)
        after = ids[-1]
    refused = max(0, selected + not_there - done)
    log.info("%s: %d done, %d refused", action, done, refused)
    return CarriedOut(found, done=done, refused=refused)


def _read(engine: Engine, action: Action, asked: Selection, *, after: int, limit: int) -> Sequence[int]:
    with bulk_transaction(engine) as transaction:
        return selection.ids(transaction, asked, action, after=after, limit=limit)


def _carry_out_slice(
    engine: Engine, action: Action, asked: Selection, *, by: str, words: str | None, now: datetime
) -> int:
    """Move those of these items that are still as asked for; how many."""
    with bulk_transaction(engine) as transaction:
        completion.begin_merge(transaction)  # nobody else requeues an item between its reading and its moving
        ids = selection.ids(transaction, asked, action, after=0, limit=len(asked.ids))
        return _VERBS[action](transaction, ids, by=by, words=words, now=now).done


_VERBS = {Action.REQUEUE: by_hand.requeue, Action.CANCEL: by_hand.cancel}


def _say(action: Action, found: Sequence[Row[Any]], not_there: int) -> None:
    if not found and not not_there:
        log.info("%s: nothing fits what was asked for", action)
    for group in found[:_NAMED_ERRORS]:
        error = [word for word in (group.error_class, group.error_code, group.error_words) if word]
        log.info(
            "%s: %d %s for %s%s%s",
            action,
            group.items,
            group.state,
            group.destination,
            f", error {group.fingerprint}, such as: {' '.join(error)}" if error else "",
            f"; of these it does not fit {group.refused}" if group.refused else "",
        )
    if rest := found[_NAMED_ERRORS:]:
        log.info("%s: %d more, in %d smaller groups", action, sum(group.items for group in rest), len(rest))
    if not_there:
        log.info("%s: %d of the ids are not there, or not as asked for", action, not_there)


def _note(transaction: Transaction, action: Action, asked: Selection, *, by: str, selected: int, now: datetime) -> None:
    """Write the audit row first: a run that is killed has done something too. Patterns may name learners."""
    details = {
        "states": list(asked.states),
        "lanes": list(asked.lanes),
        "kinds": list(asked.kinds),
        "ids": len(asked.ids),
        "sites": list(asked.route.sites),
        "courses": [*asked.route.courses, *filter(None, [asked.course])],
        "learners": len(asked.route.learners) + (asked.learner is not None),
        "key": asked.key,
        "error_class": asked.error_class,
        "fingerprint": asked.fingerprint,
        "queued_since": asked.queued_since and asked.queued_since.isoformat(),
        "queued_until": asked.queued_until and asked.queued_until.isoformat(),
        "selected": selected,
    }
    audit.record(
        transaction,
        actor=by,
        action=action,
        subject=", ".join(asked.destinations) or "all destinations",
        details={name: value for name, value in details.items() if value},
        now=now,
    )
