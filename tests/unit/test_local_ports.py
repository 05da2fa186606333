"""A port is the one asked for, the one of the last run, or a free one; a taken one is said in one sentence."""

import socket
from collections.abc import Iterator

import pytest

from totara_bridge.local import ports
from totara_bridge.local.home import LocalRunFailed


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _ in ports.SERVICES.values():
        monkeypatch.delenv(variable, raising=False)


def test_a_taken_port_of_the_last_run_gives_way_to_a_free_one(taken: int) -> None:
    chosen = ports.choose("airflow", remembered=taken, avoid=set())
    assert chosen != taken
    assert ports.free(chosen)


def test_the_port_of_the_last_run_is_kept(taken: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert ports.choose("airflow", remembered=free, avoid={taken}) == free


def test_a_port_of_another_service_is_not_given_away(taken: int) -> None:
    first = ports.choose("airflow", remembered=None, avoid=set())
    assert ports.choose("airflow", remembered=first, avoid={first}) != first


def test_a_taken_port_that_was_asked_for_is_refused(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_AIRFLOW_PORT", str(taken))
    with pytest.raises(LocalRunFailed, match=f"Port {taken} of TOTARA_BRIDGE_AIRFLOW_PORT is in use"):
        ports.choose("airflow", remembered=None, avoid=set())


def test_a_taken_port_on_every_address_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        assert not ports.free(listener.getsockname()[1])


@pytest.mark.parametrize("asked", ["http", "0", "65536", "-1", "８０"])
def test_what_is_no_port_is_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_ORACLE_PORT", asked)
    with pytest.raises(LocalRunFailed, match=r"TOTARA_BRIDGE_ORACLE_PORT .* number from 1 to 65535"):
        ports.choose("oracle", remembered=None, avoid=set())
