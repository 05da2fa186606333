"""A migration that says that the code before works with it takes nothing away from that code: expand, then contract."""

import pytest
from alembic import command
from sqlalchemy import Engine, text

from tests.upgrade.taken_away import Catalogue, read, taken_away
from tests.upgrade.test_previous import FIRST, migrations
from totara_bridge.staging.migrate import migrate
from totara_bridge.staging.revision import alembic_config


@pytest.fixture
def url(database: str) -> str:
    """The address of an empty database, as SQLAlchemy has it."""
    return database.replace("postgresql://", "postgresql+psycopg://", 1)


def test_each_migration_leaves_the_code_before_what_it_needs(url: str, engine: Engine) -> None:
    catalogues: dict[str, Catalogue] = {}
    for each in migrations():
        command.upgrade(alembic_config(url), each.revision)
        catalogues[each.revision] = read(engine)
        if each.revision < FIRST:
            continue
        for code, before in catalogues.items():
            if each.oldest_code <= code < each.revision:
                missed = [*taken_away(before, catalogues[each.revision])]
                assert missed == [], f"migration {each.revision} breaks code of {code}, with which it says it works"


_STATUS = "ALTER TABLE bridge.acknowledgement DROP CONSTRAINT acknowledgement_status_check"


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ("DROP TABLE bridge.crawl", "crawl was a table, and is gone"),
        ("DROP SEQUENCE bridge.change_seq CASCADE", "change_seq was a sequence, and is gone"),
        ("ALTER TABLE bridge.crawl RENAME TO crawls", "crawl was a table, and is gone"),
        ("ALTER TABLE bridge.site DROP COLUMN connection", "site.connection was text NOT NULL, and is gone"),
        ("ALTER TABLE bridge.site RENAME connection TO link", "site.connection was text NOT NULL, and is gone"),
        ("ALTER TABLE bridge.site ALTER connection TYPE bytea USING NULL", "site.connection was text NOT NULL, and is"),
        ("ALTER TABLE bridge.crawl ALTER ended_at SET NOT NULL", "crawl is new to demand crawl.ended_at"),
        ("ALTER TABLE bridge.site ALTER connection DROP NOT NULL", "site.connection was text NOT NULL, and is text"),
        ("ALTER TABLE bridge.watermark ALTER source DROP DEFAULT", "watermark is new to demand watermark.source"),
        ("ALTER TABLE bridge.crawl ADD needed text NOT NULL", "crawl is new to demand crawl.needed"),
        ("ALTER TABLE bridge.crawl DROP CONSTRAINT crawl_pk", "crawl_pk was CREATE UNIQUE INDEX"),
        ("DROP INDEX bridge.alert_open_key", "alert_open_key was CREATE UNIQUE INDEX"),
        ("CREATE UNIQUE INDEX one ON bridge.crawl (began_at)", "crawl is new to demand CREATE UNIQUE INDEX one"),
        ("ALTER TABLE bridge.crawl ADD CHECK (site <> 'x')", "crawl is new to demand CHECK ((site <> 'x'"),
        ("ALTER TABLE bridge.crawl ADD FOREIGN KEY (site) REFERENCES bridge.site", "new to demand crawl FOREIGN KEY"),
        (f"{_STATUS}, ADD CONSTRAINT acknowledgement_status_check CHECK (status IN ('received', 'rejected', 'lost'))",
         "acknowledgement is new to demand CHECK ((status = ANY"),
        (f"{_STATUS}, ADD CONSTRAINT acknowledgement_status_check CHECK (status = 'lost')",
         "acknowledgement is new to demand CHECK ((status = 'lost'"),
        ("ALTER TABLE bridge.export_queue DROP CONSTRAINT export_queue_error_when_failed_check, ADD CONSTRAINT"
         " export_queue_error_when_failed_check"
         " CHECK (state NOT IN ('failed', 'dead', 'held') OR error_class IS NOT NULL)",
         "export_queue is new to demand CHECK (((state <> ALL"),
    ],
)  # fmt: skip
def test_what_breaks_the_code_before_is_seen(staging: Engine, change: str, missed: str) -> None:
    before = read(staging)
    with staging.begin() as connection:
        connection.execute(text(change))
    assert any(missed in each for each in taken_away(before, read(staging))), [*taken_away(before, read(staging))]


def test_what_only_adds_breaks_nothing(url: str, engine: Engine) -> None:
    migrate(url)
    before = read(engine)
    with engine.begin() as connection:
        for change in (
            "CREATE TABLE bridge.invented (id bigint PRIMARY KEY, said text NOT NULL CHECK (said <> ''))",
            "ALTER TABLE bridge.crawl ADD note text",
            "ALTER TABLE bridge.crawl ADD weight integer NOT NULL DEFAULT 1",
            "CREATE INDEX invented_ix ON bridge.crawl (began_at)",
            "ALTER TABLE bridge.export_queue DROP CONSTRAINT export_queue_comes_from_check",
            "ALTER TABLE bridge.export_queue RENAME CONSTRAINT export_queue_counts_check TO counted",
            f"{_STATUS}, ADD CONSTRAINT acknowledgement_status_check"
            " CHECK (status IN ('received', 'processed', 'rejected', 'lost')) NOT VALID",
        ):
            connection.execute(text(change))
    assert [*taken_away(before, read(engine))] == []
