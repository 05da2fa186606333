"""Held items go to the queue once nothing that their template requires is missing any more."""

import logging
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row

from totara_bridge.extract.enqueue import SLICE, Wants, new_item
from totara_bridge.staging import completion, hold, payload_template, queue
from totara_bridge.staging.engine import bulk_transaction
from totara_bridge.staging.queue import NewItem
from totara_bridge.staging.states import Kind
from totara_bridge.template import Template

log = logging.getLogger(__name__)


def unhold(engine: Engine, wants: Wants, now: datetime) -> int:
    """Make the payloads of held items anew where that may help, and queue those that lack nothing; how many.

    In slices that each stand for themselves: killed, repeated or run twice at the same time, it does nothing twice.

    :raises ConfigurationInvalid: the template changed and its version did not.
    """
    queued = after = 0
    while True:
        with bulk_transaction(engine) as transaction:
            look = partial(hold.perhaps_ready, transaction, wants.destination, wants.template.label, after=after)
            if not look(limit=1):
                break  # the usual case waits for nobody
            completion.begin_merge(transaction)  # no extract changes an instance between its reading and its queueing
            payload_template.register(transaction, wants.template, now)
            rows = look(limit=SLICE)
            items = (_made_anew(row, wants.template) for row in rows)
            done = queue.replace_payloads(transaction, items, destination=wants.destination, by="unhold", now=now)
        queued += done.unheld
        after = rows[-1].item_id if rows else after
    if queued:
        log.info("%s: %d held items lack nothing any more and are queued", wants.destination, queued)
    return queued


def _made_anew(row: Row[Any], template: Template) -> NewItem:
    """The item as it would be queued today; of another kind than a completion the key is made of its own revision."""
    kind = Kind(row.kind)
    return new_item(row, template, kind, revision=None if kind is Kind.COMPLETION else row.item_revision)
