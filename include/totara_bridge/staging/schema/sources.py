"""What sources other than a database have found so far, and the files that were read."""

from datetime import datetime

from sqlalchemy import SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Table


class CrawlRow(Table):
    """A site is being crawled, or was."""

    __tablename__ = "crawl"

    site: Mapped[str] = mapped_column(primary_key=True)
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  #: none: it goes on, or was killed


class CrawledPairRow(Table):
    """What was last heard of a learner in a course."""

    __tablename__ = "crawled_pair"

    site: Mapped[str] = mapped_column(primary_key=True)
    course_id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    complete: Mapped[bool]
    progress: Mapped[int | None] = mapped_column(SmallInteger)
    checked_at: Mapped[datetime]


class LoadedFileRow(Table):
    """A file of a report that was read, and is not read again."""

    __tablename__ = "loaded_file"

    site: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)  #: SHA-256 of its bytes, hexadecimal
    name: Mapped[str]
    size: Mapped[int]  #: bytes
    rows: Mapped[int]  #: that were understood
    loaded_at: Mapped[datetime]
