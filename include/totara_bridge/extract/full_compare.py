"""Reading everything: what the change log missed is found, and what is gone."""

from datetime import UTC, datetime, time, timedelta

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming, load
from totara_bridge.staging.site import Watermark
from totara_bridge.totara.source import Snapshot


def due(before: Watermark | None, *, newest_log_id: int, at: time, now: datetime) -> bool:
    """Whether everything must be read: never done, not since the time of day ``at``, or Totara was restored.

    The time of day is that of its time zone, or UTC.

    A change log that ends below the watermark is one from a backup: what was read since is not in it.
    """
    if before is None or newest_log_id < before.log_id:
        return True
    zone = at.tzinfo or UTC
    last_turn = datetime.combine(now.astimezone(zone), at, zone)
    if last_turn.astimezone(UTC) > now:  # on one wall clock times would not be in order while clocks are set back
        last_turn -= timedelta(days=1)
    return before.compared_at < last_turn


def read(transaction: Transaction, snapshot: Snapshot) -> int:
    """Stream the whole site in; how many completions."""
    if snapshot.limited:
        load(transaction, Incoming.PRESENT, snapshot.present_pairs(None))
    load(transaction, Incoming.LEARNER, snapshot.learners(None))
    load(transaction, Incoming.COURSE, snapshot.courses(None))
    load(transaction, Incoming.HISTORY, snapshot.history(None))
    return load(transaction, Incoming.COMPLETION, snapshot.completions(None))
