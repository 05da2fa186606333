"""A merge as an extract makes it, of a few rows that a test says."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine

from totara_bridge.completion import Status, copy_lines
from totara_bridge.staging import completion, incoming, scope
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming, load

Pair = tuple[int, int]

#: What Totara says of a learner in a course: the status, and Unix seconds; none: nothing any more.
Said = tuple[Status, int | None] | None


def merge(staging: Engine, *, site: str, said: Mapping[Pair, Said], now: datetime) -> None:
    """Stage what was read of these pairs."""
    with staging.begin() as transaction:
        read(transaction, said)
        write(transaction, site=site, now=now)


def read(transaction: Transaction, said: Mapping[Pair, Said]) -> None:
    """What comes before anybody has to wait."""
    incoming.receive(transaction)
    load(transaction, Incoming.PAIR, copy_lines(said))
    rows = ((1, *pair, row[0], *[None] * 5, row[1], None) for pair, row in said.items() if row is not None)
    load(transaction, Incoming.COMPLETION, copy_lines(rows))


def write(transaction: Transaction, *, site: str, now: datetime) -> None:
    """The merge itself."""
    completion.begin_merge(transaction)
    incoming.drop_erased(transaction, site=site)
    incoming.set_aside_impossible(transaction, site=site, now=now)
    scope.note_left_out(transaction, site=site)
    merged_at = completion.merge_time(transaction, now=now)
    completion.merge(transaction, site=site, now=merged_at)
    completion.delete_missing(transaction, site=site, whole_site=False, now=merged_at)
