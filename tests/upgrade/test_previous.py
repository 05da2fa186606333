"""The code that is packed for tests of upgrades is that of the migration before the newest one."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.upgrade.previous import CHECKOUT, MIGRATIONS, newest_migration
from tests.upgrade.version import Version

#: The first that says with which code it works.
FIRST = "0007"


def migrations() -> list[ModuleType]:
    """All of them, oldest first."""
    found = []
    for file in sorted((CHECKOUT / MIGRATIONS).glob("[0-9]*.py")):
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert file.name.startswith(f"{module.revision}_"), f"{file.name} is not named after its revision"
        found.append(module)
    return found


def test_the_packed_code_is_that_before_the_newest_migration(before: Version) -> None:
    newest = migrations()[-1]
    assert newest.revision == newest_migration(CHECKOUT)
    assert before.revision == newest.down_revision, "run `make previous`, and commit what it packed with the migration"


def test_nothing_is_packed_that_no_upgrade_runs(before: Version) -> None:
    there = {each.name for each in (before.folder / "include/totara_bridge").iterdir()}
    assert {"extract", "push", "staging", "web"} <= there
    assert not {"local", "orchestration"} & there
    assert not [*before.folder.rglob("*.csv"), *before.folder.rglob("*.js")]


@pytest.mark.parametrize(
    "migration", [each for each in migrations() if each.revision >= FIRST], ids=lambda m: m.revision
)
def test_a_migration_says_with_which_code_it_works(migration: ModuleType) -> None:
    allowed = [migration.down_revision, migration.revision]
    assert getattr(migration, "oldest_code", None) in allowed or _of_the_one_before(migration), (
        f"migration {migration.revision} says no `oldest_code`: the revision before it, or its own where that code "
        "cannot work with it"
    )


def _of_the_one_before(migration: ModuleType) -> bool:
    """Whether it goes on working with code with which the migration before it works."""
    [last] = [each for each in migrations() if each.revision == migration.down_revision]
    return bool(getattr(last, "oldest_code", last.revision) <= migration.oldest_code <= migration.down_revision)


def test_revisions_are_counted_without_a_gap() -> None:
    numbers = [each.revision for each in migrations()]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert [each.down_revision for each in migrations()] == [None, *numbers[:-1]]
    assert (Path(CHECKOUT) / MIGRATIONS).is_dir()
