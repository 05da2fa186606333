"""The staging database that is pulled from: a generated site as an extract has staged it, and a token for it."""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from benchmarks import bridge
from benchmarks.server import Server
from totara_bridge import api_token
from totara_bridge.staging import setting
from totara_bridge.staging.engine import staging_engine

#: Who pulls.
CALLER = "benchmark"


@dataclass(frozen=True)
class Pulled:
    """A database that is pulled from."""

    database: str
    completions: int
    token: str

    def url(self, server: Server) -> str:
        """Its address, as ``TOTARA_BRIDGE_DATABASE_URL`` has it."""
        return server.url(self.database).render_as_string()


def staged(server: Server, completions: int) -> Pulled:
    """A site of that size, staged and settled; one completion of fifty was acknowledged, and no limit holds."""
    staging = f"staging_{completions}"
    if not server.has(staging):
        server.copy(server.staging(), staging)
        bridge.extract(server, totara=server.totara(completions), staging=staging, full_compare=True)
    database = server.copy(staging, f"pull_{completions}")
    with server.engine(database).begin() as connection:
        connection.execute(_ACKNOWLEDGE, {"caller": CALLER})
        number = connection.execute(sa.text("SELECT count(*) FROM bridge.completion")).scalar_one()
    token = let_in(server, database)
    server.settle(database)
    return Pulled(database, number, token)


def let_in(server: Server, database: str) -> str:
    """A token for the database, with which as many requests may be made as can be."""
    engine, now = staging_engine(server.url(database).render_as_string()), datetime.now(UTC)
    with engine.begin() as transaction:
        setting.write(transaction, name="pull_per_minute", value=10_000_000, by="benchmark", now=now)
        token = api_token.issue(transaction, caller=CALLER, by="benchmark", now=now).token
    engine.dispose()
    return token


def position(server: Server, pulled: Pulled, skipped: int) -> int:
    """Where so many completions are behind; what comes after is pulled."""
    with server.engine(pulled.database).connect() as connection:
        return int(connection.execute(_AFTER, {"skipped": skipped}).scalar_one())


_ACKNOWLEDGE = sa.text(
    """
    INSERT INTO bridge.acknowledgement (caller, site, user_id, course_id, change_seq, status, reference,
                                        acknowledged_at)
    SELECT :caller, site, user_id, course_id, change_seq, 'processed', 'R-' || row_id, now()
    FROM bridge.completion WHERE row_id % 50 = 0
    """
)
_AFTER = sa.text(
    """
    SELECT coalesce(max(change_seq), 0)
    FROM (SELECT change_seq FROM bridge.completion ORDER BY change_seq LIMIT :skipped) AS skipped
    """
)
