"""What the panel's first page and each watch read of the queue grows neither with a backfill nor with what was sent."""

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, NullPool, create_engine, text

from tests.integration.test_claim_plan import Plan, nodes, prepare, waiting
from tests.items import DESTINATION, NOW, Items, items_in
from totara_bridge.staging import overview
from totara_bridge.staging.states import State

#: Of each: backfill, sent; and due, failed, held, dead.
_MANY, _MORE = 12_000, 3_000


@pytest.fixture(scope="module")
def filled(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A queue that begins with a large backfill, most of it due; more than a thousand of everything else.

    Another destination has got all of it: nothing waits there.
    """
    with items_in(new_database("overview")) as items:
        items.instances(2 * _MANY + 4 * _MORE)
        items.sql(
            """
            INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                             next_attempt_at, payload, staged_at, queued_at, sent_at, error_class,
                                             held_for, held_at)
            SELECT 'oracle', id, 'completion', 1, record_key, state,
                   CASE WHEN id <= :many THEN 'backfill' ELSE 'fresh' END, :now, repeat('x', 400),
                   :now, :now, CASE WHEN state = 'sent' THEN cast(:now AS timestamptz) END,
                   CASE WHEN state IN ('failed', 'dead') THEN 'refused' END, CASE WHEN state = 'held' THEN 'n' END,
                   CASE WHEN state = 'held' THEN cast(:now AS timestamptz) END
            FROM (SELECT id, record_key, CASE WHEN id <= :many THEN 'queued' WHEN id <= 2 * :many THEN 'sent'
                         ELSE (ARRAY['queued', 'failed', 'held', 'dead'])[1 + id % 4] END AS state
                  FROM bridge.completion_instance) AS each
            """,
            now=NOW,
            many=_MANY,
        )  # fmt: skip
        items.sql(
            """
            INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                             next_attempt_at, payload, staged_at, queued_at, sent_at)
            SELECT 'archive', id, 'completion', 1, record_key, 'sent', 'fresh', :now, repeat('x', 400), :now, :now, :now
            FROM bridge.completion_instance
            """,
            now=NOW,
        )
        with items.staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        yield items


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
def connection(filled: Items, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A new session, in which the driver prepares nothing."""
    engine = create_engine(filled.staging.url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as opened:
        opened.execute(text(f"SET plan_cache_mode = {request.param}"))
        yield opened


def oldest(transaction: Connection) -> None:
    overview.oldest_waiting(transaction, [DESTINATION, "archive"])


def carried_out(connection: Connection, execute: str) -> list[Plan]:
    """The reads of the queue, with what they found."""
    [(found,)] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}").all()
    root = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return [each for each in nodes(root) if each.get("Relation Name") == "export_queue"]


def rows(read: Plan) -> int:
    """How many rows it came upon, those among them that it was to leave out."""
    return int(read["Actual Rows"] + read.get("Rows Removed by Filter", 0)) * int(read["Actual Loops"])


def test_the_oldest_is_looked_for_among_a_thousand_of_each_kind(connection: Connection) -> None:
    reads = carried_out(connection, prepare(connection, oldest))
    assert "Seq Scan" not in {each["Node Type"] for each in reads}, json.dumps(reads, indent=1)
    assert len(reads) == 2 * 7
    assert sum(map(rows, reads)) == 5 * 1000  # due, queued, failed, held and dead; nothing for the archive


def test_what_waits_is_counted_without_the_backfill(connection: Connection) -> None:
    reads = carried_out(connection, prepare(connection, waiting))
    assert sum(map(rows, reads)) == 4 * _MORE, json.dumps(reads, indent=1)


def test_the_oldest_by_number_is_found_behind_many_that_are_due_before_it(filled: Items) -> None:
    with filled.staging.begin() as transaction:
        late = "UPDATE bridge.export_queue SET next_attempt_at = :at, staged_at = :old WHERE id = :id"
        first = transaction.execute(text("SELECT min(id) FROM bridge.export_queue WHERE state = 'failed'")).scalar_one()
        transaction.execute(text(late), {"at": NOW.replace(year=2027), "old": NOW.replace(year=2025), "id": first})
        found = overview.oldest_waiting(transaction, [DESTINATION, "elsewhere"])
        transaction.rollback()
    assert found == {DESTINATION: overview.Oldest(NOW.replace(year=2025), State.FAILED)}
