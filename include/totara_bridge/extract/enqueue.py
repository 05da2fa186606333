"""Staged instances become items: rendered with the destination's template, and queued in slices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from totara_bridge.completion import Status
from totara_bridge.oracle.payload import Deliverable, render
from totara_bridge.staging import deliverable, queue
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.queue import NewItem
from totara_bridge.staging.states import Kind, Lane

SLICE = 5_000


@dataclass(frozen=True)
class Enqueued:
    """What an extract put into the queue."""

    queued: int
    replaced: int


def touched(transaction: Transaction, destinations: Iterable[str], *, site: str, now: datetime) -> Enqueued:
    """Queue what the merge of this transaction touched, for each destination past its baseline."""
    queued = replaced = 0
    for destination in destinations:
        for rows in deliverable.revised(transaction, destination=destination, slice_size=SLICE):
            replaced += queue.replace_payloads(transaction, map(new_item, rows), destination=destination)
        for rows in deliverable.touched(transaction, destination=destination, site=site, slice_size=SLICE):
            queued += put(transaction, rows, destination=destination, lane=Lane.FRESH, now=now)
    return Enqueued(queued=queued, replaced=replaced)


def put(transaction: Transaction, rows: Sequence[Row[Any]], *, destination: str, lane: Lane, now: datetime) -> int:
    """Queue these deliverables as completions; how many were not there already."""
    return queue.enqueue(transaction, map(new_item, rows), destination=destination, lane=lane, now=now)


def new_item(row: Row[Any]) -> NewItem:
    """The item of a deliverable, its payload rendered for good."""
    return NewItem(
        instance_id=row.instance_id,
        kind=Kind.COMPLETION,
        revision=row.revision,
        idempotency_key=row.record_key,
        payload=render(
            Deliverable(
                item_key=row.record_key,
                kind=Kind.COMPLETION,
                revision=row.revision,
                site=row.site,
                user_id=row.user_id,
                course_id=row.course_id,
                status=Status(row.status),
                progress=100,
                time_completed=row.time_completed,
                username=row.username,
                id_number=row.id_number,
                email=row.email,
                first_name=row.first_name,
                last_name=row.last_name,
                course_short_name=row.course_short_name,
                course_id_number=row.course_id_number,
                course_full_name=row.course_full_name,
            )
        ),
        staged_at=row.first_seen_at,
    )
