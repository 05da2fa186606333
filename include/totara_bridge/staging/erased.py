"""Learners of whom nothing may be held any more: each has a tombstone, which is never taken back."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from totara_bridge.staging.engine import Transaction

#: What stands where words could have named a learner.
WORDS_REMOVED = "words removed: a learner was erased"

#: SQL: the learner of the instance ``i`` was not erased.
NOT_ERASED = "NOT EXISTS (SELECT FROM bridge.erased_learner e WHERE e.site = i.site AND e.user_id = i.user_id)"


@dataclass(frozen=True)
class Tombstone:
    """When a learner was erased, and who asked for it."""

    erased_at: datetime
    erased_by: str


def tombstone(transaction: Transaction, *, site: str, user_id: int) -> Tombstone | None:
    """The learner's tombstone; none: the learner was not erased."""
    statement = text("SELECT erased_at, erased_by FROM bridge.erased_learner WHERE site = :site AND user_id = :user_id")
    row = transaction.execute(statement, {"site": site, "user_id": user_id}).one_or_none()
    return None if row is None else Tombstone(*row)


def put_tombstone(transaction: Transaction, *, site: str, user_id: int, by: str, now: datetime) -> None:
    """Give the learner a tombstone; the one that there is stays as it is."""
    statement = text(
        """
        INSERT INTO bridge.erased_learner (site, user_id, erased_at, erased_by)
        VALUES (:site, :user_id, :now, :by) ON CONFLICT DO NOTHING
        """
    )
    transaction.execute(statement, {"site": site, "user_id": user_id, "by": by, "now": now})


def any_of(transaction: Transaction, site: str) -> bool:
    """Whether a learner of the site was erased."""
    statement = text("SELECT EXISTS (SELECT FROM bridge.erased_learner WHERE site = :site)")
    return bool(transaction.execute(statement, {"site": site}).scalar_one())


def among(transaction: Transaction, learners: Collection[tuple[str, int]]) -> dict[tuple[str, int], datetime]:
    """When those of these learners, by site and Totara's id, were erased that were."""
    statement = text(
        """
        SELECT e.site, e.user_id, e.erased_at FROM bridge.erased_learner e
        JOIN unnest(cast(:sites AS text[]), cast(:ids AS bigint[])) AS asked (site, user_id) USING (site, user_id)
        """
    )
    values = {"sites": [site for site, _ in learners], "ids": [user_id for _, user_id in learners]}
    return {(row.site, row.user_id): row.erased_at for row in transaction.execute(statement, values)}


def reserve(transaction: Transaction) -> None:
    """Wait until nobody writes down what a request said or was answered; until the transaction ends, nobody does.

    Under the lock of `completion.begin_merge`, for which those that write it down never wait.
    """
    transaction.execute(_ERASING)


def write_down(transaction: Transaction) -> None:
    """Wait until nobody erases a learner; until the transaction ends, nobody does.

    To be asked before the transaction holds any row, as it waits for an erasure that is running.
    """
    transaction.execute(_WRITING_DOWN)


def has_item_of(transaction: Transaction, items: Collection[int]) -> bool:
    """Whether one of these items lost its payload because its learner was erased; no other does meanwhile.

    To be asked before the transaction holds any row, as is `write_down`.
    """
    write_down(transaction)
    statement = text("SELECT EXISTS (SELECT FROM bridge.export_queue WHERE id = ANY(:items) AND payload = '')")
    return bool(transaction.execute(statement, {"items": list(items)}).scalar_one())


_ERASING = text("SELECT pg_advisory_xact_lock(hashtextextended('totara_bridge.erased', 0))")
_WRITING_DOWN = text("SELECT pg_advisory_xact_lock_shared(hashtextextended('totara_bridge.erased', 0))")
