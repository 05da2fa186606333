"""A scene for each cell; the table of all of them is at the end of the run."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.chaos import matrix
from tests.chaos.matrix import CELL, HOLDS, Conclude, Report, Row
from tests.chaos.scene import Scene
from tests.chaos.staging import StagingServer
from tests.short_lived import new_folder
from totara_bridge.sandbox.oracle.server import SandboxOracle


@pytest.fixture(scope="session")
def staging_server() -> Iterator[StagingServer]:
    """A PostgreSQL that cells may crash."""
    folder = new_folder("tbt")
    server = StagingServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def scene(staging_server: StagingServer, oracle: SandboxOracle, tmp_path: Path) -> Iterator[Scene]:
    """A full queue and a sandbox Oracle, nobody between them yet."""
    opened = Scene(staging_server, oracle, tmp_path / "senders.log")
    yield opened
    opened.close()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Let the test's report carry a row to the table."""
    return lambda row: request.node.user_properties.append((CELL, asdict(row)))


@pytest.fixture
def conclude(scene: Scene, report: Report, request: pytest.FixtureRequest) -> Conclude:
    """Let later senders finish the cell, check what must hold, and put its row into the table."""
    cell = request.node.name.removeprefix("test_").replace("_", " ").replace("[", ": ").rstrip("]")

    def conclude() -> Row:
        scene.finish()
        row = matrix.judge(cell, scene)
        report(row)
        assert row.verdict == HOLDS
        return row

    return conclude
