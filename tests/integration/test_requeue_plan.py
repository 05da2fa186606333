"""Selecting items reads the partial indexes: what it costs grows with what is selected, not with what was ever sent."""

import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, NullPool, create_engine, text

from tests.integration.test_claim_plan import Plan, nodes, plan, prepare
from tests.items import NOW, Items, items_in
from totara_bridge.route import Route
from totara_bridge.staging import selection
from totara_bridge.staging.error_group import error_groups
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.staging.states import Kind, Lane, State

#: One item in so many is not sent, of those one in six in each state.
RARE = 100

Read = Callable[[Connection], object]


@pytest.fixture(scope="module")
def filled(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A queue of 100 000 items, a hundredth of them not sent."""
    with items_in(new_database("requeue_plan")) as items:
        items.instances(100_000)
        items.sql(
            """
            INSERT INTO bridge.learner (site, user_id, username, id_number, email, first_name, last_name, suspended,
                                        changed_at)
            SELECT 'sbx', user_id, 'learner' || user_id, '', '', '', '', false, :now FROM bridge.completion_instance
            """,
            now=NOW,
        )
        items.sql(
            """
            INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                             next_attempt_at, payload, staged_at, queued_at, sent_at, error_class,
                                             cancelled_by, held_for, held_at, shadowed_at)
            SELECT 'oracle', id, 'completion', 1, record_key, state, 'fresh', :now, repeat('x', 400), :now, :now,
                   CASE WHEN state = 'sent' THEN cast(:now AS timestamptz) END,
                   CASE WHEN state IN ('failed', 'dead') THEN 'refused' END,
                   CASE WHEN state = 'cancelled' THEN 'ann' END, CASE WHEN state = 'held' THEN 'learner_number' END,
                   CASE WHEN state = 'held' THEN cast(:now AS timestamptz) END,
                   CASE WHEN state = 'failed' AND id % 800 = 100 THEN cast(:now AS timestamptz) END
            FROM (SELECT id, record_key, CASE WHEN id % :rare = 0
                         THEN (ARRAY['queued', 'failed', 'dead', 'cancelled', 'held', 'dead'])[1 + id / :rare % 6]
                         ELSE 'sent' END AS state
                  FROM bridge.completion_instance) AS each
            """,
            now=NOW,
            rare=RARE,
        )
        with items.staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        yield items


@pytest.fixture
def connection(filled: Items) -> Iterator[Connection]:
    """A new session, in which the driver prepares nothing."""
    engine = create_engine(filled.staging.url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as opened:
        yield opened


def asked_for(states: tuple[State, ...], **narrowed: object) -> Selection:
    return Selection(states=states, **narrowed)  # type: ignore[arg-type]


ALL = (State.FAILED, State.DEAD, State.CANCELLED, State.HELD)
LEARNERS = Route(learners=("learner1?",))
SELECTIONS = [
    *(asked_for((state,)) for state in State if state not in (State.SENT, State.SENDING)),
    asked_for(ALL),
    asked_for(ALL, destinations=["oracle"]),
    asked_for(ALL, lanes=[Lane.FRESH]),
    asked_for(ALL, route=LEARNERS, error_class="refused", queued_until=NOW),
    asked_for(ALL, learner="learner1", course="safety*", key="TB*", kinds=[Kind.COMPLETION]),
    asked_for(ALL, learner="learner1*"),
    asked_for(ALL, ids=[*range(1, 10_000, 10)]),
]


def ids(asked: Selection) -> Read:
    return lambda transaction: selection.ids(transaction, asked, Action.REQUEUE, after=0, limit=2_000)


def groups(asked: Selection) -> Read:
    return lambda transaction: selection.groups(transaction, asked, Action.REQUEUE)


def assert_never_reads_all(found: Plan) -> None:
    """The queue is read by an index that has no sent items, or by ids; the instances by their ids."""
    words = json.dumps(found, indent=1)
    read = [each for each in nodes(found) if each.get("Relation Name") in ("export_queue", "completion_instance")]
    assert "export_queue" in {each["Relation Name"] for each in read}, words
    assert "Seq Scan" not in {each["Node Type"] for each in read}, words
    for each in (node for node in nodes(found) if "Index Name" in node):
        if each["Index Name"] in ("export_queue_pk", "completion_instance_pk"):
            assert "id = " in each.get("Index Cond", ""), words


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("read", [ids, groups])
@pytest.mark.parametrize("asked", SELECTIONS)
def test_what_was_sent_is_not_read(
    connection: Connection, asked: Selection, read: Callable[[Selection], Read], mode: str
) -> None:
    connection.execute(text(f"SET plan_cache_mode = {mode}"))
    assert_never_reads_all(plan(connection, prepare(connection, read(asked))))


def test_nor_is_it_for_the_kinds_of_errors(connection: Connection) -> None:
    assert_never_reads_all(plan(connection, prepare(connection, error_groups)))


def test_reading_all_would_be_noticed(connection: Connection) -> None:
    with pytest.raises(AssertionError, match="Seq Scan"):
        assert_never_reads_all(plan(connection, "SELECT FROM bridge.export_queue WHERE payload = ''"))
    walked = "SELECT FROM bridge.export_queue WHERE state <> 'x' AND id > 0 ORDER BY id LIMIT 10"
    with pytest.raises(AssertionError, match="export_queue_pk"):
        assert_never_reads_all(plan(connection, walked))
