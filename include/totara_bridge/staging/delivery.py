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
    but a cancelled one only where no other item of its instance has taken its place. What is not marked now keeps
    the answer in its trace.

    :param references: what the destination calls each item, by item id.
    """
    values = {
        "ids": list(references),
        "references": list(references.values()),
        "token": token,
        "log_id": log_id,
        "now": now,
    }
    sent = int(transaction.execute(_ACKNOWLEDGE, values).scalar_one())
    if sent < len(references):
        _note_late(transaction, dict.fromkeys(references, "the destination has it"), log_id=log_id, now=now)
    return sent


def retry(transaction: Transaction, token: UUID, failures: Sequence[Failure], *, log_id: int, now: datetime) -> int:
    """Mark claimed items failed, to be tried again at their time; how many were still ours."""
    return _settle(transaction, token, failures, log_id=log_id, now=now, state="failed", verb="retry")


def reject(
    transaction: Transaction, token: UUID, failures: Sequence[Failure], *, log_id: int | None, now: datetime
) -> int:
    """Mark claimed items dead: refused for good, or out of attempts; how many were still ours.

    :param log_id: none: without any request.
    """
    return _settle(transaction, token, failures, log_id=log_id, now=now, state="dead", verb="reject")


def note(
    transaction: Transaction, token: UUID, ids: Sequence[int], *, verb: str, words: str, log_id: int, now: datetime
) -> None:
    """Write a request that moved nothing forward into the trace of its claimed items, before they are put back.

    :param verb: ``release`` or ``split``; where the lease was lost, it is ``late`` instead.
    """
    statement = text(
        """
        INSERT INTO bridge.item_event (item_id, at, verb, actor, words, export_log_id)
        SELECT id, :now, CASE WHEN claim_token = :token THEN :verb ELSE 'late' END, 'push',
               CASE WHEN payload <> '' THEN :words END, :log_id  -- an erased learner's has none
        FROM bridge.export_queue WHERE id = ANY(:ids)
        """
    )
    if ids:
        values = {"ids": list(ids), "token": token, "verb": verb, "words": words, "log_id": log_id, "now": now}
        transaction.execute(statement, values)


def _note_late(transaction: Transaction, said: Mapping[int, str], *, log_id: int, now: datetime) -> None:
    """Write what was answered into the trace of those items that it could not move any more."""
    statement = text(
        """
        INSERT INTO bridge.item_event (item_id, at, verb, actor, words, export_log_id)
        SELECT q.id, :now, 'late', 'push',
               CASE WHEN q.payload = '' THEN 'an answer about an erased learner' ELSE a.said END
               || '; it came after the lease was lost and changes nothing', :log_id
        FROM unnest(cast(:ids AS bigint[]), cast(:said AS text[])) AS a (id, said)
        JOIN bridge.export_queue q ON q.id = a.id
        WHERE q.export_log_id IS DISTINCT FROM :log_id
        """
    )
    transaction.execute(statement, {"ids": list(said), "said": list(said.values()), "log_id": log_id, "now": now})


def _settle(
    transaction: Transaction,
    token: UUID,
    failures: Sequence[Failure],
    *,
    log_id: int | None,
    now: datetime,
    state: str,
    verb: str,
) -> int:
    settled = transaction.execute(
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
    if settled < len(failures) and log_id is not None:
        said = {each.item_id: each.error_words for each in failures}
        _note_late(transaction, said, log_id=log_id, now=now)
    return settled


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
        INSERT INTO bridge.item_event (item_id, at, verb, actor, words, export_log_id)
        SELECT id, :now, '{verb}', 'push', error_words, :log_id FROM failed
        """
    )


# An item that nobody holds now is locked first, in the order of ids as a person's verbs do, or two statements could
# wait for each other's rows. What is still leased needs no lock: nobody else waits for it.
_ACKNOWLEDGE = text(
    """
    WITH late AS MATERIALIZED (
        SELECT id FROM bridge.export_queue
        WHERE id = ANY(cast(:ids AS bigint[])) AND state IN ('queued', 'failed', 'dead', 'cancelled')
        ORDER BY id FOR UPDATE
    ),
    sent AS (
        UPDATE bridge.export_queue q
        SET state = 'sent', sent_at = :now, reference = coalesce(a.reference, q.reference), export_log_id = :log_id,
            claim_token = NULL, lease_until = NULL, claimed_from = NULL, claimed_at = NULL, cancelled_by = NULL,
            error_class = NULL, error_code = NULL, error_words = NULL
        FROM unnest(cast(:ids AS bigint[]), cast(:references AS text[])) AS a (id, reference)
        WHERE q.id = a.id AND (SELECT count(*) FROM late) >= 0  -- before any row is written
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
                    -- in floating point: PostgreSQL takes microseconds for a logarithm of the numeric type
                    ELSE floor(4 * ln(greatest(1, cast(extract(epoch FROM :now - staged_at) AS float8)))
                               / ln(2.0::float8) + 1e-9) END AS delay_bucket,
               count(*)
        FROM sent GROUP BY 1, 2, 3 ORDER BY 1, 2, 3  -- one order for all, or two batches could wait for each other
        ON CONFLICT (destination, hour, delay_bucket) DO UPDATE SET sent = h.sent + excluded.sent
    )
    SELECT count(*) FROM sent
    """
)
