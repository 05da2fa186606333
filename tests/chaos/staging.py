"""A staging database that can crash: 1 000 items to deliver, in a PostgreSQL that comes back at its address."""

import itertools
import signal
import time
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.engine import make_url

from tests.bridge import Bridge
from tests.ended import ended
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.totara import schema as totara_schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging.migrate import migrate

ITEMS = 1000

_FILLED = "filled"
_FRESH = 60


class StagingServer:
    """The server; databases are copied from one whose queue is full."""

    def __init__(self, folder: Path) -> None:
        """Start it and fill a queue, in the folder, whose path must be short enough for a socket."""
        self._folder = folder
        self._numbers = itertools.count(1)
        self.start()
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            # a crash of a program loses nothing without it; what was committed must outlive that, so no more is off
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        self._fill()

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

    def full_queue(self) -> str:
        """Make a database with 1 000 items to deliver; its address."""
        name = f"queue_{next(self._numbers)}"
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(_FILLED))
            )
        return self._url(name)

    def drop(self, url: str) -> None:
        """Remove the database."""
        self._server.drop_database(str(make_url(url).database))

    def _url(self, name: str) -> str:
        return self._server.ensure_database(name).replace("postgresql://", "postgresql+psycopg://", 1)

    def _engine(self, name: str) -> Engine:
        return create_engine(self._url(name), poolclass=NullPool)

    def _fill(self) -> None:
        """Extract and backfill the recorded Totara, complete some more, and keep 1 000 of the items."""
        totara, staging = self._engine("totara"), self._engine(_FILLED)
        totara_schema.create(totara)
        seed(totara)
        migrate(self._url(_FILLED))
        bridge = Bridge(staging, totara)
        bridge.extract()
        bridge.backfill()
        for pair in [bridge.totara.pair_with(status=25, nth=n) for n in range(_FRESH)]:
            bridge.totara.complete(*pair)
        bridge.extract()
        with staging.begin() as transaction:
            transaction.execute(_KEEP, {"items": ITEMS})
        assert bridge.states() == {"queued": ITEMS}


_KEEP = text(
    """
    DELETE FROM bridge.export_queue WHERE id NOT IN (
        SELECT id FROM bridge.export_queue WHERE state = 'queued' ORDER BY id DESC LIMIT :items)
    """
)
