"""The data folder of a local run: where it is, who works in it, and what is deleted with it."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from totara_bridge.local.home import LocalRunFailed, find_home, make_home


@pytest.fixture(autouse=True)
def _home(short_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_HOME", short_folder)


def test_only_postgresql_moves_when_the_path_is_too_long_for_its_socket(
    short_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_home().postgres == Path(short_folder).resolve() / "postgres"
    long = Path(short_folder) / ("x" * 90)
    monkeypatch.setenv("TOTARA_BRIDGE_HOME", str(long))
    first = find_home()
    assert first.root == long.resolve()
    assert first.postgres.parent == Path("/tmp")
    assert find_home() == first
    monkeypatch.setenv("TOTARA_BRIDGE_HOME", str(long / "y"))
    assert find_home().postgres != first.postgres


def test_a_folder_that_cannot_be_is_refused(short_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(short_folder) / "file"
    file.touch()
    monkeypatch.setenv("TOTARA_BRIDGE_HOME", str(file / "home"))
    with pytest.raises(LocalRunFailed, match=r"cannot be used \(Not a directory.*TOTARA_BRIDGE_HOME"):
        make_home()


def test_one_works_in_it_at_a_time() -> None:
    home = make_home()
    with home.locked(), pytest.raises(LocalRunFailed, match="Another `make up`"), home.locked():
        pytest.fail("two work in it")
    with home.locked():
        pass


def test_keys_are_made_once_and_for_their_owner_only() -> None:
    home = make_home()
    keys = home.keys()
    assert home.keys() == keys
    assert (home.root / "keys.json").stat().st_mode & 0o777 == 0o600
    assert len(keys["jwt"]) >= 64
    Fernet(keys["fernet"])


def test_ports_are_remembered() -> None:
    assert make_home().remembered_ports() == {}
    make_home().remember_ports({"airflow": 8080})
    assert make_home().remembered_ports() == {"airflow": 8080}


def test_delete_leaves_what_is_not_ours(short_folder: str) -> None:
    home = make_home()
    home.keys()
    home.remember_ports({"airflow": 8080})
    (home.logs / "scheduler.log").touch()
    (home.airflow / "airflow.cfg").touch()
    home.oracle.touch()
    thesis = home.root / "thesis.txt"
    thesis.touch()
    home.delete()
    assert list(home.root.iterdir()) == [thesis]
    thesis.unlink()
    home.delete()
    assert not Path(short_folder).exists()


def test_a_disk_that_would_be_full_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totara_bridge.local.home._BYTES_NEEDED", 1 << 60)
    with pytest.raises(LocalRunFailed, match="GB left, and a local run needs"):
        make_home().require_space()
