"""Debian's PostgreSQL 15 as production has one: over TCP on loopback, every role with a password, nobody trusted."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.free_port import free_port
from tests.short_lived import new_folder

#: Where Debian's package postgresql-15 puts its programs.
PROGRAMS = Path("/usr/lib/postgresql/15/bin")

#: For tests that need it.
NEEDS_DEBIAN_POSTGRES = pytest.mark.skipif(
    not (PROGRAMS / "initdb").is_file(), reason="PostgreSQL 15 is not installed (Debian package postgresql-15)"
)

SUPERUSER = "postgres"


class DebianPostgres:
    """A server that keeps its data in a folder; `start` and `stop` as often as a test wants."""

    def __init__(self, folder: Path, port: int, password: str) -> None:
        """Make its data; it does not run yet.

        :param folder: an empty one with a short path.
        :param password: of the superuser, `SUPERUSER`.
        """
        self.folder = folder
        self.port = port
        self.log = folder / "log"
        self._password = password
        self._account = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        secret = folder / "password"
        secret.write_text(password)
        if self._account is not None:
            for each in (folder, secret):
                shutil.chown(each, self._account)
        self._run(
            "initdb", f"--username={SUPERUSER}", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8",
            "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        secret.unlink()

    def start(self, **settings: str) -> None:
        """Start it; returns once it takes connections.

        :param settings: of the server, such as ``max_connections="200"``, for this time.
        """
        there = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}='{value}'" for name, value in (there | {"fsync": "off"} | settings).items())
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self.log), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; its data stay.

        :param mode: ``fast`` sends whoever is connected away, ``immediate`` is like a crash of the server.
        """
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def running(self) -> bool:
        """Whether it runs."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def url(self, database: str = "postgres", role: str = SUPERUSER, password: str | None = None) -> URL:
        """The address of a database for a role, as SQLAlchemy and the bridge take it.

        :param password: none: that of the superuser.
        """
        secret = self._password if password is None else password
        return URL.create("postgresql+psycopg", role, secret, "127.0.0.1", self.port, database)

    def environment(self) -> Mapping[str, str]:
        """What PostgreSQL's own programs need to be its superuser, in the environment of whoever runs them."""
        return {
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": SUPERUSER,
            "PGPASSWORD": self._password,
        }

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [PROGRAMS / program, "-D", self.folder / "data", *arguments],
            check=True, user=self._account, cwd=self.folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip


@contextmanager
def debian_postgres(password: str, **settings: str) -> Iterator[DebianPostgres]:
    """A server that runs, and is gone with its data afterwards.

    :param password: of its superuser.
    :param settings: of the server.
    """
    folder = new_folder("tbp")
    try:
        server = DebianPostgres(folder, free_port(), password)
        server.start(**settings)
        try:
            yield server
        finally:
            if server.running():
                server.stop("immediate")
    finally:
        shutil.rmtree(folder)
