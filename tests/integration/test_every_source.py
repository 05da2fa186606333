"""One Totara, read in every way, is staged alike but for what docs/sources.md says that a source cannot give."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import create_engine

from tests.asked_totara import as_19_1
from tests.bridge import Bridge
from totara_bridge.extract.crawl_book import StagedCrawlBook
from totara_bridge.extract.run import extract_site
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.generate import generate
from totara_bridge.sandbox.totara.http import oauth
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.report_builder import ReportBuilder, Schedule
from totara_bridge.staging.migrate import migrate
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report import Report
from totara_bridge.totara.source import Dates, Gives, SourceKind
from totara_bridge.totara.sources import Kept, source_of

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
COMPLETIONS = 2_000
ZONE = ZoneInfo("Pacific/Auckland")
#: The site of staging that each source fills from the same Totara.
SITES = {
    SourceKind.DATABASE: "sbx",
    SourceKind.WEB_SERVICES: "web",
    SourceKind.REPORT_QUERY: "query",
    SourceKind.REPORT_FILE: "file",
}
FIELDS = ("status", "progress", "grade", "rpl", "time_enrolled", "time_started", "time_completed")

Pair = tuple[int, int]
Row = dict[str, Any]


@dataclass
class Sources:
    """What each source staged of the same Totara, and what it says that it gives."""

    bridge: Bridge
    gives: Mapping[SourceKind, Gives]

    def completions(self, kind: SourceKind) -> dict[Pair, Row]:
        rows = self.bridge.rows("SELECT * FROM bridge.completion WHERE site = :site AND row_id <> -1", site=SITES[kind])
        return {(row["user_id"], row["course_id"]): row for row in rows}

    def instances(self, kind: SourceKind) -> list[Pair]:
        rows = self.bridge.rows(
            """SELECT user_id, course_id FROM bridge.completion_instance
               WHERE site = :site AND archived_at IS NULL ORDER BY 1, 2""",
            site=SITES[kind],
        )
        return [(row["user_id"], row["course_id"]) for row in rows]


@pytest.fixture(scope="module")
def sources(new_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """The same 2 000 completions, read through each source into a site of its own."""
    staging, totara = (
        create_engine(new_database(word).replace("postgresql://", "postgresql+psycopg://", 1))
        for word in ("every_staging", "every_totara")
    )
    migrate(staging.url.render_as_string(hide_password=False))
    schema.create(totara)
    generate(totara, COMPLETIONS, 4)
    bridge = Bridge(staging, totara)
    folder = tmp_path_factory.mktemp("exports")
    (folder / "admin").mkdir()
    gives = {}
    with SandboxTotara(totara) as running:
        as_19_1(running, records_per_page=700)
        for kind, connection in connections(bridge, running, folder).items():
            code = SITES[kind]
            source = source_of(connection, Kept(StagedCrawlBook(staging, code), lambda _: False))
            with source.snapshot() as snapshot:
                gives[kind] = snapshot.gives
            extract_site(staging, source, replace(bridge.plan, site=code), now=bridge.now)
    yield Sources(bridge, gives)
    staging.dispose()
    totara.dispose()


def connections(bridge: Bridge, running: SandboxTotara, folder: Path) -> dict[SourceKind, TotaraConnection]:
    written = ReportBuilder(bridge.totara.engine, folder).write(Schedule(zone=ZONE), datetime.now(ZONE))
    assert written is not None
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
    os.utime(written, (an_hour_ago, an_hour_ago))
    over_http = TotaraConnection(
        source=SourceKind.WEB_SERVICES, server_url=running.url, api_token=running.token, requests_in_flight=8, zone=ZONE
    )
    return {
        SourceKind.DATABASE: bridge.connection,
        SourceKind.WEB_SERVICES: over_http,
        SourceKind.REPORT_QUERY: replace(
            over_http,
            source=SourceKind.REPORT_QUERY,
            api_client=oauth.CLIENT_ID,
            api_secret=oauth.CLIENT_SECRET,
            report=Report(id=1, whole=True),
        ),
        SourceKind.REPORT_FILE: replace(
            over_http,
            source=SourceKind.REPORT_FILE,
            report=Report(place=f"{folder}/*/*.csv", whole=True),
        ),
    }


@pytest.mark.parametrize("kind", [kind for kind in SourceKind if kind is not SourceKind.DATABASE])
def test_what_a_source_gives_is_staged_as_the_database_says_it(sources: Sources, kind: SourceKind) -> None:
    gives, expected, found = sources.gives[kind], sources.completions(SourceKind.DATABASE), sources.completions(kind)
    assert len(expected) == COMPLETIONS
    assert found.keys() <= expected.keys()
    left_out = expected.keys() - found.keys()
    if kind is not SourceKind.WEB_SERVICES:
        assert not left_out
    assert len(found) > COMPLETIONS * 0.9
    for pair, row in found.items():
        for name in FIELDS:
            assert as_given(gives, name, row[name]) == as_given(gives, name, expected[pair][name]), (pair, name)


def as_given(gives: Gives, name: str, value: Any) -> Any:
    """The value as exactly as the source gives it."""
    if name == "status":
        return value if gives.statuses else str(value).startswith("complete")
    if name == "progress" and name in gives.columns:
        return value
    if name not in gives.columns:
        return None
    if isinstance(value, datetime) and gives.dates is Dates.DAY:
        return value.astimezone(ZONE).date()
    return value


@pytest.mark.parametrize("kind", list(SourceKind))
def test_each_completed_course_is_one_instance(sources: Sources, kind: SourceKind) -> None:
    seen = sources.completions(kind)
    complete = sorted(pair for pair, row in seen.items() if row["status"].startswith("complete"))
    assert sources.instances(kind) == complete


@pytest.mark.parametrize("kind", list(SourceKind))
def test_nothing_is_invented(sources: Sources, kind: SourceKind) -> None:
    gives = sources.gives[kind]
    for row in sources.completions(kind).values():
        for name in FIELDS:
            if name not in {*gives.columns, "progress"}:
                assert row[name] is None, name


def table() -> dict[str, dict[SourceKind, str]]:
    """The table of the page, by its first column."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    kinds = [SourceKind(name.strip("`")) for name in head[1:]]
    return {name: dict(zip(kinds, cells, strict=True)) for name, *cells in rows if len(cells) == len(kinds)}


@pytest.mark.parametrize("kind", list(SourceKind))
def test_the_page_says_what_each_source_gives(sources: Sources, kind: SourceKind) -> None:
    said, gives = {name: cells[kind] for name, cells in table().items()}, sources.gives[kind]
    exactly = {Dates.SECOND: "second", Dates.DAY: "day", Dates.NONE: "no"}
    assert exactly[gives.dates] in said["when something was completed"]
    assert said["archived completions"] == ("yes" if gives.history else "no")
    assert said["recognition of prior learning told from the usual"] == ("yes" if gives.statuses else "no")
    assert (said["progress"] == "no") == ("progress" not in gives.columns and kind is SourceKind.DATABASE)
    assert (said["grade and words of prior learning"] == "no") == ("rpl" not in gives.columns)
    assert (said["when somebody enrolled and started"] == "no") == ("time_enrolled" not in gives.columns)
    assert (said["only what changed"] == "yes") == (kind is SourceKind.DATABASE)
