"""What every test may ask for: a real PostgreSQL, and fresh databases in it."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from totara_bridge.local.postgres import EmbeddedPostgres

#: Airflow reads its settings at import: never those of the person who runs the tests.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="tbtest-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The embedded server, in a folder that goes when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="tbt", dir="/tmp"))
    server = EmbeddedPostgres(folder, durable=False)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres) -> Callable[[str], str]:
    """Make an empty database whose name begins with the given word; gives its address."""
    numbers = itertools.count(1)

    def make(word: str) -> str:
        return postgres.ensure_database(f"{word}_{next(numbers)}")

    return make
