"""What a compare reads does not grow with the square of a site: with little memory to hash in it joins all the same."""

import pytest
from sqlalchemy import Engine, text

from totara_bridge.staging import completion


@pytest.mark.parametrize("whole_site", [True, False])
def test_what_is_missing_is_found_by_a_join_whatever_memory_there_is(staging: Engine, whole_site: bool) -> None:
    with staging.connect() as transaction:
        for table in ("incoming_completion", "read_again", "left_out"):
            transaction.execute(text(f"CREATE TEMPORARY TABLE {table} (user_id bigint, course_id bigint)"))
            transaction.execute(text(f"INSERT INTO {table} SELECT n, n FROM generate_series(1, 20000) n"))
            transaction.execute(text(f"ANALYZE {table}"))
        transaction.execute(text("SET LOCAL work_mem = '64kB'"))
        statement = completion.missing_statement(whole_site=whole_site)
        plan = [str(line) for line in transaction.scalars(text(f"EXPLAIN {statement}"), {"site": "sbx"})]
    assert any("Anti Join" in line for line in plan), plan
    assert not any("(SubPlan" in line for line in plan), plan
