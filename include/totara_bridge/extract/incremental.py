"""Reading what Totara's change log names, since the watermark and somewhat before it."""

from datetime import timedelta

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming, load
from totara_bridge.staging.site import Watermark
from totara_bridge.totara.source import Snapshot


def read(transaction: Transaction, snapshot: Snapshot, before: Watermark, overlap: timedelta) -> int:
    """Stream in the pairs that changed, with their learners and courses; how many completions."""
    window = snapshot.window(after=before.log_id, read_at=before.read_at, overlap=overlap)
    load(transaction, Incoming.PAIR, snapshot.changed_pairs(window))
    load(transaction, Incoming.WHOLE_COURSE, snapshot.whole_courses(window))
    if snapshot.limited:
        load(transaction, Incoming.PRESENT, snapshot.present_pairs(window))
    load(transaction, Incoming.LEARNER, snapshot.learners(window))
    load(transaction, Incoming.COURSE, snapshot.courses(window))
    load(transaction, Incoming.HISTORY, snapshot.history(window))
    return load(transaction, Incoming.COMPLETION, snapshot.completions(window))
