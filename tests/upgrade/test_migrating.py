"""Migrating under a bridge that is at work: it stands still for seconds at most, and may be killed or begun twice."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine, text

from tests.upgrade.version import THIS, Version
from totara_bridge.errors import ConfigurationInvalid, RequestInvalid, StagingInUse, StagingOutOfDate, Transient
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.staging.migrate import migrate, migrate_back
from totara_bridge.staging.revision import alembic_config, found_revision, newest_revision

Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def url(database: str) -> str:
    """The address of an empty database, as SQLAlchemy has it."""
    return database.replace("postgresql://", "postgresql+psycopg://", 1)


@contextmanager
def reading_sites(engine: Engine) -> Iterator[None]:
    """Somebody reads the table of sites and does not come to an end, as a backup may."""
    with engine.connect() as connection:
        connection.execute(text("SELECT FROM bridge.site"))
        yield


def oldest_code(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT oldest_code FROM bridge.compatibility")).scalar_one())


def test_of_two_migrations_at_the_same_time_one_waits_and_finds_nothing_to_do(
    database: str, engine: Engine, after: Version
) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as gate:
        gate.execute(text("SELECT pg_advisory_lock(hashtextextended('totara_bridge.migrate', 0))"))
        with after.migration(database) as one, after.migration(database) as other:
            said = [each.stdout.readline() for each in (one, other) if each.stdout is not None]
            assert said == ["Another migration of the staging database is at work: waiting for its end.\n"] * 2
            assert found_revision(engine) is None
            gate.execute(text("SELECT pg_advisory_unlock_all()"))
            for each in (one, other):
                words, _ = each.communicate()
                assert each.returncode == 0, words
                assert words.endswith(f"is at revision {after.revision}.\n")
    with engine.connect() as connection:
        index = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'bridge.export_queue_weight_ix'::regclass"
        assert connection.execute(text(index)).scalar_one() is True


def test_who_holds_a_table_for_too_long_is_named_and_nothing_is_changed(url: str, engine: Engine) -> None:
    command.upgrade(alembic_config(url), "0005")
    with reading_sites(engine):
        with pytest.raises(
            StagingInUse, match=r"stays at revision 0005: for 0 seconds others .* then migrate again\."
        ) as no:
            migrate(url, patience=timedelta(0))
        assert isinstance(no.value, Transient)
    assert found_revision(engine) == "0005"
    migrate(url)
    assert found_revision(engine) == newest_revision()


def test_who_holds_a_table_for_a_while_is_waited_for_and_so_is_nobody_else(
    url: str, engine: Engine, caplog: pytest.LogCaptureFixture, wait_until: Until
) -> None:
    command.upgrade(alembic_config(url), "0005")
    caplog.set_level("INFO", logger="totara_bridge")
    migrating = threading.Thread(target=migrate, args=(url,))
    with reading_sites(engine):
        migrating.start()
        wait_until(lambda: "Others hold what comes after revision 0005: trying again in 1 s." in caplog.messages)
        with engine.begin() as connection:  # of those who came later, nobody waits for ever
            connection.execute(text("LOCK TABLE bridge.site IN ROW EXCLUSIVE MODE"))
    migrating.join()
    assert found_revision(engine) == newest_revision()


def test_who_holds_one_table_and_waits_for_another_gets_it(
    database: str, engine: Engine, after: Version, wait_until: Until
) -> None:
    THIS.migrate(database)
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'bridge.site'::regclass")

    def migration_waits() -> bool:
        with engine.connect() as connection:
            return bool(connection.execute(waits).scalar_one())

    with engine.connect() as extract:
        extract.execute(text("SELECT FROM bridge.site"))  # the last of those that the migration changes
        with after.migration(database) as running:
            wait_until(migration_waits)
            # until PostgreSQL has looked in vain whether what the migration waits for is a deadlock
            extract.execute(text("SELECT pg_sleep(1.2)"))
            extract.execute(text("SELECT FROM bridge.export_queue"))  # the first
            assert found_revision(engine) == THIS.revision
            extract.rollback()
            words, _ = running.communicate()
    assert running.returncode == 0, words
    assert found_revision(engine) == after.revision


def test_one_that_is_killed_half_way_leaves_what_was_done_and_the_next_goes_on(
    database: str, url: str, engine: Engine, wait_until: Until
) -> None:
    command.upgrade(alembic_config(url), "0004")
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def waits() -> bool:
        with engine.connect() as connection:
            return bool(connection.execute(waiting).scalar_one())

    with reading_sites(engine):
        with THIS.migration(database):
            wait_until(waits)
        assert found_revision(engine) == "0005"
    migrate(url)
    command.check(alembic_config(url))


def test_the_database_says_with_which_code_it_works(database: str, url: str, engine: Engine, after: Version) -> None:
    migrate(url)
    assert oldest_code(engine) == "0006"
    after.migrate(database)
    assert (found_revision(engine), oldest_code(engine)) == ("0009", "0007")
    after.migrate(database, "--back-to", "0007")
    assert (found_revision(engine), oldest_code(engine)) == ("0007", "0006")


def test_code_that_works_with_a_newer_database_leaves_it_as_it_is(
    database: str, url: str, engine: Engine, after: Version
) -> None:
    after.migrate(database)
    words = THIS.migrate(database)
    assert "newer than this code, which works with it: nothing is to be done." in words
    assert words.endswith("The staging database is at revision 0009.\n")
    with pytest.raises(StagingOutOfDate, match="at revision 0009, and this code knows none after 0007: take it back"):
        migrate_back(url, "0006")


def test_code_that_does_not_work_with_a_newer_database_says_so(database: str, url: str, broken_with: Version) -> None:
    broken_with.migrate(database)
    with pytest.raises(StagingOutOfDate, match="at revision 0008, which only code of revision 0008 and later works"):
        migrate(url)


def test_it_is_taken_back_as_far_as_asked(url: str, engine: Engine) -> None:
    with pytest.raises(RequestInvalid, match="at revision none: it cannot be taken back to 0001"):
        migrate_back(url, "0001")
    migrate(url)
    for wrong in ("base", "0", "9999", "-1"):
        with pytest.raises(RequestInvalid, match=rf"cannot be taken back to {wrong}. Say which of 0001, 0002, "):
            migrate_back(url, wrong)
    migrate_back(url, "0006")
    assert found_revision(engine) == "0006"
    migrate(url)
    command.check(alembic_config(url))


def test_it_is_taken_back_no_further_than_its_rows_fit(url: str, engine: Engine) -> None:
    migrate(url)
    with engine.begin() as connection:  # by web services, of which no fingerprint can be had
        connection.execute(text("INSERT INTO bridge.site (code, connection, first_seen_at) VALUES ('sbx', 'c', now())"))
    with pytest.raises(
        RequestInvalid, match=r"do not fit into the tables of revision 0001: .*fingerprint.* at revision 0006;"
    ):
        migrate_back(url, "0001")
    assert found_revision(engine) == "0006"
    migrate(url)


def test_a_role_that_may_not_is_told_whose_turn_it_is(
    postgres: EmbeddedPostgres, database: str, url: str, engine: Engine
) -> None:
    migrate(url)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE ROLE somebody LOGIN")
        try:
            theirs = url.replace("//postgres:@", "//somebody@")
            with pytest.raises(StagingOutOfDate, match=r"may not read the revision .* denied for schema bridge\. Run"):
                migrate(theirs)
            connection.execute("GRANT USAGE ON SCHEMA bridge TO somebody")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA bridge TO somebody")
            with pytest.raises(ConfigurationInvalid, match=r"may not change .* permission denied .* as its owner"):
                migrate(theirs)
        finally:
            connection.execute("DROP OWNED BY somebody; DROP ROLE somebody")


def test_a_server_that_is_away_is_one_sentence() -> None:
    code, words = THIS.run("totara_bridge.staging.migrate", database="postgresql://bridge:hunter2@127.0.0.1:1/none")
    assert code == 1
    assert "cannot be reached" in words
    assert words.count("\n") == 1
    assert "hunter2" not in words
