"""A source without Totara's row ids says things as staging does, before they are merged or compared."""

from datetime import datetime

from totara_bridge.extract.read import Read
from totara_bridge.staging import adopt, unsaid
from totara_bridge.staging.engine import Transaction
from totara_bridge.totara.source import Dates


def say_alike(transaction: Transaction, site: str, read: Read, *, now: datetime) -> int:
    """Drop doubles, match what is known, and take from staging what the source cannot say; how many were set aside."""
    gives = read.source.gives
    if gives.row_ids:
        return 0
    contradicting = unsaid.drop_doubles(transaction, site=site, feed=read.source.feed, now=now)
    if gives.dates is Dates.SECOND:
        adopt.adopt_times(transaction, site=site)
    unsaid.fill(transaction, site=site, columns=gives.columns, statuses=gives.statuses)
    return contradicting
