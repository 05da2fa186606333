"""A staging database that can crash: 1 000 items to deliver, in a PostgreSQL that comes back at its address."""

import itertools
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, text

from tests.bridge import Bridge
from tests.crashing import CrashingPostgres
from totara_bridge.sandbox.totara import schema as totara_schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging.migrate import migrate

ITEMS = 1000

_FILLED = "filled"
_FRESH = 60


class StagingServer(CrashingPostgres):
    """The server; databases are copied from one whose queue is full."""

    def __init__(self, folder: Path) -> None:
        """Start it and fill a queue, in the folder, whose path must be short enough for a socket."""
        super().__init__(folder)
        self._numbers = itertools.count(1)
        self._fill()

    def full_queue(self) -> str:
        """Make a database with 1 000 items to deliver; its address."""
        return self.copy(_FILLED, f"queue_{next(self._numbers)}")

    def _engine(self, name: str) -> Engine:
        return create_engine(self.url(name), poolclass=NullPool)

    def _fill(self) -> None:
        """Extract and backfill the recorded Totara, complete some more, and keep 1 000 of the items."""
        totara, staging = self._engine("totara"), self._engine(_FILLED)
        totara_schema.create(totara)
        seed(totara)
        migrate(self.url(_FILLED))
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
