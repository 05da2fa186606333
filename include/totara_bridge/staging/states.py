"""The life of an item in the export queue: its states, its lanes, and the only moves between them."""

from enum import StrEnum


class State(StrEnum):
    """Where an item is, and who moves it on."""

    QUEUED = "queued"  #: waits for its first attempt, or was requeued; a drain claims it
    SENDING = "sending"  #: leased to one batch; goes back by itself once the lease has run out
    SENT = "sent"  #: the destination has it; final, unless a person has it sent again
    FAILED = "failed"  #: the last attempt failed; a drain claims it again once ``next_attempt_at`` has come
    DEAD = "dead"  #: refused for good, or out of attempts; only a person moves it
    HELD = "held"  #: cannot be sent yet; goes to queued when nothing is missing any more
    CANCELLED = "cancelled"  #: withdrawn, by a person, or because Totara lost it before it was posted


class Kind(StrEnum):
    """What an item tells the destination about an instance."""

    COMPLETION = "completion"
    CORRECTION = "correction"
    WITHDRAWAL = "withdrawal"


class Lane(StrEnum):
    """Which items go first: fresh before retries before backfill, with a share kept for the lower ones."""

    FRESH = "fresh"
    RETRY = "retry"
    BACKFILL = "backfill"


#: What can still be claimed, sooner or later.
OPEN = (State.QUEUED, State.SENDING, State.FAILED, State.HELD)

#: verb: (states it moves from, state it moves to). ``release`` goes back to where the item was claimed from.
TRANSITIONS: dict[str, tuple[frozenset[State], frozenset[State]]] = {
    "enqueue": (frozenset(), frozenset({State.QUEUED, State.HELD})),
    "claim": (frozenset({State.QUEUED, State.FAILED}), frozenset({State.SENDING})),
    "acknowledge": (
        # a positive answer that comes after the lease was lost is still true
        frozenset({State.SENDING, State.QUEUED, State.FAILED, State.DEAD, State.CANCELLED}),
        frozenset({State.SENT}),
    ),
    "release": (frozenset({State.SENDING}), frozenset({State.QUEUED, State.FAILED})),
    "retry": (frozenset({State.SENDING}), frozenset({State.FAILED})),
    "reject": (frozenset({State.SENDING}), frozenset({State.DEAD})),
    "hold": (frozenset({State.QUEUED, State.FAILED}), frozenset({State.HELD})),
    "unhold": (frozenset({State.HELD}), frozenset({State.QUEUED})),
    # what was never posted is held, so that its payload is made anew before it may go
    "requeue": (frozenset({State.FAILED, State.DEAD, State.CANCELLED}), frozenset({State.QUEUED, State.HELD})),
    "cancel": (
        frozenset({State.QUEUED, State.FAILED, State.DEAD, State.HELD}),
        frozenset({State.CANCELLED}),
    ),
    "resend": (frozenset({State.SENT}), frozenset({State.QUEUED})),
}
