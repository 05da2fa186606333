"""A PostgreSQL that can crash and comes back at its address, with all that was committed."""

import signal
import time
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from tests.ended import ended
from totara_bridge.local.postgres import EmbeddedPostgres


class CrashingPostgres:
    """The server, and databases in it."""

    def __init__(self, folder: Path) -> None:
        """Start it in the folder, whose path must be short enough for a socket."""
        self._folder = folder
        self.start()
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            # a crash of a program loses nothing without it; what was committed must outlive that, so no more is off
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

    def start(self) -> None:
        """Start it, at the address that it had before."""
        self._server = EmbeddedPostgres(self._folder)

    def crash(self) -> None:
        """End all of its processes at once, whatever they do; the next start recovers."""
        main = psutil.Process(int((self._folder / "postmaster.pid").read_text().split()[0]))
        processes = [main, *main.children()]
        main.send_signal(signal.SIGQUIT)
        while not all(map(ended, processes)):
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it in order."""
        self._server.stop()

    def url(self, name: str) -> str:
        """The address of a database, which is made if it is not there."""
        return self._server.ensure_database(name).replace("postgresql://", "postgresql+psycopg://", 1)

    def copy(self, template: str, name: str) -> str:
        """Make a database that is a copy of another; its address."""
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
            # until then a crash takes the copy's sequences back: PostgreSQL has logged their pages, not their numbers
            connection.execute("CHECKPOINT")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove the database."""
        self._server.drop_database(str(make_url(url).database))
