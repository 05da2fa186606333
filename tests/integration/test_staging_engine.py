"""Connections to staging are the same whatever the server's own settings are."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.bridge import Bridge
from totara_bridge.staging.engine import as_sent, asked, driver, in_driver, staging_engine


@pytest.fixture
def east(staging: Engine) -> Iterator[Engine]:
    """A staging database whose server is far east of UTC, used as the product uses it."""
    with staging.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {staging.url.database} SET timezone = 'Pacific/Auckland'"))
    staging.dispose()
    engine = staging_engine(staging.url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


def test_the_last_moment_that_there_is_stops_nothing_east_of_utc(east: Engine, totara: Engine) -> None:
    bridge = Bridge(east, totara)
    bridge.extract()
    bridge.later(minutes=1)
    for at in (253_402_300_799, 1_600_000_000):
        bridge.totara.complete(*bridge.totara.pair_with(status=25), at=at)
    assert bridge.extract().queued == 2
    rows = bridge.rows("SELECT payload::json ->> 'timecompleted' AS time FROM bridge.export_queue ORDER BY 1")
    assert [row["time"] for row in rows] == ["2020-09-13T12:26:40Z", "9999-12-31T23:59:59Z"]


def test_options_of_the_address_are_kept(east: Engine) -> None:
    engine = staging_engine(
        east.url.update_query_dict({"options": "-c search_path=bridge"}).render_as_string(hide_password=False)
    )
    with engine.connect() as connection:
        found = [connection.execute(text(f"SHOW {name}")).scalar_one() for name in ("search_path", "timezone")]
    engine.dispose()
    assert found == ["bridge", "UTC"]


def test_the_driver_is_asked_with_values_by_name_and_gives_bytes_as_they_came(staging: Engine) -> None:
    statement = in_driver(text("SELECT :word || '% ü', cast(:number AS bigint), NULL, 'a' LIKE 'a%'"))
    with staging.connect() as connection:
        with asked(connection, statement, {"word": "é", "number": 7}) as cursor:
            assert as_sent(cursor) == ["é% ü".encode(), b"7", b"", b"t"]
        with asked(connection, statement, {"word": "é", "number": 7}) as cursor:
            assert cursor.fetchone() == ("é% ü", 7, None, True)


def test_bytes_are_utf_8_whatever_the_environment_says(staging: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    engine = staging_engine(staging.url.render_as_string(hide_password=False))
    with engine.connect() as connection, asked(connection, "SELECT 'ü'", {}) as cursor:
        assert as_sent(cursor) == ["ü".encode()]
    engine.dispose()


def test_what_the_driver_refuses_is_told_as_sqlalchemy_does_and_without_the_values(staging: Engine) -> None:
    statement = in_driver(text("SELECT cast(:word AS text) FROM bridge.nowhere"))
    with staging.connect() as connection:
        with pytest.raises(DBAPIError, match="nowhere") as refused, asked(connection, statement, {"word": "Quist"}):
            pass
        assert "Quist" not in str(refused.value)
        assert not refused.value.connection_invalidated
        assert not connection.invalidated


def test_a_statement_that_takes_too_long_is_cancelled_where_that_is_wanted(staging: Engine) -> None:
    address = staging.url.render_as_string(hide_password=False)
    # long enough for what SQLAlchemy asks first of any connection
    hasty, patient = staging_engine(address, statement_timeout=timedelta(seconds=1)), staging_engine(address)
    with hasty.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(20)"))
    with patient.connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "0"
    hasty.dispose()
    patient.dispose()


@pytest.mark.parametrize("timeout", [None, timedelta(seconds=20)])
def test_a_host_that_vanishes_is_not_waited_for_for_ever(staging: Engine, timeout: timedelta | None) -> None:
    with _over_tcp(str(staging.url.query["host"])) as port:
        url = f"postgresql+psycopg://{staging.url.username}@127.0.0.1:{port}/{staging.url.database}"
        engine = staging_engine(url, statement_timeout=timeout)
        try:
            with engine.connect() as connection, socket.socket(fileno=os.dup(driver(connection).fileno())) as used:
                found = {name: used.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in _TCP}
                kept_alive = used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        finally:
            engine.dispose()
    taken_within = 0 if timeout is None else 30_000  # a bulk load waits for a server that is too busy to read
    assert (found, bool(kept_alive)) == (_TCP | {"TCP_USER_TIMEOUT": taken_within}, True)


#: Milliseconds, seconds, seconds, times.
_TCP = {"TCP_USER_TIMEOUT": 0, "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


@contextmanager
def _over_tcp(folder: str) -> Iterator[int]:
    """The port of one TCP connection to the server whose Unix socket is in the folder."""

    def pass_on() -> None:
        near, _ = listening.accept()
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(f"{folder}/.s.PGSQL.5432")
            back = threading.Thread(target=_pump, args=(far, near))
            back.start()
            _pump(near, far)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        passing = threading.Thread(target=pass_on)
        passing.start()
        yield listening.getsockname()[1]
        passing.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    while part := source.recv(65536):
        sink.sendall(part)
    sink.shutdown(socket.SHUT_WR)


def test_a_connection_that_is_lost_while_the_driver_is_asked_is_used_no_more(staging: Engine) -> None:
    engine = staging_engine(staging.url.render_as_string(hide_password=False), connections=1)
    with engine.connect() as connection:
        with asked(connection, "SELECT pg_backend_pid()", {}) as cursor:
            [process] = as_sent(cursor)
        with staging.begin() as other:
            other.execute(text("SELECT pg_terminate_backend(:process, 10000)"), {"process": int(process)})
        with pytest.raises(OperationalError) as lost, asked(connection, "SELECT 1", {}):
            pass
        assert lost.value.connection_invalidated
    with engine.connect() as connection, asked(connection, "SELECT 1", {}) as cursor:
        assert as_sent(cursor) == [b"1"]
    engine.dispose()
