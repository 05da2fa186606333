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
    template: str  #: name/version that the payload was made with
    held_for: str | None  #: what it lacks, names with commas; none: it can be sent
    staged_at: datetime  #: when the bridge first saw the instance


@dataclass(frozen=True)
class Put:
    """What became of new items; those that were there already are in neither number."""

    queued: int
    held: int


@dataclass(frozen=True)
class Replaced:
    """What became of items whose payload was made anew."""

    replaced: int  #: all of them
    held: int  #: of these, could be sent before and cannot now
    unheld: int  #: of these, were held and are queued now


def enqueue(transaction: Transaction, items: Iterable[NewItem], *, destination: str, lane: Lane, now: datetime) -> Put:
    """Queue the items, or hold those that lack something; one that is already there is left as it is."""
    _load(transaction, items)
    return Put(*transaction.execute(_ENQUEUE, {"destination": destination, "lane": lane, "now": now}).one())


def enqueue_again(
    transaction: Transaction, items: Iterable[NewItem], *, destination: str, by: str, now: datetime
) -> int:
    """Queue, in the backfill lane, items that were delivered and then purged; how many.

    That they were posted stays true of them: their payload, made anew for this, changes no more.
    """
    _load(transaction, items)
    return transaction.execute(_ENQUEUE_AGAIN, {"destination": destination, "by": by, "now": now}).rowcount


def replace_payloads(
    transaction: Transaction, items: Iterable[NewItem], *, destination: str, by: str, now: datetime
) -> Replaced:
    """Give items that were never posted a payload made anew, and hold or unhold them as it now lacks something.

    A completion takes the new revision over; an item that is dead stays so, for a person to requeue.
    """
    _load(transaction, items)
    return Replaced(*transaction.execute(_REPLACE, {"destination": destination, "by": by, "now": now}).one())


def cancel_untrue(transaction: Transaction, *, now: datetime) -> int:
    """Cancel what was never posted and the merge of this transaction made untrue; how many.

    That is a completion or a correction of what is lost, and a withdrawal of what is back.
    """
    return transaction.execute(
        text(
            """
            WITH cancelled AS (
                UPDATE bridge.export_queue q
                SET state = 'cancelled', cancelled_by = 'extract', held_for = NULL, held_at = NULL
                FROM touched_instance t
                WHERE q.destination = ANY(ARRAY(SELECT b.destination FROM bridge.baseline b))
                  AND q.first_posted_at IS NULL AND q.state IN ('queued', 'failed', 'dead', 'held')
                  AND q.instance_id = t.id AND t.change IN ('lost', 'revised')
                  AND t.change = CASE q.kind WHEN 'withdrawal' THEN 'revised' ELSE 'lost' END
                RETURNING q.id, t.change
            )
            INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
            SELECT id, :now, 'cancel', 'extract', 'Totara has this completion '
                   || CASE change WHEN 'lost' THEN 'no more' ELSE 'again' END || '; it was never posted'
            FROM cancelled
            """
        ),
        {"now": now},
    ).rowcount


_ENQUEUE = text(
    """
    WITH put AS (
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                         next_attempt_at, payload, template, held_for, held_at, staged_at, queued_at)
        SELECT :destination, instance_id, kind, revision, idempotency_key,
               CASE WHEN held_for IS NULL THEN 'queued' ELSE 'held' END, :lane, :now, payload, template,
               held_for, CASE WHEN held_for IS NOT NULL THEN cast(:now AS timestamptz) END, staged_at, :now
        FROM new_item ORDER BY instance_id
        ON CONFLICT DO NOTHING
        RETURNING id, template, held_for
    ),
    noted AS (
        INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
        SELECT id, :now, 'hold', CASE cast(:lane AS text) WHEN 'backfill' THEN 'backfill' ELSE 'extract' END,
               'the template ' || template || ' needs what is missing: ' || held_for
        FROM put WHERE held_for IS NOT NULL
    )
    SELECT count(*) FILTER (WHERE held_for IS NULL) AS queued, count(held_for) AS held FROM put
    """
)

_ENQUEUE_AGAIN = text(
    """
    WITH again AS (
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                         next_attempt_at, payload, template, reference, staged_at, queued_at,
                                         first_posted_at)
        SELECT d.destination, d.instance_id, d.kind, d.revision, n.idempotency_key, 'queued', 'backfill',
               :now, n.payload, n.template, d.reference, n.staged_at, :now, d.sent_at
        FROM new_item n
        JOIN bridge.delivery d ON d.destination = :destination AND d.instance_id = n.instance_id
                              AND d.kind = n.kind AND d.revision = n.revision
        ORDER BY n.instance_id
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
    SELECT id, :now, 'resend', :by, 'to be sent again; its item was purged, so the payload is made anew' FROM again
    """
)

_REPLACE = text(
    """
    WITH found AS MATERIALIZED (
        SELECT q.id, q.state AS before, n.revision, n.payload, n.template, n.held_for,
               CASE WHEN q.state = 'dead' THEN 'dead' WHEN n.held_for IS NOT NULL THEN 'held'
                    WHEN q.state = 'held' THEN 'queued' ELSE q.state END AS state
        FROM new_item n
        JOIN bridge.export_queue q ON q.destination = :destination AND q.instance_id = n.instance_id
                                  AND q.kind = n.kind AND q.idempotency_key = n.idempotency_key
        WHERE q.first_posted_at IS NULL AND q.state IN ('queued', 'failed', 'dead', 'held')
        ORDER BY q.id FOR UPDATE OF q
    ),
    replaced AS (
        UPDATE bridge.export_queue q
        SET payload = f.payload, revision = f.revision, template = f.template, state = f.state, shadowed_at = NULL,
            held_for = CASE WHEN f.state = 'held' THEN f.held_for END,
            held_at = CASE WHEN f.state = 'held' THEN cast(:now AS timestamptz) END,
            next_attempt_at = CASE WHEN f.before = 'held' THEN :now ELSE q.next_attempt_at END
        FROM found f WHERE q.id = f.id
        RETURNING q.id, f.before, q.state, q.template, q.held_for
    ),
    noted AS (
        INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
        SELECT id, :now, CASE state WHEN 'held' THEN 'hold' ELSE 'unhold' END, :by,
               CASE state WHEN 'held' THEN 'the template ' || template || ' needs what is missing: ' || held_for
                          ELSE 'nothing is missing any more' END
        FROM replaced WHERE (before = 'held') <> (state = 'held')
    )
    SELECT count(*) AS replaced, count(*) FILTER (WHERE before <> 'held' AND state = 'held') AS held,
           count(*) FILTER (WHERE before = 'held' AND state = 'queued') AS unheld
    FROM replaced
    """
)


def _load(transaction: Transaction, items: Iterable[NewItem]) -> None:
    transaction.execute(
        text(
            "CREATE TEMPORARY TABLE IF NOT EXISTS new_item (instance_id bigint, kind text, revision bigint, "
            "idempotency_key text, payload text, template text, held_for text, staged_at timestamptz) ON COMMIT DROP"
        )
    )
    transaction.execute(text("TRUNCATE new_item"))
    with driver(transaction).cursor() as cursor, cursor.copy("COPY new_item FROM STDIN") as copy:
        for line in copy_lines(
            (
                item.instance_id,
                item.kind,
                item.revision,
                item.idempotency_key,
                item.payload,
                item.template,
                item.held_for,
                item.staged_at,
            )
            for item in items
        ):
            copy.write(line)
