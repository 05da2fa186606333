"""Notices are an outbox: what a channel was told is written down after it was told.

A process that is killed in between tells it again, and never forgets it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text

from totara_bridge.staging.alert import COLUMNS, Alert, alerts_of
from totara_bridge.staging.engine import Transaction

Event = Literal["raised", "resolved"]

#: The lock of who tells channels: what is pending now nobody else is about to tell.
LOCK = "alert_notice"


@dataclass(frozen=True)
class Notice:
    """What a channel is still to be told."""

    alert: Alert
    event: Event
    channel: str
    attempts: int  #: that failed so far


def pending(transaction: Transaction, channels: Collection[str]) -> Sequence[Notice]:
    """What these channels are still to be told, the oldest alert first.

    That an alert was raised, while it is open; that it was resolved, if the channel was told that it was raised: what
    was over before a channel heard of it is never told there.
    """
    found = transaction.execute(_PENDING, {"channels": list(channels)})
    return [Notice(each, row.event, row.channel, row.attempts) for row in found for each in alerts_of([row])]


def told(transaction: Transaction, notice: Notice, *, error: str | None, now: datetime) -> None:
    """Write down that the channel was told, or why it could not be.

    :param error: none: it was told.
    """
    values = {"alert": notice.alert.id, "event": notice.event, "channel": notice.channel, "error": error, "now": now}
    transaction.execute(_TOLD, values)


_PENDING = text(
    f"""
    WITH channel (channel) AS (SELECT DISTINCT * FROM unnest(cast(:channels AS text[]))),
    wanted AS (
        SELECT a.id, 'raised' AS event, channel FROM bridge.alert a, channel WHERE a.resolved_at IS NULL
        UNION ALL
        SELECT n.alert_id, 'resolved', channel FROM bridge.alert_notice n JOIN channel USING (channel)
        WHERE n.event = 'raised' AND n.sent_at IS NOT NULL
    )
    SELECT {COLUMNS}, w.event, w.channel, coalesce(n.attempts, 0) AS attempts
    FROM wanted w
    JOIN bridge.alert a ON a.id = w.id AND (a.resolved_at IS NOT NULL) = (w.event = 'resolved')
    LEFT JOIN bridge.alert_notice n ON n.alert_id = w.id AND n.event = w.event AND n.channel = w.channel
    WHERE n.sent_at IS NULL
    ORDER BY a.raised_at, a.id, w.channel
    """
)

# told twice, by two senders at once, it was told first by the first; attempts stop at what their column holds
_TOLD = text(
    """
    INSERT INTO bridge.alert_notice AS n (alert_id, event, channel, attempts, sent_at, error)
    VALUES (:alert, :event, :channel, 1, CASE WHEN cast(:error AS text) IS NULL THEN cast(:now AS timestamptz) END,
            :error)
    ON CONFLICT (alert_id, event, channel) DO UPDATE
    SET attempts = least(n.attempts, 32766) + 1, sent_at = coalesce(n.sent_at, excluded.sent_at),
        error = CASE WHEN n.sent_at IS NULL THEN excluded.error END
    """
)
