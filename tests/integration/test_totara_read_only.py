"""Nothing is ever written to Totara's database: by what an account may do, and by what the bridge asks for itself."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import URL, Engine, NullPool, create_engine

from tests.bridge import Bridge
from tests.reconciled import reconcile
from totara_bridge.errors import BridgeError
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.totara.check import check
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource

#: Instead of the page's name, which others may have given to somebody on the same server.
_READER = "only_reader"

CONNECTIONS = Path(__file__).parents[2] / "docs" / "connections.md"

#: Reading the table of courses from now on writes: only a server that is told to refuses it.
WRITES_WHEN_READ = {
    "postgresql": (
        "CREATE TABLE written (id bigint)",
        "ALTER TABLE ttr_course RENAME TO course_itself",
        """CREATE FUNCTION writing() RETURNS integer LANGUAGE plpgsql AS $$
           BEGIN INSERT INTO written VALUES (1); RETURN 1; END $$""",
        "CREATE VIEW ttr_course AS SELECT * FROM course_itself WHERE writing() = 1",
    ),
    "mysql": (
        "CREATE TABLE written (id bigint)",
        "RENAME TABLE ttr_course TO course_itself",
        """CREATE FUNCTION writing() RETURNS integer MODIFIES SQL DATA
           BEGIN INSERT INTO written VALUES (1); RETURN 1; END""",
        "CREATE VIEW ttr_course AS SELECT * FROM course_itself WHERE writing() = 1",
    ),
}


@pytest.fixture(params=["tcp_postgres", "mariadb"])
def totara(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A sandbox Totara with the captured rows, for an account that may do everything."""
    address: URL = request.getfixturevalue(request.param)
    server = create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE only_read"))
    engine = create_engine(address.set(database="only_read"), poolclass=NullPool)
    schema.create(engine)
    seed(engine)
    yield engine
    with server.connect() as connection:
        connection.execute(sa.text("DROP DATABASE only_read"))


def test_what_would_write_is_refused_whatever_the_account_may(totara: Engine) -> None:
    connection = TotaraConnection(url=totara.url, table_prefix="ttr_")
    check(connection)
    with totara.connect().execution_options(isolation_level="AUTOCOMMIT") as almighty:
        for statement in WRITES_WHEN_READ[totara.dialect.name]:
            almighty.execute(sa.text(statement))
        almighty.execute(sa.text("SELECT id FROM ttr_course")).all()
        written = almighty.execute(sa.text("SELECT count(*) FROM written")).scalar_one()
        assert written > 0  # the trap works
        with pytest.raises(BridgeError, match=re.compile("read.only", re.I)):
            check(connection)
        with (
            pytest.raises(BridgeError, match=re.compile("read.only", re.I)),
            DatabaseSource(connection).snapshot() as snapshot,
        ):
            list(snapshot.courses(None))
        assert almighty.execute(sa.text("SELECT count(*) FROM written")).scalar_one() == written


def test_the_documented_grants_suffice_and_give_no_more_than_reading(totara: Engine, staging: Engine) -> None:
    dialect = {"postgresql": "PostgreSQL", "mysql": "MySQL"}[totara.dialect.name]
    statements = documented(dialect)
    assert len(statements) >= 3
    with totara.connect().execution_options(isolation_level="AUTOCOMMIT") as almighty:
        for statement in statements:
            here = statement.replace("totara.ttr", "only_read.ttr").replace("totara_bridge", _READER)
            almighty.execute(sa.text(here))
    reader = totara.url.set(username=_READER, password="choose-one")
    bridge = Bridge(staging, totara)
    bridge.connection = replace(bridge.connection, url=reader)
    try:
        check(bridge.connection)
        assert bridge.extract().instances.new > 0
        bridge.totara.complete(*bridge.totara.pair_with(status=25))
        assert bridge.extract().instances.new == 1
        assert bridge.full_compare().read > 0
        assert reconcile(bridge).found.differences == 0
        engine = create_engine(reader, poolclass=NullPool)
        for refused in (
            "SELECT password FROM ttr_user",
            "SELECT value FROM ttr_config",
            "UPDATE ttr_course_completions SET status = 50",
            "DELETE FROM ttr_course_completions",
            "CREATE TABLE mine (id bigint)",
        ):
            with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match=r"denied|permission"):
                connection.execute(sa.text(refused))
    finally:
        with totara.connect().execution_options(isolation_level="AUTOCOMMIT") as almighty:
            if totara.dialect.name == "postgresql":
                almighty.execute(sa.text(f"DROP OWNED BY {_READER}"))
            almighty.execute(sa.text(f"DROP {'ROLE' if totara.dialect.name == 'postgresql' else 'USER'} {_READER}"))


def documented(dialect: str) -> list[str]:
    """The statements that the page shows for a server."""
    section = CONNECTIONS.read_text().split("### A role that can only read")[1].split("\n## ")[0]
    after = section[section.index(f"\n{dialect}") :]
    block = after.split("```sql\n")[1].split("```")[0]
    return [each.strip() for each in block.split(";") if each.strip()]
