"""A scene for each cell, and the table of all of them at the end."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import matrix
from tests.chaos.matrix import HOLDS, Conclude, Row
from tests.chaos.scene import Scene
from tests.chaos.staging import StagingServer
from totara_bridge.sandbox.oracle.server import SandboxOracle

_ROWS = pytest.StashKey[list[Row]]()


def pytest_configure(config: pytest.Config) -> None:
    """No cell was played yet."""
    config.stash[_ROWS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The matrix of all cells that came to their end."""
    if rows := config.stash[_ROWS]:
        terminalreporter.section("the fault matrix")
        for line in matrix.table(rows):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def staging_server() -> Iterator[StagingServer]:
    """A PostgreSQL that cells may crash."""
    folder = Path(tempfile.mkdtemp(prefix="tbt", dir="/tmp"))
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
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """The table so far."""
    return pytestconfig.stash[_ROWS]


@pytest.fixture
def conclude(scene: Scene, rows: list[Row], request: pytest.FixtureRequest) -> Conclude:
    """Let later senders finish the cell, check what must hold, and put its row into the table."""
    cell = request.node.name.removeprefix("test_").replace("_", " ").replace("[", ": ").rstrip("]")

    def conclude() -> Row:
        scene.finish()
        row = matrix.judge(cell, scene)
        rows.append(row)
        assert row.verdict == HOLDS
        return row

    return conclude
