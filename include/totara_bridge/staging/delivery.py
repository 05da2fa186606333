"""What became of the items of a request: acknowledged, to be tried again, or refused for good."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, text

from totara_bridge.staging.engine import Transaction


@dataclass(frozen=True)
class Failure:
    """Why an item was not delivered, and when it is tried again."""

    item_id: int
    error_class: str
    error_code: str | None
    error_words: str
    attempts: int  #: 1 where the failure was the item's own, 0 in an outage
    next_attempt_at: datetime


def acknowledge(
    transaction: Transaction,
    token: UUID,
    references: Mapping[int, str | None],
    *,
    log_id: int,
    now: datetime,
) -> int:
    """Mark items sent and write the ledger and the hour's counts; how many.

    A positive answer is true also after the lease was lost: an item that nobody holds now is marked sent as well,
    but a cancelled one only where no other item of its instance has taken its place.

    :param references: what the destination calls each item, by item id.
    """
    values = {
        "ids": list(references),
        "references": list(references.values()),
        "token": token,
        "log_id": log_id,
        "now": now,
    }
    return int(transaction.execute(_ACKNOWLEDGE, values).scalar_one())


def retry(transaction: Transaction, token: UUID, failures: Sequence[Failure], *, log_id: int, now: datetime) -> int:
    """Mark claimed items failed, to be tried again at their time; how many were still ours."""
    return _settle(transaction, token, failures, log_id=log_id, now=now, state="failed", verb="retry")


def reject(transaction: Transaction, token: UUID, failures: Sequence[Failure], *, log_id: int, now: datetime) -> int:
    """Mark claimed items dead: refused for good, or out of attempts; how many were still ours."""
    return _settle(transaction, token, failures, log_id=log_id, now=now, state="dead", verb="reject")


def _settle(
    transaction: Transaction,
    token: UUID,
    failures: Sequence[Failure],
    *,
    log_id: int,
    now: datetime,
    state: str,
    verb: str,
) -> int:
    return transaction.execute(
        _settle_as(state, verb),
        {
            "ids": [each.item_id for each in failures],
            "attempts": [each.attempts for each in failures],
            "next": [each.next_attempt_at for each in failures],
            "classes": [each.error_class for each in failures],
            "codes": [each.error_code for each in failures],
            "words": [each.error_words for each in failures],
            "token": token,
            "log_id": log_id,
            "now": now,
        },
    ).rowcount


def _settle_as(state: str, verb: str) -> TextClause:
    return text(
        f"""
        WITH failed AS (
            UPDATE bridge.export_queue q
            SET state = '{state}', claim_token = NULL, lease_until = NULL, claimed_from = NULL, claimed_at = NULL,
                lane = CASE q.lane WHEN 'fresh' THEN 'retry' ELSE q.lane END,
                attempts = q.attempts + f.attempts, failures = q.failures + 1,
                next_attempt_at = f.next_attempt_at, error_class = f.error_class, error_code = f.error_code,
                error_words = f.error_words, export_log_id = :log_id
            FROM unnest(cast(:ids AS bigint[]), cast(:attempts AS smallint[]), cast(:next AS timestamptz[]),
                        cast(:classes AS text[]), cast(:codes AS text[]), cast(:words AS text[]))
                 AS f (id, attempts, next_attempt_at, error_class, error_code, error_words)
            WHERE q.id = f.id AND q.state = 'sending' AND q.claim_token = :token
            RETURNING q.id, q.error_words
        )
        INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
        SELECT id, :now, '{verb}', 'push', error_words FROM failed
        """
    )


_ACKNOWLEDGE = text(
    """
    WITH sent AS (
        UPDATE bridge.export_queue q
        SET state = 'sent', sent_at = :now, reference = coalesce(a.reference, q.reference), export_log_id = :log_id,
            claim_token = NULL, lease_until = NULL, claimed_from = NULL, claimed_at = NULL, cancelled_by = NULL,
            error_class = NULL, error_code = NULL, error_words = NULL
        FROM unnest(cast(:ids AS bigint[]), cast(:references AS text[])) AS a (id, reference)
        WHERE q.id = a.id
          AND (q.state = 'sending' AND q.claim_token = :token OR q.state IN ('queued', 'failed', 'dead')
               OR q.state = 'cancelled' AND NOT EXISTS (
                      SELECT FROM bridge.export_queue other
                      WHERE other.destination = q.destination AND other.instance_id = q.instance_id
                        AND other.kind = q.kind AND other.state <> 'cancelled'))
        RETURNING q.destination, q.instance_id, q.kind, q.revision, q.reference, q.lane, q.staged_at
    ),
    ledger AS (
        INSERT INTO bridge.delivery (destination, instance_id, kind, revision, sent_at, reference)
        SELECT destination, instance_id, kind, revision, :now, reference FROM sent
        ON CONFLICT DO NOTHING
    ),
    counted AS (
        INSERT INTO bridge.delivery_hour AS h (destination, hour, delay_bucket, sent)
        SELECT destination, date_trunc('hour', cast(:now AS timestamptz)),
               CASE WHEN lane = 'backfill' THEN -1
                    ELSE floor(4 * log(2, greatest(1, extract(epoch FROM :now - staged_at)))) END AS delay_bucket,
               count(*)
        FROM sent GROUP BY 1, 2, 3 ORDER BY 1, 2, 3  -- one order for all, or two batches could wait for each other
        ON CONFLICT (destination, hour, delay_bucket) DO UPDATE SET sent = h.sent + excluded.sent
    )
    SELECT count(*) FROM sent
    """
)
