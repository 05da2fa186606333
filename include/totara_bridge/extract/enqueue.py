"""Staged instances become items: rendered with the destination's template, and queued in slices.

An item that lacks what its template requires is held instead. A withdrawal is held only for what a person can still
supply, the numbers of the mapping table: what Totara has lost it will never say again, and the destination finds what
is withdrawn by its key.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row

from totara_bridge.completion import Status
from totara_bridge.config import BridgeConfig, Destination
from totara_bridge.oracle.payload import Deliverable, render
from totara_bridge.route import EVERYTHING, Route
from totara_bridge.staging import deliverable, payload_template, queue
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.queue import NewItem, Put
from totara_bridge.staging.record_key import item_key
from totara_bridge.staging.states import Kind, Lane
from totara_bridge.template import DEFAULT, Template

SLICE = 5_000

#: What a person can supply when Totara no more does.
_FROM_THE_MAPPING = ("learner_number", "course_number")


@dataclass(frozen=True)
class Wants:
    """What a destination wants: which completions, in which shape, and what of those that it has."""

    destination: str
    corrections: bool = False
    withdrawals: bool = False
    template: Template = DEFAULT
    route: Route = EVERYTHING

    @classmethod
    def of(cls, config: BridgeConfig, destination: Destination) -> "Wants":
        """As bridge.toml says.

        :raises ConfigurationInvalid: there is no such template.
        """
        template = config.template(destination.template)
        return cls(destination.code, destination.corrections, destination.withdrawals, template, destination.route)

    @property
    def amendments(self) -> Sequence[Kind]:
        """The kinds of items that tell it what became of completions that it has."""
        wanted = {Kind.CORRECTION: self.corrections, Kind.WITHDRAWAL: self.withdrawals}
        return [kind for kind, wants in wanted.items() if wants]

    def takes(self, site: str) -> bool:
        """Whether its route takes completions of the site."""
        return not self.route.sites or site in self.route.sites


@dataclass(frozen=True)
class Enqueued:
    """What an extract put into the queue."""

    queued: int
    held: int  #: of new completions; an amendment counts below, held or not
    replaced: int
    corrections: int
    withdrawals: int
    reported: int  #: revisions and losses of what a destination has and does not want to know


def touched(transaction: Transaction, destinations: Iterable[Wants], *, site: str, now: datetime) -> Enqueued:
    """Queue what the merge of this transaction touched, for each destination past its baseline.

    :raises ConfigurationInvalid: a template changed and its version did not.
    """
    queued = held = replaced = corrections = withdrawals = reported = 0
    for wants in destinations:
        code = wants.destination
        payload_template.register(transaction, wants.template, now)
        for rows in deliverable.revised(transaction, destination=code, slice_size=SLICE):
            items = (new_item(row, wants.template) for row in rows)
            replaced += queue.replace_payloads(transaction, items, destination=code, by="extract", now=now).replaced
        for rows in deliverable.touched(transaction, destination=code, route=wants.route, site=site, slice_size=SLICE):
            put = _put(transaction, rows, wants, lane=Lane.FRESH, now=now)
            queued, held = queued + put.queued, held + put.held
        edited = _amend(transaction, wants, Kind.CORRECTION, wanted=wants.corrections, now=now)
        lost = _amend(transaction, wants, Kind.WITHDRAWAL, wanted=wants.withdrawals, now=now)
        corrections += edited if wants.corrections else 0
        withdrawals += lost if wants.withdrawals else 0
        reported += (0 if wants.corrections else edited) + (0 if wants.withdrawals else lost)
    return Enqueued(queued, held, replaced, corrections, withdrawals, reported)


def put_past(transaction: Transaction, rows: Sequence[Row[Any]], wants: Wants, *, now: datetime) -> Put:
    """Queue these deliverables as completions of the past; what was there already is left as it is.

    :raises ConfigurationInvalid: the template changed and its version did not.
    """
    payload_template.register(transaction, wants.template, now)
    return _put(transaction, rows, wants, lane=Lane.BACKFILL, now=now)


def put_amendments(
    transaction: Transaction, rows: Sequence[Row[Any]], wants: Wants, kind: Kind, *, now: datetime
) -> Put:
    """Queue corrections or withdrawals of these deliverables that should have been long ago; as `put_past`.

    :raises ConfigurationInvalid: the template changed and its version did not.
    """
    payload_template.register(transaction, wants.template, now)
    return _put(transaction, rows, wants, kind, lane=Lane.BACKFILL, now=now)


def put_again(transaction: Transaction, rows: Sequence[Row[Any]], wants: Wants, *, by: str, now: datetime) -> int:
    """Queue these resendable deliverables whose items were purged, with the key, kind and revision they had; how many.

    One that lacks today what the template requires is left out.

    :raises ConfigurationInvalid: the template changed and its version did not.
    """
    payload_template.register(transaction, wants.template, now)
    items = (new_item(row, wants.template, Kind(row.kind)) for row in rows)
    complete = (item for item in items if item.held_for is None)
    return queue.enqueue_again(transaction, complete, destination=wants.destination, by=by, now=now)


def _amend(transaction: Transaction, wants: Wants, kind: Kind, *, wanted: bool, now: datetime) -> int:
    """How many completions that the destination has were edited or lost; where it wants to know, they are queued."""
    change: Literal["revised", "lost"] = "revised" if kind is Kind.CORRECTION else "lost"
    found = 0
    for rows in deliverable.amended(transaction, destination=wants.destination, change=change, slice_size=SLICE):
        found += len(rows)
        if wanted:
            _put(transaction, rows, wants, kind, lane=Lane.FRESH, now=now)
    return found


def _put(
    transaction: Transaction,
    rows: Sequence[Row[Any]],
    wants: Wants,
    kind: Kind = Kind.COMPLETION,
    *,
    lane: Lane,
    now: datetime,
) -> Put:
    items = (new_item(row, wants.template, kind) for row in rows)
    return queue.enqueue(transaction, items, destination=wants.destination, lane=lane, now=now)


def new_item(
    row: Row[Any], template: Template, kind: Kind = Kind.COMPLETION, *, revision: int | None = None
) -> NewItem:
    """The item of a deliverable, its payload rendered for good.

    :param revision: the item's own, where the instance may have a later one.
    """
    item = to_deliver(row, kind, revision=revision)
    rendered = render(item, template)
    return NewItem(
        instance_id=row.instance_id,
        kind=kind,
        revision=item.revision,
        idempotency_key=item.item_key,
        payload=rendered.payload,
        template=template.label,
        held_for=_held_for(rendered.missing, kind),
        staged_at=row.first_seen_at,
    )


def _held_for(missing: Sequence[str], kind: Kind) -> str | None:
    """What the item waits for; none where it can be sent."""
    if kind is Kind.WITHDRAWAL:
        missing = [name for name in missing if name in _FROM_THE_MAPPING]
    return ", ".join(missing) or None


def to_deliver(row: Row[Any], kind: Kind = Kind.COMPLETION, *, revision: int | None = None) -> Deliverable:
    """What the item of this row says."""
    revision = row.revision if revision is None else revision
    return Deliverable(
        item_key=item_key(row.record_key, kind, revision),
        record_key=row.record_key,
        kind=kind,
        revision=revision,
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
        learner_number=row.learner_number,
        course_number=row.course_number,
    )
