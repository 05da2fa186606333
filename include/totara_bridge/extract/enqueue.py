"""Staged instances become items: rendered with the destination's template, and queued in slices."""

from base64 import b32encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from sqlalchemy import Row

from totara_bridge.completion import Status
from totara_bridge.oracle.payload import Deliverable, render
from totara_bridge.staging import deliverable, queue
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.queue import NewItem
from totara_bridge.staging.states import Kind, Lane

SLICE = 5_000


@dataclass(frozen=True)
class Wants:
    """What a destination wants to know of completions that it has."""

    destination: str
    corrections: bool = False
    withdrawals: bool = False


@dataclass(frozen=True)
class Enqueued:
    """What an extract put into the queue."""

    queued: int
    replaced: int
    corrections: int
    withdrawals: int
    reported: int  #: revisions and losses of what a destination has and does not want to know


def touched(transaction: Transaction, destinations: Iterable[Wants], *, site: str, now: datetime) -> Enqueued:
    """Queue what the merge of this transaction touched, for each destination past its baseline."""
    queued = replaced = corrections = withdrawals = reported = 0
    for each in destinations:
        code = each.destination
        for rows in deliverable.revised(transaction, destination=code, slice_size=SLICE):
            replaced += queue.replace_payloads(transaction, map(new_item, rows), destination=code)
        for rows in deliverable.touched(transaction, destination=code, site=site, slice_size=SLICE):
            queued += put(transaction, rows, destination=code, lane=Lane.FRESH, now=now)
        edited = _amend(transaction, code, Kind.CORRECTION, wanted=each.corrections, now=now)
        lost = _amend(transaction, code, Kind.WITHDRAWAL, wanted=each.withdrawals, now=now)
        corrections += edited if each.corrections else 0
        withdrawals += lost if each.withdrawals else 0
        reported += (0 if each.corrections else edited) + (0 if each.withdrawals else lost)
    return Enqueued(queued, replaced, corrections, withdrawals, reported)


def _amend(transaction: Transaction, destination: str, kind: Kind, *, wanted: bool, now: datetime) -> int:
    """How many completions that the destination has were edited or lost; where it wants to know, they are queued."""
    change: Literal["revised", "lost"] = "revised" if kind is Kind.CORRECTION else "lost"
    found = 0
    for rows in deliverable.amended(transaction, destination=destination, change=change, slice_size=SLICE):
        found += len(rows)
        if wanted:
            items = (new_item(row, kind) for row in rows)
            queue.enqueue(transaction, items, destination=destination, lane=Lane.FRESH, now=now)
    return found


def item_key(record_key: str, kind: Kind, revision: int) -> str:
    """The idempotency key: a completion's is its record key, another kind's a hash of it, of kind and revision."""
    if kind is Kind.COMPLETION:
        return record_key
    digest = sha256(f"{record_key}:{kind}:{revision}".encode()).digest()
    return "TB" + b32encode(digest).decode()[:26]


def put(transaction: Transaction, rows: Sequence[Row[Any]], *, destination: str, lane: Lane, now: datetime) -> int:
    """Queue these deliverables as completions; how many were not there already."""
    return queue.enqueue(transaction, map(new_item, rows), destination=destination, lane=lane, now=now)


def new_item(row: Row[Any], kind: Kind = Kind.COMPLETION) -> NewItem:
    """The item of a deliverable, its payload rendered for good."""
    key = item_key(row.record_key, kind, row.revision)
    return NewItem(
        instance_id=row.instance_id,
        kind=kind,
        revision=row.revision,
        idempotency_key=key,
        payload=render(
            Deliverable(
                item_key=key,
                kind=kind,
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
