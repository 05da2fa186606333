"""A merge that commits late is never skipped, and what finds that out would find it if it were.

A number is given to a change long before its commit. What keeps a cursor from moving past it meanwhile is the lock of
`completion.begin_merge`; where it is missing, the check of the pullers' journals must say which change was missed.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.bridge import Bridge
from tests.web.following import Following, follow
from tests.web.seen import Journal, State, disorder, missed

WaitUntil = Callable[[Callable[[], bool]], None]


class Watched:
    """Two sites, and a puller who knows all that there is of them."""

    def __init__(self, staging: Engine, totaras: list[Engine], following: Following) -> None:
        self.staging = staging
        self.following = following
        self.north, self.south = (Bridge(staging, totara) for totara in totaras)
        for site, bridge in (("north", self.north), ("south", self.south)):
            bridge.plan = replace(bridge.plan, site=site, connection=site)
            bridge.extract()
            bridge.later(minutes=1)
        self.pull()

    def pull(self) -> None:
        """Pull all there is."""
        follow(self.following)

    def wrong(self) -> list[str]:
        """What is wrong with what the puller has."""
        rows = self.north.rows(
            """SELECT site || '-' || user_id || '-' || course_id AS id, change_seq, deleted_at IS NOT NULL AS gone
               FROM bridge.completion"""
        )
        truth = {row["id"]: State(row["change_seq"], row["gone"]) for row in rows}
        steps = Journal(self.following.journal).steps()
        return [*disorder(steps), *missed(steps, truth)]

    def waiting(self, lock: str = "advisory") -> int:
        """How many wait for a lock of a merge or of a commit."""
        rows = self.north.rows("SELECT count(*) AS n FROM pg_locks WHERE locktype = :lock AND NOT granted", lock=lock)
        return int(rows[0]["n"])

    @contextmanager
    def commits_wait(self, site: str) -> Iterator[None]:
        """What merges the site cannot commit while the block runs."""
        with self.staging.begin() as transaction:
            transaction.execute(text(_WAIT_AT_COMMIT.format(site=site)))
        with self.staging.connect() as holder:
            holder.execute(text("SELECT pg_advisory_lock(1)"))
            try:
                yield
            finally:
                holder.execute(text("SELECT pg_advisory_unlock(1)"))


@pytest.fixture(params=["json", "ndjson"])
def following(address: str, token: str, tmp_path: Path, request: pytest.FixtureRequest) -> Following:
    """What a puller is told."""
    journal, form = tmp_path / "journal", request.param
    return Following(address, token, journal, since="1970-01-01", form=form, limits=(500, None), to_the_end=True)


@pytest.fixture
def watched(staging: Engine, copy_of: Callable[[str], Engine], totara_template: str, following: Following) -> Watched:
    """Two sites that were extracted and pulled."""
    return Watched(staging, [copy_of(totara_template) for _ in range(2)], following)


@pytest.fixture(params=[True, False], ids=["with the lock", "without the lock"])
def locked(watched: Watched, request: pytest.FixtureRequest) -> bool:
    """Whether merges wait for each other. Where they do not, PostgreSQL finds a lock that is none."""
    if not request.param:
        with watched.staging.begin() as transaction:
            transaction.execute(text(_NO_LOCK))
        watched.staging.dispose()  # the next connections look there first
    return bool(request.param)


def test_the_later_merge_waits_and_nothing_is_skipped(watched: Watched, wait_until: WaitUntil, locked: bool) -> None:
    late, early = watched.north.totara.pair_with(status=25), watched.south.totara.pair_with(status=25)
    watched.north.totara.complete(*late)
    watched.south.totara.complete(*early)
    merging = [threading.Thread(target=bridge.extract) for bridge in (watched.north, watched.south)]
    with watched.commits_wait("north"):
        merging[0].start()
        wait_until(lambda: watched.waiting() == 1)
        merging[1].start()
        if locked:
            wait_until(lambda: watched.waiting() == 2)
        else:
            merging[1].join()
        watched.pull()
    for thread in merging:
        thread.join()
    watched.pull()
    if locked:
        assert watched.wrong() == []
    else:
        [fault] = watched.wrong()
        assert fault.startswith(f"north-{late[0]}-{late[1]} was last seen as ")


def test_a_writer_that_takes_numbers_without_the_lock_is_found_out(watched: Watched) -> None:
    pair = watched.south.totara.pair_with(status=25)
    watched.south.totara.complete(*pair)
    with watched.staging.begin() as writer:
        moved = writer.execute(text(_WRITE)).scalars().all()
        watched.south.extract()
        watched.pull()
        assert watched.wrong() == []
    watched.pull()
    assert [fault.partition(" ")[0] for fault in watched.wrong()] == sorted(moved)


_WAIT_AT_COMMIT = """
    CREATE OR REPLACE FUNCTION public.wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_lock_shared(1); PERFORM pg_advisory_unlock_shared(1); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT OR UPDATE ON bridge.completion
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.site = '{site}')
        EXECUTE FUNCTION public.wait_at_commit()
"""

_NO_LOCK = """
    CREATE SCHEMA unlocked;
    CREATE FUNCTION unlocked.pg_advisory_xact_lock(key bigint) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF key <> hashtextextended('totara_bridge.change_seq', 0) THEN
            PERFORM pg_catalog.pg_advisory_xact_lock(key);
        END IF;
    END $$;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = unlocked, pg_catalog, public', current_database());
    END $$
"""

_WRITE = """
    UPDATE bridge.completion SET progress = 1, change_seq = nextval('bridge.change_seq')
    WHERE site = 'north' AND user_id = (SELECT min(user_id) FROM bridge.completion WHERE site = 'north')
    RETURNING site || '-' || user_id || '-' || course_id
"""
