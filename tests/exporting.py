"""A site that is read through the files of its scheduled report."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import create_engine

from tests.bridge import SITE, Bridge
from totara_bridge.extract.crawl_book import kept_in_staging
from totara_bridge.extract.run import Extracted, extract_site
from totara_bridge.sandbox.totara.http.report_words import MONTHS, STATUS_WORDS, Language
from totara_bridge.sandbox.totara.report_builder import ReportBuilder, Schedule
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report import Report
from totara_bridge.totara.report_file import ReportFileSource
from totara_bridge.totara.source import ReadFile, SourceKind

#: Totara's codes, as a connection names them.
_MEANING = {10: "not_started", 25: "in_progress", 50: "complete", 75: "complete_rpl"}

HEADER = (
    "user_id,user_username,user_idnumber,course_id,course_shortname,"
    "course_completion_status,course_completion_completeddate"
)


class Exports:
    """A bridge, and the folder that it reads."""

    def __init__(self, bridge: Bridge, folder: Path) -> None:
        self.bridge = bridge
        self.folder = folder
        self.builder = ReportBuilder(bridge.totara.engine, folder)
        self.connection = connection(str(folder / "*" / "*.csv"))
        self.written = 0

    def is_loaded(self, digest: str) -> bool:
        """Whether staging has it."""
        return kept_in_staging(self.bridge.staging, SITE).is_loaded(digest)

    def source(self, **changes: Any) -> ReportFileSource:
        """The source, with these changes to the connection."""
        return ReportFileSource(replace(self.connection, **changes), self.is_loaded)

    def write(self, **schedule: Any) -> Path | None:
        """Let Totara write the day's file."""
        path = self.builder.write(Schedule(**schedule), self.bridge.now)
        if path is not None:
            self.settle(path)
        return path

    def put(self, name: str, text: str | bytes) -> Path:
        """A file with these contents, written a while ago."""
        path = self.folder / "admin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.settle(path)
        return path

    def settle(self, path: Path) -> None:
        """Let a while pass since it was written: each file a second after the one before."""
        self.written += 1
        os.utime(path, (1_790_000_000 + self.written,) * 2)

    def extract(self, **changes: Any) -> Extracted:
        """One run of an extract: one file."""
        return extract_site(self.bridge.staging, self.source(**changes), self.bridge.plan, now=self.bridge.now)

    def loaded(self) -> list[str]:
        """The names of the files that were read, in order."""
        rows = self.bridge.rows("SELECT name FROM bridge.loaded_file ORDER BY loaded_at, name")
        return [row["name"] for row in rows]

    def set_aside(self) -> list[tuple[str, int, str]]:
        """Feed, place and reason."""
        rows = self.bridge.rows("SELECT feed, row_id, reason FROM bridge.set_aside ORDER BY feed, row_id")
        return [(row["feed"], row["row_id"], row["reason"]) for row in rows]


def connection(place: str, *, zone: str = "UTC", **report: Any) -> TotaraConnection:
    """A connection that reads the files there."""
    return TotaraConnection(
        source=SourceKind.REPORT_FILE, report=Report(place=place, **report), zone=ZoneInfo(zone), timeout=20.0
    )


def worded(place: str, language: Language, **report: Any) -> Report:
    """A report in another language, as its connection describes it."""
    words = {STATUS_WORDS[language][code]: meaning for code, meaning in _MEANING.items()}
    return Report(place=place, words=words, months=MONTHS[language], **report)


def lines_of(source: ReportFileSource, what: str) -> list[list[str]]:
    """The fields of the lines that a snapshot gives."""
    with source.snapshot() as snapshot:
        give: Callable[[None], Any] = getattr(snapshot, what)
        return [line.split("\t") for line in b"".join(give(None)).decode().splitlines()]


def refused_of(source: ReportFileSource) -> tuple[list[list[str]], list[ReadFile]]:
    """What is set aside of a file, and the file."""
    with source.snapshot() as snapshot:
        b"".join(snapshot.completions(None))
        refused = b"".join(snapshot.refused()).decode().splitlines()
        return [line.split("\t") for line in refused], list(snapshot.read_files())


def extract_in_a_process(orders: tuple[str, str]) -> None:
    """Extract the site in a process of its own: staging's address, and the place."""
    url, place = orders
    engine = create_engine(url)
    plan, kept = Bridge(engine, engine).plan, kept_in_staging(engine, SITE)
    extract_site(engine, ReportFileSource(connection(place), kept.is_loaded), plan, now=datetime.now(UTC))
