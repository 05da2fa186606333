"""Claiming items for a batch, keeping them while it runs, and putting them back.

States and lanes are written into the statements as literals: with bound values a generic plan could not prove that
the partial indexes apply, and would read the whole table.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from totara_bridge.staging import completion
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.states import Lane


def claim(
    transaction: Transaction,
    *,
    destination: str,
    token: UUID,
    limit: int,
    now: datetime,
    lease_until: datetime,
) -> Sequence[Row[Any]]:
    """Lease up to ``limit`` due items, skipping those that another drain holds; none while the destination rests.

    Fresh items go first, but a tenth of each claim (at least one) is kept for each lower lane. The rows have id,
    idempotency_key, payload, attempts and failures, and the destination's rate. ``first_posted_at`` is set here,
    before anything is posted.
    """
    values = _which(destination, limit, now) | {"token": token, "lease_until": lease_until}
    return transaction.execute(_CLAIM, values).all()


def show(transaction: Transaction, *, destination: str, limit: int, now: datetime) -> Sequence[Row[Any]]:
    """The items that `claim` would lease now, each shown once: nothing of them changes but ``shadowed_at``."""
    return transaction.execute(_SHOW, _which(destination, limit, now)).all()


def forget_shown(transaction: Transaction, *, destination: str) -> int:
    """Let the items that were shown be claimed; how many. One that somebody writes at this moment is passed over."""
    return transaction.execute(
        text(
            """
            UPDATE bridge.export_queue SET shadowed_at = NULL WHERE id = ANY(ARRAY(
                SELECT id FROM bridge.export_queue WHERE destination = :destination AND shadowed_at IS NOT NULL
                FOR UPDATE SKIP LOCKED))
            """
        ),
        {"destination": destination},
    ).rowcount


def _which(destination: str, limit: int, now: datetime) -> dict[str, object]:
    share = max(1, limit // 10) if limit > 2 else 0
    return {"destination": destination, "limit": limit, "share": share, "now": now}


def extend(transaction: Transaction, tokens: Collection[UUID], *, lease_until: datetime) -> int:
    """Prolong the leases of these claims; how many items. One that is being settled at this moment is passed over."""
    return transaction.execute(
        text(
            f"UPDATE bridge.export_queue SET lease_until = :lease_until "
            f"WHERE id = {_without_waiting('claim_token = ANY(:tokens)')}"
        ),
        {"tokens": list(tokens), "lease_until": lease_until},
    ).rowcount


def release(transaction: Transaction, token: UUID, *, ids: Sequence[int], posted: bool) -> int:
    """Put items back where they were claimed from, attempts and lane kept; how many were still ours.

    :param posted: off where no request with them was ever opened under this claim. Their payload may then change
        again, unless Totara changed the completion meanwhile: that was reported, as of an item on its way.
        To know that, it waits for a merge that is running.
    """
    if not posted:
        completion.begin_merge(transaction)
    return transaction.execute(
        text(
            f"""
            UPDATE bridge.export_queue q SET {_BACK},
                first_posted_at = CASE WHEN :posted OR {_POSTED_OR_REPORTED} THEN q.first_posted_at END
            FROM bridge.completion_instance i
            WHERE q.id = ANY(:ids) AND q.state = 'sending' AND q.claim_token = :token AND i.id = q.instance_id
            """
        ),
        {"ids": list(ids), "token": token, "posted": posted},
    ).rowcount


def never_posted(transaction: Transaction, token: UUID, *, ids: Sequence[int]) -> None:
    """Write down of claimed items that will not be posted that they were not, as `release` does of what it returns."""
    completion.begin_merge(transaction)
    transaction.execute(
        text(
            f"""
            UPDATE bridge.export_queue q SET first_posted_at = NULL FROM bridge.completion_instance i
            WHERE q.id = ANY(:ids) AND q.state = 'sending' AND q.claim_token = :token AND i.id = q.instance_id
              AND NOT ({_POSTED_OR_REPORTED})
            """
        ),
        {"ids": list(ids), "token": token},
    )


def release_expired(transaction: Transaction, *, destination: str, now: datetime) -> int:
    """Put back items whose sender went silent; how many. One that is being settled at this moment is passed over."""
    return transaction.execute(
        text(
            f"""
            WITH released AS (
                UPDATE bridge.export_queue SET {_BACK}
                WHERE id = {_without_waiting("destination = :destination AND lease_until < :now")}
                RETURNING id
            )
            INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
            SELECT id, :now, 'release', 'push', 'its sender went silent; whether it was posted is not known'
            FROM released
            """
        ),
        {"destination": destination, "now": now},
    ).rowcount


_BACK = "state = claimed_from, claim_token = NULL, lease_until = NULL, claimed_from = NULL, claimed_at = NULL"

#: SQL: a request with the item was opened before this claim, or Totara's change was reported as of an item on its way.
_POSTED_OR_REPORTED = "q.first_posted_at <> q.claimed_at OR i.revision <> q.revision OR i.ended_at IS NOT NULL"


def _without_waiting(condition: str) -> str:
    """SQL: any of the leased items that nobody else is writing now.

    A batch is settled in an order of its own: two statements that waited for each other's rows would deadlock.
    """
    return (
        f"ANY(ARRAY(SELECT id FROM bridge.export_queue WHERE state = 'sending' AND {condition} FOR UPDATE SKIP LOCKED))"
    )


def _due(lane: Lane, limit: str, *, but: Sequence[str] = ()) -> str:
    """SQL: lock the next due items of a lane."""
    others = "".join(f" AND q.id NOT IN (SELECT id FROM {name})" for name in but)
    return f"""
        SELECT q.id FROM bridge.export_queue q
        WHERE q.destination = :destination AND q.lane = '{lane}' AND q.state IN ('queued', 'failed')
          AND q.shadowed_at IS NULL AND q.next_attempt_at <= :now AND (SELECT awake FROM destination){others}
          AND (q.kind = 'completion' OR NOT EXISTS (
                  SELECT FROM bridge.export_queue earlier
                  WHERE earlier.destination = q.destination AND earlier.instance_id = q.instance_id
                    AND earlier.id < q.id AND earlier.state NOT IN ('sent', 'cancelled')))
        ORDER BY q.next_attempt_at, q.id LIMIT {limit}
        FOR UPDATE OF q SKIP LOCKED
    """


def _left(*names: str) -> str:
    taken = " ".join(f"- (SELECT count(*) FROM {name})" for name in names)
    return f"greatest(0, :limit {taken})"


# MATERIALIZED: PostgreSQL may otherwise run the locking sub-select more than once and claim more than the limit.
_DUE = f"""
    WITH destination AS MATERIALIZED (
        SELECT NOT EXISTS (SELECT FROM bridge.destination_state s WHERE s.destination = :destination
                           AND (s.not_before > :now OR s.breaker_open_until > :now)) AS awake,
               (SELECT s.rate FROM bridge.destination_state s WHERE s.destination = :destination) AS rate
    ),
    retry_share AS MATERIALIZED ({_due(Lane.RETRY, ":share")}),
    backfill_share AS MATERIALIZED ({_due(Lane.BACKFILL, ":share")}),
    fresh AS MATERIALIZED ({_due(Lane.FRESH, _left("retry_share", "backfill_share"))}),
    retry AS MATERIALIZED (
        {_due(Lane.RETRY, _left("retry_share", "backfill_share", "fresh"), but=["retry_share"])}
    ),
    backfill AS MATERIALIZED (
        {_due(Lane.BACKFILL, _left("retry_share", "backfill_share", "fresh", "retry"), but=["backfill_share"])}
    ),
    due AS (SELECT id FROM retry_share UNION ALL SELECT id FROM backfill_share UNION ALL SELECT id FROM fresh
            UNION ALL SELECT id FROM retry UNION ALL SELECT id FROM backfill)
"""

_CLAIM = text(
    f"""
    {_DUE}
    UPDATE bridge.export_queue q
    SET state = 'sending', claimed_from = q.state, claim_token = :token, lease_until = :lease_until,
        claimed_at = :now, first_posted_at = coalesce(q.first_posted_at, :now)
    WHERE q.id IN (SELECT id FROM due)
    RETURNING q.id, q.idempotency_key, q.payload, q.attempts, q.failures,
              (SELECT rate FROM destination) AS rate
    """
)

_SHOW = text(
    f"""
    {_DUE}
    UPDATE bridge.export_queue q SET shadowed_at = :now
    WHERE q.id IN (SELECT id FROM due)
    RETURNING q.id, q.idempotency_key, q.payload, q.attempts, q.failures
    """
)
