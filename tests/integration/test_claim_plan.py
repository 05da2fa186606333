"""What runs for every batch, and at every watch, reads the partial indexes, however large the queue has grown."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, NullPool, create_engine, event, text

from tests.items import DESTINATION, LEASE, NOW, Items, a_failure, items_in
from totara_bridge.staging import delivery, lease, promise

#: The items of a batch.
SOME = range(20, 2_020, 20)

#: How often a prepared statement runs before PostgreSQL considers a generic plan for it.
CUSTOM_PLANS = 5

Plan = dict[str, Any]


@pytest.fixture(scope="module", params=[3_000, 50_000])
def filled(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> Iterator[Items]:
    """A queue of that many items: 19 of 20 sent, the rest due in all lanes, and a few in flight."""
    with items_in(new_database("plan")) as items:
        items.instances(request.param)
        items.sql(
            """
            INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                             next_attempt_at, payload, staged_at, queued_at, sent_at)
            SELECT 'oracle', id, 'completion', 1, record_key, CASE WHEN id % 20 = 0 THEN 'queued' ELSE 'sent' END,
                   (ARRAY['fresh', 'retry', 'backfill'])[1 + id / 20 % 3], :now, repeat('x', 400), :now, :now,
                   CASE WHEN id % 20 <> 0 THEN cast(:now AS timestamptz) END
            FROM bridge.completion_instance
            """,
            now=NOW,
        )
        items.claim(10)
        with items.staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE bridge.export_queue"))
        yield items


@pytest.fixture
def connection(filled: Items) -> Iterator[Connection]:
    """A new session, in which the driver prepares nothing: at a ROLLBACK it would drop what the test prepared."""
    engine = create_engine(filled.staging.url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as opened:
        yield opened


def claim(transaction: Connection) -> None:
    lease.claim(transaction, destination=DESTINATION, token=uuid4(), limit=100, now=NOW, lease_until=NOW + LEASE)


def release_expired(transaction: Connection) -> None:
    lease.release_expired(transaction, destination=DESTINATION, now=NOW + LEASE + timedelta(seconds=1))


def extend(transaction: Connection) -> None:
    lease.extend(transaction, [uuid4(), uuid4()], lease_until=NOW + LEASE)


def acknowledge(transaction: Connection) -> None:
    delivery.acknowledge(transaction, uuid4(), dict.fromkeys(SOME, "R"), log_id=1, now=NOW)


def retry(transaction: Connection) -> None:
    failures = [a_failure(each, error_words="broken") for each in SOME]
    delivery.retry(transaction, uuid4(), failures, log_id=1, now=NOW)


def note(transaction: Connection) -> None:
    delivery.note(transaction, uuid4(), SOME, verb="split", words="large", log_id=1, now=NOW)


def show(transaction: Connection) -> None:
    lease.show(transaction, destination=DESTINATION, limit=100, now=NOW)


def forget_shown(transaction: Connection) -> None:
    lease.forget_shown(transaction, destination=DESTINATION)


def waiting(transaction: Connection) -> None:
    promise.waiting(transaction, DESTINATION, late_before=NOW)


Verb = Callable[[Connection], object]
INDEXES: Sequence[tuple[Verb, str]] = [
    (claim, "export_queue_due_ix"),
    (release_expired, "export_queue_lease_ix"),
    (extend, "export_queue_lease_ix"),
    (acknowledge, "export_queue_pk"),
    (retry, "export_queue_lease_ix"),
    (note, "export_queue_pk"),
    (show, "export_queue_due_ix"),
    (forget_shown, "export_queue_shadowed_ix"),
    *((waiting, f"export_queue_{name}_ix") for name in ("due", "shadowed", "lease", "held", "stopped")),
]


def statements_of(verb: Verb, connection: Connection) -> list[tuple[str, dict[str, Any]]]:
    """What the driver gets: each statement and its values."""
    caught: list[tuple[str, dict[str, Any]]] = []

    def catch(_: object, __: object, statement: str, values: dict[str, Any], *___: object) -> None:
        caught.append((statement, values))

    event.listen(connection, "before_cursor_execute", catch)
    verb(connection)
    event.remove(connection, "before_cursor_execute", catch)
    connection.rollback()
    return caught


def sent_by(verb: Verb, connection: Connection) -> tuple[str, dict[str, Any]]:
    """The statement, as the driver gets it, and its values."""
    return statements_of(verb, connection)[0]


def prepare(connection: Connection, verb: Verb) -> str:
    """Prepare the verb's statement on the server; what executes it."""
    statement, values = sent_by(verb, connection)
    names = list(values)
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement)
    connection.exec_driver_sql(f"PREPARE verb AS {numbered}")
    literals = ", ".join(literal(value) for value in values.values())
    return f"EXECUTE verb ({literals})" if literals else "EXECUTE verb"


def literal(value: object) -> str:
    """A value as SQL."""
    if isinstance(value, list):
        return "'{" + ",".join("NULL" if each is None else str(each) for each in value) + "}'"
    return f"'{value}'"


def plan(connection: Connection, execute: str) -> Plan:
    """What PostgreSQL would do."""
    [(found,)] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {execute}").all()
    root = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    assert isinstance(root, dict)
    return root


def nodes(root: Plan) -> Iterator[Plan]:
    """Each node of a plan."""
    yield root
    for child in root.get("Plans", ()):
        yield from nodes(child)


def assert_uses(found: Plan, index: str) -> None:
    """The index is read, and the queue is never read from end to end."""
    scans = [
        each for each in nodes(found) if each.get("Relation Name") == "export_queue" and "Scan" in each["Node Type"]
    ]
    words = json.dumps(found, indent=1)
    assert scans, words
    assert "Seq Scan" not in {each["Node Type"] for each in scans}, words
    assert index in {each.get("Index Name") for each in nodes(found)}, words


@pytest.mark.parametrize(("verb", "index"), INDEXES, ids=lambda value: getattr(value, "__name__", None))
class TestPlan:
    def test_for_known_values(self, connection: Connection, verb: Verb, index: str) -> None:
        connection.execute(text("SET plan_cache_mode = force_custom_plan"))
        assert_uses(plan(connection, prepare(connection, verb)), index)

    def test_for_any_values(self, connection: Connection, verb: Verb, index: str) -> None:
        connection.execute(text("SET plan_cache_mode = force_generic_plan"))
        assert_uses(plan(connection, prepare(connection, verb)), index)

    def test_after_it_ran_often(self, connection: Connection, verb: Verb, index: str) -> None:
        execute = prepare(connection, verb)
        for _ in range(CUSTOM_PLANS + 1):
            with connection.begin_nested() as undone:
                connection.exec_driver_sql(execute)
                undone.rollback()
        assert_uses(plan(connection, execute), index)


def test_a_scan_of_the_whole_queue_would_be_noticed(connection: Connection) -> None:
    whole = plan(connection, "SELECT FROM bridge.export_queue WHERE payload = ''")
    with pytest.raises(AssertionError, match="Seq Scan"):
        assert_uses(whole, "export_queue_due_ix")
