"""One version of the bridge's code, as a test starts it: the one before this, this one, or one that comes after."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.upgrade import previous
from tests.upgrade.previous import CHECKOUT, MIGRATIONS
from tests.web.pull_server import PullServer

#: Seconds that a version may take for one round of work, on a busy machine.
_PATIENCE = 120.0


@dataclass(frozen=True)
class Version:
    """Code in a folder that has the parts of a checkout that are needed."""

    folder: Path

    @property
    def revision(self) -> str:
        """Of the staging database that it makes."""
        return previous.newest_migration(self.folder)

    def environment(self, database: str) -> dict[str, str]:
        """That of its processes: its own package and `tests.bridge` come first, the other tests are this version's."""
        places = [self.folder / "include", self.folder, CHECKOUT]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, places)),
            "TOTARA_BRIDGE_DATABASE_URL": database,
        }

    def start(self, module: str, *arguments: str, database: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a module of it as a program."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self.environment(database), cwd=self.folder, text=True, **options,
        )  # fmt: skip

    def run(self, module: str, *arguments: str, database: str) -> tuple[int, str]:
        """Run a module of it as a program; its exit code, and all that it wrote."""
        program = self.start(
            module, *arguments, database=database, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )  # fmt: skip
        words, _ = program.communicate(timeout=_PATIENCE)
        return program.returncode, words

    @contextmanager
    def migration(self, database: str) -> "Iterator[subprocess.Popen[str]]":
        """Migrate the database while the block runs; if it has not ended then, it is killed."""
        with self.start(
            "totara_bridge.staging.migrate", database=database, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as program:
            try:
                yield program
            finally:
                program.kill()

    def migrate(self, database: str, *arguments: str) -> str:
        """Bring the database to its revision; what it said."""
        code, words = self.run("totara_bridge.staging.migrate", *arguments, database=database)
        assert code == 0, words
        return words

    def serve_pull(self, database: str, log: Path) -> PullServer:
        """Start its Pull API alone; returns at once."""
        return PullServer(
            database, log, program="tests.upgrade.worker:pull", folder=self.folder,
            environment=self.environment(database),
        )  # fmt: skip


THIS = Version(CHECKOUT)


def before(folder: Path) -> Version:
    """The version before this one, in an empty folder."""
    previous.unpack(folder)
    return Version(folder)


def after(folder: Path, *migrations: str) -> Version:
    """This version and what comes next, in an empty folder."""
    package = Path("include/totara_bridge")
    leave = shutil.ignore_patterns("__pycache__", "captured", "static", "local")
    shutil.copytree(CHECKOUT / package, folder / package, ignore=leave)
    (folder / "tests").mkdir()
    shutil.copy(CHECKOUT / "tests/bridge.py", folder / "tests")
    for number, migration in enumerate(migrations, int(THIS.revision) + 1):
        (folder / MIGRATIONS / f"{number:04}_invented.py").write_text(migration)
    return Version(folder)


class Worker:
    """A version at work, for ``with``: it does one round whenever it is told to."""

    def __init__(self, version: Version, database: str, orders: Mapping[str, Any], log: Path) -> None:
        """Start it; see `tests.upgrade.worker`."""
        self._log = log
        with log.open("w") as errors:
            self._process = version.start(
                "tests.upgrade.worker", json.dumps(orders),
                database=database, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def begin_round(self) -> None:
        """Have it begin a round; returns at once."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end_round(self) -> dict[str, Any]:
        """What came of the round, once that is over."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"It ended: {self._log.read_text()}"
        said: dict[str, Any] = json.loads(line)
        return said

    def __enter__(self) -> Self:
        """At work."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._process.communicate(timeout=_PATIENCE)
