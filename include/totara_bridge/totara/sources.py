"""Which way a connection is read: each kind of source, its test, and what it keeps between runs."""

from collections.abc import Callable
from dataclasses import dataclass

from totara_bridge.totara import database, report_file, report_query, web_services
from totara_bridge.totara.check import check as check_database
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.source import CrawlBook, Source, SourceKind


@dataclass(frozen=True)
class Kept:
    """What sources find again of earlier runs."""

    crawl_book: CrawlBook
    is_loaded: Callable[[str], bool]  #: whether a file with this SHA-256 was read


def source_of(connection: TotaraConnection, kept: Kept) -> Source:
    """The source that the connection names."""
    match connection.source:
        case SourceKind.DATABASE:
            return database.DatabaseSource(connection)
        case SourceKind.WEB_SERVICES:
            return web_services.WebServicesSource(connection, kept.crawl_book)
        case SourceKind.REPORT_QUERY:
            return report_query.ReportQuerySource(connection)
        case SourceKind.REPORT_FILE:
            return report_file.ReportFileSource(connection, kept.is_loaded)


def check(connection: TotaraConnection) -> str:
    """What is there, in one sentence: what Airflow's "Test" shows.

    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: it may not be read.
    """
    match connection.source:
        case SourceKind.DATABASE:
            return check_database(connection)
        case SourceKind.WEB_SERVICES:
            return web_services.check(connection)
        case SourceKind.REPORT_QUERY:
            return report_query.check(connection)
        case SourceKind.REPORT_FILE:
            return report_file.check(connection)
