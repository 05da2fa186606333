"""The files of reports that were read: none is read twice."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import LoadedFileRow


def is_loaded(transaction: Transaction, site: str, digest: str) -> bool:
    """Whether a file with these bytes was read."""
    there = select(LoadedFileRow.digest).where(LoadedFileRow.site == site, LoadedFileRow.digest == digest)
    return transaction.execute(there).first() is not None


def last(transaction: Transaction, site: str) -> str | None:
    """The SHA-256 of the file that was read last; none: none was."""
    newest = select(LoadedFileRow.digest).where(LoadedFileRow.site == site).order_by(LoadedFileRow.loaded_at.desc())
    return transaction.execute(newest.limit(1)).scalar_one_or_none()


def write(transaction: Transaction, site: str, *, name: str, digest: str, size: int, rows: int, now: datetime) -> None:
    """Write down that it was read; belongs in the transaction that staged what was in it."""
    transaction.execute(
        insert(LoadedFileRow)
        .values(site=site, digest=digest, name=name, size=size, rows=rows, loaded_at=now)
        .on_conflict_do_nothing()
    )
