"""Everything that ever happened to one item, in order of time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.states import Kind, Lane


@dataclass(frozen=True)
class RequestMade:
    """A request that carried the item."""

    id: int  #: its number in the export log
    at: datetime  #: when it began
    duration_ms: int
    items: int
    http_status: int | None  #: none: there was no answer
    outcome: str
    error: str | None  #: the destination's words about the request as a whole
    request_id: str | None  #: the destination's name for it
    body_kept: bool


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    at: datetime
    #: a verb of the state table; ``revise``, ``archive``, ``end``, ``erase``, ``shadow``, ``split`` and ``late`` too
    what: str
    actor: str  #: ``extract``, ``push``, or a person
    words: str | None = None
    request: RequestMade | None = None


@dataclass(frozen=True)
class Trace:
    """An item, and what happened to it."""

    item_id: int
    destination: str
    kind: str
    revision: int
    state: str
    held_for: str | None  #: what it waits for while it is held
    template: str  #: name/version that its payload was made with, at last
    record_key: str
    idempotency_key: str
    site: str
    user_id: int
    course_id: int
    entries: Sequence[Entry]


def trace(transaction: Transaction, *, item_id: int) -> Trace | None:
    """What happened to the item, oldest first; none where there is no such item.

    A sending that went well has written no event: it is read from the item, the ledger, and what a resend kept.
    """
    item = transaction.execute(_ITEM, {"id": item_id}).one_or_none()
    if item is None:
        return None
    events = transaction.execute(_EVENTS, {"id": item_id}).all()
    entries = [*_of_the_instance(item), *_of_the_queue(item), *_of_the_events(item, events), *_of_the_present(item)]
    return Trace(
        item_id=item.id,
        destination=item.destination,
        kind=item.kind,
        revision=item.revision,
        state=item.state,
        held_for=item.held_for,
        template=item.template,
        record_key=item.record_key,
        idempotency_key=item.idempotency_key,
        site=item.site,
        user_id=item.user_id,
        course_id=item.course_id,
        entries=sorted(entries, key=lambda entry: entry.at),
    )


def items_of(transaction: Transaction, key: str) -> Sequence[int]:
    """The items with this key, oldest first: all of an instance for its record key, else the one it names itself."""
    return transaction.execute(_BY_KEY, {"key": key}).scalars().all()


def _of_the_instance(item: Row[Any]) -> Iterator[Entry]:
    if item.erased_at is not None:  # its dates are gone
        yield Entry(
            item.erased_at, "erase", item.erased_by, "its learner was erased: names, dates and payload are gone"
        )
        return
    completed = f"completed {_time(item.first_time_completed)}" if item.first_time_completed else "without a date"
    yield Entry(item.first_seen_at, "extract", "extract", completed)
    if item.revised_at is not None:
        moved = f"completed {_time(item.time_completed)}" if item.time_completed else "without a date"
        yield Entry(item.revised_at, "revise", "extract", f"revision {item.instance_revision}: {moved}")
    if item.archived_at is not None:
        yield Entry(item.archived_at, "archive", "extract", "Totara has it in its history now")
    if item.ended_at is not None:
        yield Entry(item.ended_at, "end", "extract", "Totara has this completion no more")


def _of_the_queue(item: Row[Any]) -> Iterator[Entry]:
    # a resend puts into the backfill lane what an extract had queued: at that moment it first saw or revised it
    by_an_extract = item.kind != Kind.COMPLETION or item.queued_at in (item.first_seen_at, item.revised_at)
    purged_before = item.delivered_at is not None and item.delivered_at < item.queued_at
    late = item.lane == Lane.BACKFILL and (purged_before or not by_an_extract)
    yield Entry(item.queued_at, "enqueue", "backfill" if late else "extract")
    if item.shadowed_at is not None:
        yield Entry(item.shadowed_at, "shadow", "push", "shown as it would be sent, not sent")


def _of_the_events(item: Row[Any], events: Sequence[Row[Any]]) -> Iterator[Entry]:
    """The events; before each resend, the sending that it repeats."""
    first = True
    for event in events:
        request = _request(event)
        if event.verb != "resend":
            yield Entry(event.at, event.verb, event.actor, event.words, request)
            continue
        if first and item.delivered_at is not None:
            yield Entry(item.delivered_at, "acknowledge", "push", _called(item.delivered_reference), request)
        else:
            answered = request.at + timedelta(milliseconds=request.duration_ms) if request else event.at
            yield Entry(answered, "acknowledge", "push", None, request)
        yield Entry(event.at, event.verb, event.actor, event.words)
        first = False


def _of_the_present(item: Row[Any]) -> Iterator[Entry]:
    if item.sent_at is not None:
        yield Entry(item.sent_at, "acknowledge", "push", _called(item.reference), _request(item))
    if item.claimed_at is not None:
        yield Entry(item.claimed_at, "claim", "push", f"leased until {_time(item.lease_until)}")


def _called(reference: str | None) -> str | None:
    return f"the destination calls it {reference}" if reference else None


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _request(row: Row[Any]) -> RequestMade | None:
    if row.log_id is None:
        return None
    return RequestMade(
        id=row.log_id,
        at=row.log_at,
        duration_ms=row.duration_ms,
        items=row.items,
        http_status=row.http_status,
        outcome=row.outcome,
        error=row.error,
        request_id=row.request_id,
        body_kept=row.body_kept,
    )


_REQUEST = """
    g.id AS log_id, g.at AS log_at, g.duration_ms, g.items, g.http_status, g.outcome, g.error, g.request_id,
    EXISTS (SELECT FROM bridge.kept_body b WHERE b.export_log_id = g.id) AS body_kept
"""

_ITEM = text(
    f"""
    SELECT q.id, q.destination, q.kind, q.revision, q.state, q.idempotency_key, q.lane, q.template, q.held_for,
           q.queued_at, q.claimed_at, q.lease_until, q.shadowed_at, q.sent_at, q.reference,
           i.record_key, i.site, i.user_id, i.course_id, i.time_completed, i.first_time_completed,
           i.revision AS instance_revision, i.first_seen_at, i.revised_at, i.archived_at, i.ended_at,
           e.erased_at, e.erased_by,
           d.sent_at AS delivered_at, d.reference AS delivered_reference, {_REQUEST}
    FROM bridge.export_queue q
    JOIN bridge.completion_instance i ON i.id = q.instance_id
    LEFT JOIN bridge.delivery d ON d.destination = q.destination AND d.instance_id = q.instance_id
                               AND d.kind = q.kind AND d.revision = q.revision
    LEFT JOIN bridge.erased_learner e ON e.site = i.site AND e.user_id = i.user_id
    LEFT JOIN bridge.export_log g ON g.id = q.export_log_id
    WHERE q.id = :id
    """
)

_EVENTS = text(
    f"""
    SELECT e.at, e.verb, e.actor, e.words, {_REQUEST}
    FROM bridge.item_event e LEFT JOIN bridge.export_log g ON g.id = e.export_log_id
    WHERE e.item_id = :id ORDER BY e.id
    """
)

_BY_KEY = text(
    """
    SELECT q.id FROM bridge.export_queue q
    WHERE q.instance_id = (SELECT i.id FROM bridge.completion_instance i WHERE i.record_key = :key)
    UNION
    SELECT q.id FROM bridge.export_queue q WHERE q.kind <> 'completion' AND q.idempotency_key = :key
    ORDER BY id
    """
)
