"""Sites: which Totara answers under which code, and how far each was read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.dialects.postgresql import insert

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import SiteRow, WatermarkRow


@dataclass(frozen=True)
class Watermark:
    """Extracted up to here."""

    log_id: int  #: highest ``course_completion_log.id`` that was read
    read_at: int  #: Totara's clock at that read, Unix seconds
    extracted_at: datetime
    compared_at: datetime  #: of the last full compare
    query: str  #: the connection's query, as JSON
    source: str  #: the way it was read


def reserve(transaction: Transaction, site: str) -> bool:
    """Whether this transaction may extract the site: one at a time, or an older read could undo a newer one."""
    return bool(
        transaction.execute(
            text("SELECT pg_try_advisory_xact_lock(hashtextextended('totara_bridge.extract.' || :site, 0))"),
            {"site": site},
        ).scalar_one()
    )


def recognise(
    transaction: Transaction, *, site: str, connection: str, fingerprint: int | None, now: datetime
) -> int | None:
    """Remember the site's fingerprint when first known; the one that is remembered."""
    row = insert(SiteRow).values(code=site, connection=connection, fingerprint=fingerprint, first_seen_at=now)
    known = func.coalesce(SiteRow.fingerprint, row.excluded.fingerprint)
    transaction.execute(
        row.on_conflict_do_update(index_elements=[SiteRow.code], set_={"connection": connection, "fingerprint": known})
    )
    return transaction.execute(select(SiteRow.fingerprint).where(SiteRow.code == site)).scalar_one()


def watermark(transaction: Transaction, site: str) -> Watermark | None:
    """How far the site was read; none before its first extract."""
    row = transaction.execute(
        select(
            WatermarkRow.log_id,
            WatermarkRow.read_at,
            WatermarkRow.extracted_at,
            WatermarkRow.compared_at,
            WatermarkRow.query,
            WatermarkRow.source,
        ).where(WatermarkRow.site == site)
    ).one_or_none()
    return None if row is None else Watermark(*row)


def advance(transaction: Transaction, site: str, to: Watermark) -> None:
    """Move the watermark; belongs in the transaction that staged what was read."""
    values = vars(to)
    transaction.execute(
        insert(WatermarkRow)
        .values(site=site, **values)
        .on_conflict_do_update(index_elements=[WatermarkRow.site], set_=values)
    )


def count_extract(transaction: Transaction, site: str, *, changes: int, now: datetime) -> None:
    """Count an extract of the site in its hour, and the instances of which it found something to tell."""
    transaction.execute(_COUNT_EXTRACT, {"site": site, "changes": changes, "now": now})


def extracted_by_hour(transaction: Transaction, since: datetime) -> Sequence[Row[Any]]:
    """What extracts found, oldest first: site, hour, runs and changes; hours without an extract are left out.

    :param since: the hour that it lies in counts whole.
    """
    return transaction.execute(_EXTRACTED_BY_HOUR, {"since": since}).all()


_COUNT_EXTRACT = text(
    """
    INSERT INTO bridge.extract_hour AS h (site, hour, runs, changes)
    VALUES (:site, date_trunc('hour', cast(:now AS timestamptz), 'UTC'), 1, :changes)
    ON CONFLICT (site, hour) DO UPDATE SET runs = h.runs + 1, changes = h.changes + excluded.changes
    """
)

_EXTRACTED_BY_HOUR = text(
    """
    SELECT site, hour, runs, changes FROM bridge.extract_hour
    WHERE hour >= date_trunc('hour', cast(:since AS timestamptz), 'UTC') ORDER BY hour, site
    """
)
