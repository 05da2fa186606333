"""One production bridge with everything for the tests of it, gone when the last of them has ended."""

from collections.abc import Iterator

import pytest

from tests.debian_postgres import PROGRAMS
from tests.production.delivery import Killed, kill_a_worker
from tests.production.whole import PATIENCE, REDIS, Whole, whole

#: Modules that need the running bridge, in their order: one begins what a later one sees the end of, and what looks
#: through all that was written comes after whatever writes.
_ORDER = ("test_celery", "test_people", "test_pull_alone", "test_migrated_again", "test_killed_worker",
          "test_chaos_short", "test_secrets_written", "test_stopped")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the running bridge comes after what does not."""
    ours = [number for number, item in enumerate(items) if item.path.parent.name == "production"]
    found = sorted((items[number] for number in ours), key=_turn)
    for number, item in zip(ours, found, strict=True):
        items[number] = item
        if _turn(item):
            item.add_marker(pytest.mark.timeout(PATIENCE))  # whichever comes first brings it up


def _turn(item: pytest.Item) -> int:
    needs = "production" in getattr(item, "fixturenames", ())
    return _ORDER.index(item.path.stem) + 1 if needs else 0


@pytest.fixture(scope="package")
def production() -> Iterator[Whole]:
    """All services of docker-compose.yaml at work by hand, after the first delivery."""
    for lacking, package in ((PROGRAMS / "initdb", "postgresql-15"), (REDIS, "redis-server")):
        if not lacking.exists():
            pytest.skip(f"No {lacking}: on Debian, apt-get install {package}.")
    with whole() as running:
        yield running


@pytest.fixture(scope="package")
def killed(production: Whole) -> Killed:
    """A worker was killed while it sent; nothing is known yet of what becomes of that."""
    return kill_a_worker(production)
