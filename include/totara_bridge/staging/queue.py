"""What gets into the export queue, and what leaves it before it was ever posted."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from totara_bridge.completion import copy_lines
from totara_bridge.staging.engine import Transaction, driver
from totara_bridge.staging.states import Kind, Lane


@dataclass(frozen=True)
class NewItem:
    """What enqueue writes."""

    instance_id: int
    kind: Kind
    revision: int
    idempotency_key: str
    payload: str
    staged_at: datetime  #: when the bridge first saw the instance


def enqueue(transaction: Transaction, items: Iterable[NewItem], *, destination: str, lane: Lane, now: datetime) -> int:
    """Queue the items; one that is already there is left as it is. How many were queued."""
    _load(transaction, items)
    return transaction.execute(
        text(
            """
            INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                             next_attempt_at, payload, staged_at, queued_at)
            SELECT :destination, instance_id, kind, revision, idempotency_key, 'queued', :lane, :now, payload,
                   staged_at, :now
            FROM new_item ORDER BY instance_id
            ON CONFLICT DO NOTHING
            """
        ),
        {"destination": destination, "lane": lane, "now": now},
    ).rowcount


def replace_payloads(transaction: Transaction, items: Iterable[NewItem], *, destination: str) -> int:
    """Give items that were never posted the payload of a later revision; how many there were."""
    _load(transaction, items)
    return transaction.execute(
        text(
            """
            UPDATE bridge.export_queue q SET payload = n.payload, revision = n.revision
            FROM new_item n
            WHERE q.destination = :destination AND q.instance_id = n.instance_id AND q.kind = 'completion'
              AND q.first_posted_at IS NULL AND q.state IN ('queued', 'failed', 'dead', 'held')
            """
        ),
        {"destination": destination},
    ).rowcount


def cancel_lost(transaction: Transaction, *, now: datetime) -> int:
    """Cancel what was never posted of the instances that the merge of this transaction lost; how many."""
    return transaction.execute(
        text(
            """
            WITH cancelled AS (
                UPDATE bridge.export_queue q
                SET state = 'cancelled', cancelled_by = 'extract', held_for = NULL, held_at = NULL
                WHERE q.destination = ANY(ARRAY(SELECT b.destination FROM bridge.baseline b))
                  AND q.first_posted_at IS NULL AND q.state IN ('queued', 'failed', 'dead', 'held')
                  AND q.instance_id IN (SELECT t.id FROM touched_instance t WHERE t.change = 'lost')
                RETURNING q.id
            )
            INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
            SELECT id, :now, 'cancel', 'extract', 'Totara has this completion no more; it was never posted'
            FROM cancelled
            """
        ),
        {"now": now},
    ).rowcount


def _load(transaction: Transaction, items: Iterable[NewItem]) -> None:
    transaction.execute(
        text(
            "CREATE TEMPORARY TABLE IF NOT EXISTS new_item (instance_id bigint, kind text, revision bigint, "
            "idempotency_key text, payload text, staged_at timestamptz) ON COMMIT DROP"
        )
    )
    transaction.execute(text("TRUNCATE new_item"))
    with driver(transaction).cursor() as cursor, cursor.copy("COPY new_item FROM STDIN") as copy:
        for line in copy_lines(
            (item.instance_id, item.kind, item.revision, item.idempotency_key, item.payload, item.staged_at)
            for item in items
        ):
            copy.write(line)
