"""From a Totara to Oracle: what is expected is counted by SQL on the Totara's own tables."""

import secrets

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

from tests.bridge import Bridge
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.generate import generate

EXPECTED = """
    WITH complete AS (
        SELECT userid FROM ttr_course_completions WHERE coalesce(timecompleted, 0) <> 0
        UNION ALL
        SELECT userid FROM ttr_course_completion_history WHERE coalesce(timecompleted, 0) <> 0
    )
    SELECT (SELECT count(*) FROM ttr_course_completions) AS completions,
           (SELECT count(*) FROM ttr_course_completion_history) AS archived,
           count(*) FILTER (WHERE u.deleted = 0) AS sent,
           count(*) FILTER (WHERE u.deleted = 1) AS withheld
    FROM complete c JOIN ttr_user u ON u.id = c.userid
"""


@pytest.fixture
def generated(postgres: EmbeddedPostgres) -> Engine:
    """A sandbox Totara of 5 000 completions that nobody has seen before."""
    seed = secrets.randbelow(10**9)
    print(f"random seed {seed}")  # noqa: T201  pytest shows it when the test fails
    url = postgres.ensure_database(f"generated_{seed}").replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url, poolclass=NullPool)
    schema.create(engine)
    generate(engine, 5_000, seed)
    return engine


@pytest.mark.parametrize("which", ["totara", "generated"])
def test_everything_arrives_once(
    which: str, staging: Engine, oracle: SandboxOracle, request: pytest.FixtureRequest
) -> None:
    totara: Engine = request.getfixturevalue(which)
    with totara.connect() as connection:
        expected = connection.execute(text(EXPECTED)).one()
    bridge = Bridge(staging, totara)
    first = bridge.extract()
    archived = bridge.rows("SELECT count(*) AS n FROM bridge.completion_instance WHERE archived_at IS NOT NULL")[0]["n"]
    assert (first.completions.created, archived) == (expected.completions, expected.archived)
    assert (first.instances.withheld, first.queued) == (expected.withheld, 0)
    assert bridge.backfill().queued == expected.sent
    assert bridge.push(oracle).sent == expected.sent
    keys = oracle.stored_keys()
    assert len(keys) == len(set(keys)) == expected.sent
    bridge.later(minutes=1)
    assert not bridge.extract().changed
    assert bridge.push(oracle).requests == 0
    assert set(oracle.times_received().values()) == {1}
