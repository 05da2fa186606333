"""The embedded PostgreSQL is the real engine, at a version the bridge supports."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.ended import ended
from totara_bridge.local.postgres import EmbeddedPostgres, stop


def test_is_a_supported_postgresql(new_database: Callable[[str], str]) -> None:
    with psycopg.connect(new_database("version")) as connection:
        assert connection.info.server_version >= 150000


def test_a_path_too_long_for_a_socket_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="TOTARA_BRIDGE_HOME"):
        EmbeddedPostgres(tmp_path / ("x" * 90))


def test_data_outlive_a_stop_and_a_kill(short_folder: str, wait_until: Callable[[Callable[[], bool]], None]) -> None:
    folder = Path(short_folder) / "postgres"
    assert not stop(folder)
    server = EmbeddedPostgres(folder, durable=False)
    server.ensure_database("kept")
    assert stop(folder)
    assert not stop(folder)
    server = EmbeddedPostgres(folder)
    killed = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
    processes = [killed, *killed.children()]
    killed.kill()
    wait_until(lambda: all(map(ended, processes)))
    server = EmbeddedPostgres(folder)
    with psycopg.connect(server.dsn("kept")):
        pass
    server.stop()


def test_an_id_that_belongs_to_another_program_now_is_no_server(short_folder: str) -> None:
    folder = Path(short_folder) / "postgres"
    server = EmbeddedPostgres(folder, durable=False)
    record = folder / "postmaster.pid"
    lines = record.read_text().splitlines()
    server.stop()
    record.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert not stop(folder)
    EmbeddedPostgres(folder).stop()
    assert not record.exists()


def test_data_that_were_left_half_made_are_made_anew(short_folder: str) -> None:
    unfinished = Path(short_folder) / "postgres.unfinished-1"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18")
    EmbeddedPostgres(Path(short_folder) / "postgres", durable=False).stop()
    assert not unfinished.exists()
