"""However a life is read, now by one source and now by another: each true completion is one instance in the end.

`EXAMPLES=` lets so many lives be lived at random; without it they are always the same.
"""

import os
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.bridge import Bridge
from tests.small_totara import Databases, make
from tests.switched_life import LONG_AGO, PAIRS, SOURCES, Life
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.totara.actions import TotaraActs

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
ACTS = st.tuples(
    st.sampled_from(["complete", "complete", "archive", "archive", "recognise", "edit", "regress", "delete"]),
    st.sampled_from(PAIRS),
    st.sampled_from(LONG_AGO),
)
READS = st.tuples(
    st.sampled_from(["database", "compare", *SOURCES]), st.booleans(), st.sampled_from([1, 3_600, 90_000])
)
STEPS = st.lists(st.one_of(ACTS, READS), min_size=4, max_size=16)


@pytest.fixture(scope="module")
def databases(postgres: EmbeddedPostgres, administrator: psycopg.Connection, staging_template: str) -> Databases:
    """What a life begins with a copy of: a small Totara and an empty staging database."""
    assert staging_template == "staging_template"
    address = postgres.ensure_database("switched_totara").replace("postgresql://", "postgresql+psycopg://", 1)
    copies = Databases(administrator, address.replace("switched_totara", "{}"))
    make(copies.engine("switched_totara"))
    return copies


def test_each_completion_is_one_instance_in_the_end(databases: Databases) -> None:
    numbers = count(1)

    @settings(
        max_examples=EXAMPLES or 8,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],  # as in the other lives: to find a shorter one takes minutes
    )
    @given(first=st.sampled_from(["database", *SOURCES]), steps=STEPS)
    # what was completed since the last read is news, also to a source that only knows the day
    @example(first="yes or no", steps=[("complete", (5, 2), 0), ("day", True, 3_600)])
    def live(first: str, steps: list[tuple[Any, Any, Any]]) -> None:
        number = next(numbers)
        staging = databases.copy("staging_template", f"switched_staging_{number}")
        totara = databases.copy("switched_totara", f"switched_totara_{number}")
        life = Life(Bridge(databases.engine(staging), databases.engine(totara)), None)  # type: ignore[arg-type]
        life.acts = TotaraActs(life.bridge.totara.engine, clock=lambda: life.now)
        try:
            life.read(first, True, 1)
            for step in steps:
                (life.act if isinstance(step[1], tuple) else life.read)(*step)
            life.end()
        finally:
            databases.drop(staging)
            databases.drop(totara)

    live()
