"""Instances are selected in stretches of their ids, or each slice could be planned as a join of whole tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.staging.engine import Transaction

#: Ids of instances that are looked at in one statement.
STRETCH = 50_000


def next_slice(
    transaction: Transaction, statement: str, given: Mapping[str, object], *, after: int, slice_size: int
) -> Sequence[Row[Any]]:
    """The next rows of a statement over instances ``i``, which ends in its conditions; none: there are no more."""
    highest = transaction.execute(text("SELECT coalesce(max(id), 0) FROM bridge.completion_instance")).scalar_one()
    stretch = text(f"{statement} AND i.id > :after AND i.id <= :up_to ORDER BY i.id LIMIT :slice_size")
    rows: Sequence[Row[Any]] = ()
    while not rows and after < highest:
        rows = transaction.execute(
            stretch, {**given, "after": after, "up_to": after + STRETCH, "slice_size": slice_size}
        ).all()
        after += STRETCH
    return rows
