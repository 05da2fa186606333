"""The sandbox Totara of a local run is filled once: as recorded, or at the size that the environment asks for."""

from collections.abc import Iterator

import psycopg
import pytest

from totara_bridge.local.home import LocalRunFailed
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.local.sandbox import TOTARA_DATABASE, fill_totara

_COUNT = "SELECT count(*) FROM ttr_course_completions"


@pytest.fixture
def server(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedPostgres]:
    """A server without a sandbox Totara."""
    for variable in ("TOTARA_BRIDGE_SANDBOX_COMPLETIONS", "TOTARA_BRIDGE_SANDBOX_SEED"):
        monkeypatch.delenv(variable, raising=False)
    postgres.drop_database(TOTARA_DATABASE)
    yield postgres
    postgres.drop_database(TOTARA_DATABASE)


def test_as_recorded_and_only_once(server: EmbeddedPostgres) -> None:
    assert fill_totara(server) == "as recorded from a real Totara 17.3 with invented learners"
    assert fill_totara(server) is None
    assert _count(server) == 1600


def test_as_many_as_asked_for(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_SANDBOX_COMPLETIONS", "300")
    monkeypatch.setenv("TOTARA_BRIDGE_SANDBOX_SEED", "7")
    assert fill_totara(server) == "generated: 300 completions, seed 7"
    assert fill_totara(server) is None
    assert _count(server) == 300


def test_a_size_that_is_no_number(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_SANDBOX_COMPLETIONS", "many")
    with pytest.raises(LocalRunFailed, match="TOTARA_BRIDGE_SANDBOX_COMPLETIONS is 'many'"):
        fill_totara(server)


def _count(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.dsn(TOTARA_DATABASE)) as connection:
        row = connection.execute(_COUNT).fetchone()
    assert row is not None
    return int(row[0])
