"""What a person does to items. One statement per verb, with an event for each item that says who and why.

An item that a verb does not fit is left as it is and counted: a list of ids from a page is a minute old.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import TextClause, text

from totara_bridge.staging import completion
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.erased import NOT_ERASED
from totara_bridge.staging.hold import ANOTHER_LOOK


@dataclass(frozen=True)
class Done:
    """What became of the items that a person named."""

    done: int
    refused: int  #: the verb did not fit them, or they are not there


def requeue(transaction: Transaction, ids: Sequence[int], *, by: str, words: str | None, now: datetime) -> Done:
    """Have failed, dead, cancelled and held items sent, due now, their attempts counted anew and in their lane.

    What was never posted is held for another look: its payload is made anew before it may go, so nothing goes out
    that is out of date or lacks what its template requires. Refused is what would say what is no more true, what would
    go after a later item of its instance, what was cancelled and replaced, and what is of an erased learner.
    """
    return _carry_out(transaction, _REQUEUE, ids, by=by, words=words, now=now)


def cancel(transaction: Transaction, ids: Sequence[int], *, by: str, words: str | None, now: datetime) -> Done:
    """Withdraw queued, failed, dead and held items. What is being sent at this moment is not."""
    return _carry_out(transaction, _CANCEL, ids, by=by, words=words, now=now)


def resend(transaction: Transaction, ids: Sequence[int], *, by: str, now: datetime) -> Done:
    """Send again what was sent, as it was, in the backfill lane; the event names the request that carried it before.

    The ledger keeps what it says: the destination has it. Refused is what would say what is no more true, what a later
    item of its instance follows, and what is of an erased learner.
    """
    return _carry_out(transaction, _RESEND, ids, by=by, words=None, now=now)


def _carry_out(
    transaction: Transaction, statement: TextClause, ids: Sequence[int], *, by: str, words: str | None, now: datetime
) -> Done:
    # an extract writes items too, in an order of its own, and decides what they say: wait until none merges
    completion.begin_merge(transaction)
    named = sorted(set(ids))
    done = transaction.execute(statement, {"ids": named, "by": by, "words": words, "now": now}).rowcount
    return Done(done=done, refused=len(named) - done)


# in one order for all, or two statements could wait for each other's rows
_NAMED = "q.id = ANY(:ids)"
_LOCKED = "ORDER BY q.id FOR UPDATE OF q"

_TRUE = "(i.ended_at IS NULL) = (q.kind <> 'withdrawal')"


def _no_other(condition: str) -> str:
    """SQL: the instance of ``q`` has no ``other`` item, for the same destination, that is so."""
    return f"""
        NOT EXISTS (SELECT FROM bridge.export_queue other
                    WHERE other.destination = q.destination AND other.instance_id = q.instance_id
                      AND other.id <> q.id AND ({condition}))
    """


#: The destination may have heard of what came later: that must stay the last that it hears.
_NONE_POSTED_LATER = _no_other("other.id > q.id AND other.first_posted_at IS NOT NULL")

_NONE_WAITS_LATER = _no_other("other.id > q.id AND other.state <> 'cancelled'")

#: Nothing took the cancelled item's place.
_NOT_REPLACED = _no_other(
    "other.id > q.id AND (other.state <> 'cancelled' OR other.kind = q.kind)"
    " OR other.kind = 'completion' AND q.kind = 'completion' AND other.state <> 'cancelled'"
)

#: SQL: `requeue` fits the item ``q`` of the instance ``i``.
REQUEUE_FITS = f"""
    (q.state IN ('failed', 'dead', 'held') OR q.state = 'cancelled' AND {_NOT_REPLACED})
    AND {_TRUE} AND {_NONE_POSTED_LATER} AND {NOT_ERASED}
"""

#: SQL: `cancel` fits the item ``q``.
CANCEL_FITS = "q.state IN ('queued', 'failed', 'dead', 'held')"

_REQUEUE = text(
    f"""
    WITH named AS MATERIALIZED (
        SELECT q.id, q.first_posted_at IS NULL AS unposted
        FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        WHERE {_NAMED} AND {REQUEUE_FITS}
        {_LOCKED}
    ),
    requeued AS (
        UPDATE bridge.export_queue q
        SET state = CASE WHEN unposted THEN 'held' ELSE 'queued' END,
            held_for = CASE WHEN unposted THEN '{ANOTHER_LOOK}' END,
            held_at = CASE WHEN unposted THEN cast(:now AS timestamptz) END,
            attempts = 0, failures = 0, next_attempt_at = :now, cancelled_by = NULL, shadowed_at = NULL,
            error_class = NULL, error_code = NULL, error_words = NULL
        FROM named WHERE q.id = named.id
        RETURNING q.id
    )
    INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
    SELECT id, :now, 'requeue', :by, :words FROM requeued
    """
)

_CANCEL = text(
    f"""
    WITH named AS MATERIALIZED (
        SELECT q.id FROM bridge.export_queue q
        WHERE {_NAMED} AND {CANCEL_FITS}
        {_LOCKED}
    ),
    cancelled AS (
        UPDATE bridge.export_queue q
        SET state = 'cancelled', cancelled_by = :by, held_for = NULL, held_at = NULL, shadowed_at = NULL
        FROM named WHERE q.id = named.id
        RETURNING q.id
    )
    INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
    SELECT id, :now, 'cancel', :by, :words FROM cancelled
    """
)

_RESEND = text(
    f"""
    WITH named AS MATERIALIZED (
        SELECT q.id, q.export_log_id
        FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        WHERE {_NAMED} AND q.state = 'sent' AND {_TRUE} AND {_NONE_POSTED_LATER} AND {_NONE_WAITS_LATER}
          AND {NOT_ERASED}
        {_LOCKED}
    ),
    again AS (
        UPDATE bridge.export_queue q
        SET state = 'queued', lane = 'backfill', sent_at = NULL, attempts = 0, failures = 0, next_attempt_at = :now,
            shadowed_at = NULL
        FROM named WHERE q.id = named.id
        RETURNING q.id, named.export_log_id
    )
    INSERT INTO bridge.item_event (item_id, at, verb, actor, words, export_log_id)
    SELECT id, :now, 'resend', :by, 'to be sent again as it was', export_log_id FROM again
    """
)
