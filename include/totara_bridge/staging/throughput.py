"""How fast a destination takes items at present, by the log of its newest requests; and how many wait for it."""

from dataclasses import dataclass
from math import ceil

from sqlalchemy import text

from totara_bridge.staging.engine import Transaction


@dataclass(frozen=True)
class Throughput:
    """How fast a destination takes items, and what it has still to take."""

    per_minute: float | None  #: items, of the minutes in which requests were made; none: nothing was sent to it yet
    waiting: int  #: items that are due now or later, or are being sent

    def minutes(self, more: int) -> int | None:
        """How long what waits and so many more will take; none where that is not known."""
        return None if self.per_minute is None else ceil((self.waiting + more) / self.per_minute)


def present(transaction: Transaction, destination: str, *, batch_size: int) -> Throughput:
    """The destination's throughput now; it is no more than its rate allows, where it has one.

    :param batch_size: items per request.
    """
    values = {"destination": destination, "batch_size": batch_size}
    return Throughput(**transaction.execute(_PRESENT, values).one()._mapping)


# what waits is counted in three parts, each by its partial index
_PRESENT = text(
    """
    WITH newest AS MATERIALIZED (
        SELECT at, items, outcome FROM bridge.export_log WHERE destination = :destination ORDER BY id DESC LIMIT 1000
    ),
    measured AS (
        SELECT sum(items) FILTER (WHERE outcome IN ('sent', 'partly'))
               / cast(count(DISTINCT date_trunc('minute', at)) AS float8) AS per_minute
        FROM newest WHERE outcome <> 'shadow'
    )
    SELECT CASE WHEN per_minute > 0 THEN least(per_minute, (
               SELECT cast(rate AS float8) * 60 * :batch_size FROM bridge.destination_state
               WHERE destination = :destination)) END AS per_minute,
           (SELECT count(*) FROM bridge.export_queue
            WHERE destination = :destination AND state IN ('queued', 'failed') AND shadowed_at IS NULL)
           + (SELECT count(*) FROM bridge.export_queue
              WHERE destination = :destination AND shadowed_at IS NOT NULL)
           + (SELECT count(*) FROM bridge.export_queue
              WHERE destination = :destination AND state = 'sending') AS waiting
    FROM measured
    """
)
