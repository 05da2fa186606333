"""A database is migrated while the version before is at work; then both versions are: nothing is lost or doubled."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.upgrade.scene import Scene
from tests.upgrade.version import THIS, Version, Worker
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging.revision import found_revision

pytestmark = pytest.mark.timeout(900)  # a migration tries again and again, until it finds a bridge at rest

#: Rounds in which each state of the upgrade lasts.
_ROUNDS = 2

#: Seconds that a bridge rests at least between two runs: a migration comes in only where nobody holds a table.
_REST = 0.5


@pytest.fixture
def scene(database: str, engine: Engine, totara: Engine, oracle: SandboxOracle, tmp_path: Path) -> Iterator[Scene]:
    """What is around the database."""
    with closing(Scene(database, engine, totara, oracle, tmp_path)) as made:
        yield made


def go_on(scene: Scene, *workers: Worker) -> int:
    """Let them work for some rounds; how many items they sent."""
    return sum(scene.round(*workers)["sent"] for _ in range(_ROUNDS))


def upgrade(scene: Scene, old: Version, new: Version) -> None:
    """Go from one version to the other, step by step, without a stop."""
    old.migrate(scene.database)
    with ExitStack() as running:
        first = running.enter_context(scene.worker(old, begins=True))
        assert scene.round(first)["sent"] > 900  # the past
        old_pull = running.enter_context(scene.pull_server(old))
        scene.pull_by(old_pull)
        assert go_on(scene, first) > 0

        migration = running.enter_context(new.migration(scene.database))
        while migration.poll() is None:
            scene.round(first)
            time.sleep(_REST)
        words, _ = migration.communicate()
        assert migration.returncode == 0, words
        assert found_revision(scene.bridge.staging) == new.revision
        assert go_on(scene, first) > 0

        second = running.enter_context(scene.worker(new))
        new_pull = running.enter_context(scene.pull_server(new))
        scene.pull_by(old_pull, new_pull)
        assert go_on(scene, first, second) > 0
        assert go_on(scene, first) > 0
        scene.pull_by(new_pull)
        assert go_on(scene, second) > 0
        scene.finish()


def test_the_version_before_and_this_one(scene: Scene, before: Version) -> None:
    upgrade(scene, before, THIS)
    assert [*scene.wrong()] == []
    assert scene.acknowledged > 100


def test_this_version_and_one_that_comes_after(scene: Scene, after: Version) -> None:
    upgrade(scene, THIS, after)
    assert [*scene.wrong()] == []
    assert scene.acknowledged > 100
    with scene.bridge.staging.connect() as connection:
        assert connection.execute(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'bridge.export_queue_weight_ix'::regclass")
        ).scalar()
