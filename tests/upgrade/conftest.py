"""What tests of upgrades may ask for: databases that nobody has migrated, and other versions of the code."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, NullPool, create_engine

from tests.upgrade import version
from tests.upgrade.next_migration import BREAK, INDEX, ROOM
from tests.upgrade.version import Version


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    """The address of an empty database."""
    return new_database("upgraded")


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """An engine on that database."""
    made = create_engine(database.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The version before this one."""
    return version.before(tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="session")
def after(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """A version that comes after this one, and with whose schema this one works."""
    return version.after(tmp_path_factory.mktemp("after"), ROOM, INDEX)


@pytest.fixture(scope="session")
def broken_with(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """A version that comes after this one, and with whose schema this one does not work."""
    return version.after(tmp_path_factory.mktemp("broken-with"), BREAK)
