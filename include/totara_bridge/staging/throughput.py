"""How fast a destination takes items at present, by the log of its newest requests; and how many wait for it."""

from dataclasses import dataclass
from math import ceil

from sqlalchemy import text

from totara_bridge.staging.engine import Transaction


@dataclass(frozen=True)
class Throughput:
    """How fast a destination takes items, and what it has still to take."""

    per_minute: float | None  #: items, while full requests were made; none: not known yet
    tried: bool  #: something was sent to it, if only in small requests: they say nothing about how fast it is
    waiting: int  #: items that are due now or later, or are being sent

    def minutes(self, more: int) -> int | None:
        """How long what waits and so many more will take; none where that is not known."""
        return None if self.per_minute is None else ceil((self.waiting + more) / self.per_minute)


def present(transaction: Transaction, destination: str, *, batch_size: int) -> Throughput:
    """The destination's throughput now; it is no more than its rate allows, where it has one.

    Measured over its newest requests that were at least half full, from the begin of the first to the end of the last,
    without the times between in which none was made for over a minute.

    :param batch_size: items per request.
    """
    values = {"destination": destination, "batch_size": batch_size}
    return Throughput(**transaction.execute(_PRESENT, values).one()._mapping)


# where all were small for long, so many are looked at and no more; what waits is counted in three parts, each by its
# partial index
_PRESENT = text(
    """
    WITH newest AS MATERIALIZED (
        SELECT id, at AS begun, at + duration_ms * interval '1 millisecond' AS ended, items,
               outcome IN ('sent', 'partly') AS sent
        FROM bridge.export_log WHERE destination = :destination AND outcome <> 'shadow' ORDER BY id DESC LIMIT 10000
    ),
    large AS (
        SELECT * FROM newest WHERE items * 2 >= :batch_size ORDER BY id DESC LIMIT 1000
    ),
    followed AS (
        SELECT *, max(ended) OVER (ORDER BY begun, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM large
    ),
    busy AS (
        SELECT items, sent, greatest(interval '0', ended - CASE WHEN begun - before <= interval '1 minute' THEN before
                                                                ELSE begun END) AS took
        FROM followed
    ),
    measured AS (
        SELECT 60 * sum(items) FILTER (WHERE sent)
               / greatest(0.001, cast(extract(epoch FROM sum(took)) AS float8)) AS per_minute
        FROM busy
    )
    SELECT least(per_minute, (
               SELECT cast(rate AS float8) * 60 * :batch_size FROM bridge.destination_state
               WHERE destination = :destination AND per_minute IS NOT NULL)) AS per_minute,
           EXISTS (SELECT FROM newest WHERE sent) AS tried,
           (SELECT count(*) FROM bridge.export_queue
            WHERE destination = :destination AND state IN ('queued', 'failed') AND shadowed_at IS NULL)
           + (SELECT count(*) FROM bridge.export_queue
              WHERE destination = :destination AND shadowed_at IS NOT NULL)
           + (SELECT count(*) FROM bridge.export_queue
              WHERE destination = :destination AND state = 'sending') AS waiting
    FROM measured
    """
)
