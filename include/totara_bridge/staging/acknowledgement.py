"""What callers of the Pull API said of completions that they fetched: the last word of each, for a version."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from sqlalchemy import text

from totara_bridge.staging import erased
from totara_bridge.staging.engine import Transaction


class Said(StrEnum):
    """What a caller can say of a completion."""

    RECEIVED = "received"
    PROCESSED = "processed"
    REJECTED = "rejected"


class Result(StrEnum):
    """What becomes of an acknowledgement."""

    RECORDED = "recorded"
    UNCHANGED = "unchanged"  #: the same was recorded before
    OUTDATED = "outdated"  #: the completion has changed since that version
    UNKNOWN = "unknown"  #: there is no such completion
    INVALID = "invalid"


@dataclass(frozen=True)
class Acknowledgement:
    """What is said of one completion."""

    site: str
    user_id: int
    course_id: int
    status: Said
    version: int | None  #: that was fetched, a ``change_seq``; none: the one that there is now
    reference: str | None  #: what the caller calls it
    message: str | None


@dataclass(frozen=True)
class Outcome:
    """What became of one acknowledgement."""

    result: Result
    version: int | None  #: that the completion has now; none: there is no such completion
    erased: bool  #: the learner was, so reference and message are not kept
    superseded: bool  #: another one of the same completion, in the same call, counts instead


def record(
    transaction: Transaction, acknowledgements: Sequence[Acknowledgement], *, caller: str, now: datetime
) -> list[Outcome]:
    """Write them down, and say of each, in their order, what became of it.

    An acknowledgement of an older version never replaces one of a newer version. Of several of one completion the one
    of the newest version counts, and of those the last.

    :raises OperationalError: another call of this caller, or an erasure, was waited for in vain.
    """
    _reserve(transaction, caller)
    columns = {each.name: [getattr(said, each.name) for said in acknowledgements] for each in fields(Acknowledgement)}
    values = columns | {"caller": caller, "now": now}
    rows = transaction.execute(_RECORD, values).all()
    return [Outcome(Result(row.result), row.newest, row.erased, row.superseded) for row in rows]


def _reserve(transaction: Transaction, caller: str) -> None:
    """Wait until the caller's other calls have ended, and nobody erases a learner.

    The statement after it sees what they have written: neither order nor chance decides what is the newest.
    """
    transaction.execute(_PATIENCE)
    erased.write_down(transaction)
    transaction.execute(_ONE_CALL_AT_A_TIME, {"of": f"totara_bridge.acknowledgement.{caller}"})


# nobody is to wait for long for a caller that waits, or whose server is gone without a word
_PATIENCE = text(
    """
    SELECT set_config('lock_timeout', '20s', true), set_config('idle_in_transaction_session_timeout', '20s', true)
    """
)

_ONE_CALL_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:of, 0))")

# Whatever the planner thinks of how many there are: each completion is looked up by its key (OFFSET 0 keeps it so), and
# what was written is looked up in a hash.
_RECORD = text(
    """
    WITH said AS (
        SELECT * FROM unnest(
            cast(:site AS text[]), cast(:user_id AS bigint[]), cast(:course_id AS bigint[]), cast(:status AS text[]),
            cast(:version AS bigint[]), cast(:reference AS text[]), cast(:message AS text[])
        ) WITH ORDINALITY AS s (site, user_id, course_id, status, version, reference, message, place)
    ),
    known AS (
        SELECT s.place, s.site, s.user_id, s.course_id, s.status, c.newest, coalesce(s.version, c.newest) AS version,
               e.erased, CASE WHEN NOT e.erased THEN s.reference END AS reference,
               CASE WHEN NOT e.erased THEN s.message END AS message
        FROM said s
        LEFT JOIN LATERAL (
            SELECT c.change_seq AS newest FROM bridge.completion c
            WHERE c.site = s.site AND c.user_id = s.user_id AND c.course_id = s.course_id OFFSET 0
        ) c ON true
        CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM bridge.erased_learner e WHERE e.site = s.site AND e.user_id = s.user_id OFFSET 0)
        ) e (erased)
    ),
    ranked AS MATERIALIZED (
        SELECT *, first_value(place) OVER (
            PARTITION BY site, user_id, course_id
            ORDER BY version <= newest DESC NULLS LAST, version DESC, place DESC
        ) AS counting
        FROM known
    ),
    written AS (
        INSERT INTO bridge.acknowledgement AS a
            (caller, site, user_id, course_id, change_seq, status, reference, message, acknowledged_at)
        SELECT :caller, site, user_id, course_id, version, status, reference, message, :now
        FROM ranked WHERE place = counting AND version <= newest
        ON CONFLICT (caller, site, user_id, course_id) DO UPDATE SET
            change_seq = excluded.change_seq, status = excluded.status, reference = excluded.reference,
            message = excluded.message, acknowledged_at = excluded.acknowledged_at
        WHERE a.change_seq < excluded.change_seq
           OR a.change_seq = excluded.change_seq
              AND (a.status, a.reference, a.message)
                  IS DISTINCT FROM (excluded.status, excluded.reference, excluded.message)
        RETURNING a.site, a.user_id, a.course_id
    )
    SELECT CASE WHEN newest IS NULL THEN 'unknown'
                WHEN version > newest THEN 'invalid'
                WHEN version < newest THEN 'outdated'
                WHEN (site, user_id, course_id) IN (SELECT site, user_id, course_id FROM written) THEN 'recorded'
                ELSE 'unchanged'
           END AS result,
           newest, newest IS NOT NULL AND erased AS erased,
           newest IS NOT NULL AND version <= newest AND place <> counting AS superseded
    FROM ranked ORDER BY place
    """
)
