"""What unit tests may ask for."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.short_lived import new_folder


@pytest.fixture
def short_folder() -> Iterator[str]:
    """A folder whose path is short enough for a Unix socket in it."""
    folder = str(new_folder("tbl"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests."""
    for name in os.environ:
        if name.upper().startswith("TOTARA_BRIDGE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Callable[[str], Path]:
    """Write a configuration file and make it the one that is read."""

    def put(words: str) -> Path:
        file = tmp_path / "bridge.toml"
        file.write_text(words)
        monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
        return file

    return put
