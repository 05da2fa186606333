"""Reading what Totara's change log names, since the watermark and somewhat before it."""

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming, load
from totara_bridge.totara.source import Snapshot, Window


def read(transaction: Transaction, snapshot: Snapshot, window: Window) -> int:
    """Stream in the pairs that changed, with their learners and courses; how many completions."""
    load(transaction, Incoming.PAIR, snapshot.changed_pairs(window))
    load(transaction, Incoming.WHOLE_COURSE, snapshot.whole_courses(window))
    if snapshot.limited:
        load(transaction, Incoming.PRESENT, snapshot.present_pairs(window))
    load(transaction, Incoming.LEARNER, snapshot.learners(window))
    load(transaction, Incoming.COURSE, snapshot.courses(window))
    load(transaction, Incoming.HISTORY, snapshot.history(window))
    return load(transaction, Incoming.COMPLETION, snapshot.completions(window))
