"""What unit tests may ask for."""

import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture
def short_folder() -> Iterator[str]:
    """A folder whose path is short enough for a Unix socket in it."""
    folder = tempfile.mkdtemp(prefix="tbl", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
