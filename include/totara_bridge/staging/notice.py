"""Notices are an outbox: what a channel was told is written down after it was told.

A process that is killed in between tells it again, and never forgets it.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from totara_bridge.staging.alert import COLUMNS, Alert, alerts_of
from totara_bridge.staging.engine import Transaction

Event = Literal["raised", "resolved"]

#: PostgreSQL's code for a lock that was not had in time.
_NOT_IN_TIME = "55P03"


@dataclass(frozen=True)
class Notice:
    """What a channel is still to be told."""

    alert: Alert
    event: Event
    channel: str
    attempts: int  #: that failed so far


@contextmanager
def reserved(engine: Engine, *, within: timedelta | None = None) -> Iterator[bool]:
    """Let nobody else tell channels meanwhile: what is pending now nobody else is about to tell.

    Outside any transaction, which a server may end where it is idle for long; on a connection of its own, whose end,
    also that of a process that is killed, is the end of the reservation.

    :param within: how long to wait for who tells now; none: until they have ended.
    :returns: whether it was had in that time.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
        alone.detach()
        alone.execute(text("SELECT set_config('idle_session_timeout', '0', false)"))
        milliseconds = 0 if within is None else max(1, round(within.total_seconds() * 1000))
        alone.execute(text("SELECT set_config('lock_timeout', :wait, false)"), {"wait": str(milliseconds)})
        try:
            alone.execute(text("SELECT pg_advisory_lock(hashtextextended('totara_bridge.alert_notice', 0))"))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _NOT_IN_TIME:
                raise
            yield False
        else:
            yield True


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
