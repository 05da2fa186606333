"""What there is to know of the promises of delivery: what waits, what was late, what died, what is silent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import floor, log2

from sqlalchemy import text

from totara_bridge.staging import setting
from totara_bridge.staging.engine import Transaction

#: The share of deliveries in time is that of this long.
SHARE_OF = timedelta(days=30)

#: Items that died are counted for this long.
DEAD_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class Waiting:
    """What a destination has not got yet, the backfill lane left out: its delay means nothing."""

    by_state: Mapping[str, int]
    oldest: datetime | None  #: when the bridge first saw it; none: nothing waits
    oldest_state: str | None
    late: int  #: wait for longer than promised

    @property
    def items(self) -> int:
        """How many wait, in whatever state."""
        return sum(self.by_state.values())


@dataclass(frozen=True)
class Delivered:
    """How a destination was served in the last `SHARE_OF`."""

    sent: int
    in_time: int  #: a delay counts by its bucket of ``delivery_hour``, which ends up to a fifth after the promise


@dataclass(frozen=True)
class Down:
    """How long a destination has not answered."""

    since: datetime
    seen_at: datetime  #: when something was last written of it
    said: str | None


def waiting(transaction: Transaction, destination: str, *, late_before: datetime) -> Waiting:
    """What waits for the destination.

    :param late_before: what the bridge first saw before then is late.
    """
    values = {"destination": destination, "late_before": late_before}
    rows = transaction.execute(_WAITING, values).all()
    oldest = min(rows, key=lambda row: row.oldest, default=None)
    return Waiting(
        by_state={row.state: row.items for row in sorted(rows, key=lambda row: row.state)},
        oldest=None if oldest is None else oldest.oldest,
        oldest_state=None if oldest is None else oldest.state,
        late=sum(row.late for row in rows),
    )


def delivered(
    transaction: Transaction, destination: str, *, promise: timedelta, since: datetime, now: datetime
) -> Delivered:
    """How many deliveries there were, and how many of them within the promise.

    :param since: those before do not count.
    """
    values = {"destination": destination, "since": max(since, now - SHARE_OF), "bucket": bucket_of(promise)}
    return Delivered(*transaction.execute(_DELIVERED, values).one())


def bucket_of(delay: timedelta) -> int:
    """The bucket of ``delivery_hour`` that the delay falls into."""
    return floor(4 * log2(max(1.0, delay.total_seconds())) + 1e-9)


def died(transaction: Transaction, *, now: datetime) -> Mapping[str, int]:
    """How many items died in the last `DEAD_WITHIN`, by destination; each counts once."""
    rows = transaction.execute(_DIED, {"since": now - DEAD_WITHIN})
    return {row.destination: row.items for row in rows}


def down(transaction: Transaction) -> Mapping[str, Down]:
    """The destinations that do not answer."""
    return {row.destination: Down(row.down_since, row.changed_at, row.reason) for row in transaction.execute(_DOWN)}


def switched(transaction: Transaction, scope: str) -> datetime:
    """When a manager last switched it off or on, or shadow mode: for a destination, for all; long ago: never."""
    values = {"scopes": [setting.EVERYWHERE, scope]}
    return transaction.execute(_SWITCHED, values).scalar_one() or datetime.min.replace(tzinfo=UTC)


def extracted(transaction: Transaction) -> Mapping[str, datetime]:
    """When each site was last extracted."""
    rows = transaction.execute(text("SELECT site, extracted_at FROM bridge.watermark"))
    return {row.site: row.extracted_at for row in rows}


def _part(condition: str) -> str:
    return f"""
        SELECT state, staged_at FROM bridge.export_queue
        WHERE destination = :destination AND lane IN ('fresh', 'retry') AND {condition}
    """


# each part by a partial index of its own: what was sent costs nothing, and of what is due a backfill costs nothing
_WAITING = text(
    f"""
    SELECT state, count(*) AS items, min(staged_at) AS oldest, count(*) FILTER (WHERE staged_at < :late_before) AS late
    FROM ({
        " UNION ALL ".join(
            map(
                _part,
                (
                    "state IN ('queued', 'failed') AND shadowed_at IS NULL",
                    "state IN ('queued', 'failed') AND shadowed_at IS NOT NULL",
                    "state = 'sending'",
                    "state = 'held'",
                    "state = 'dead'",
                ),
            )
        )
    }) AS waiting
    GROUP BY state
    """
)

_DOWN = text(
    """
    SELECT destination, down_since, changed_at, reason FROM bridge.destination_state WHERE down_since IS NOT NULL
    """
)

_SWITCHED = text(
    """
    SELECT max(at) FROM bridge.audit_log
    WHERE action = 'setting' AND subject IN ('enabled', 'shadow') AND details ->> 'scope' = ANY(:scopes)
    """
)

_DELIVERED = text(
    """
    SELECT cast(coalesce(sum(sent), 0) AS bigint) AS sent,
           cast(coalesce(sum(sent) FILTER (WHERE delay_bucket <= :bucket), 0) AS bigint) AS in_time
    FROM bridge.delivery_hour WHERE destination = :destination AND hour >= :since AND delay_bucket >= 0
    """
)

_DIED = text(
    """
    SELECT q.destination, count(DISTINCT q.id) AS items
    FROM bridge.item_event e JOIN bridge.export_queue q ON q.id = e.item_id
    WHERE e.verb = 'reject' AND e.at > :since GROUP BY q.destination
    """
)
