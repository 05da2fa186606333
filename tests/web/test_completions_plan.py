"""A page costs what is in it, wherever in the feed it is and whatever the planner believes after some time."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, NullPool, create_engine, text

from tests.integration.test_claim_plan import CUSTOM_PLANS, Plan, literal, nodes, plan
from tests.web.staged import START
from totara_bridge.staging import pull, pull_filter
from totara_bridge.staging.engine import driver
from totara_bridge.staging.migrate import migrate
from totara_bridge.staging.pull import EXAMINED, Page
from totara_bridge.staging.pull_filter import COMPLETIONS, CompletionFilter
from totara_bridge.staging.pull_form import Form

COMPLETED = 120_000
LEARNERS = 12_000

_FILL = (
    "INSERT INTO bridge.site VALUES ('sbx', 'totara', 1, :start)",
    """
    INSERT INTO bridge.learner (site, user_id, username, id_number, email, first_name, last_name, suspended, changed_at)
    SELECT 'sbx', n, 'user' || n, 'E-' || n, 'User' || n || '@example.com', 'Ann', 'Name', false, :start
    FROM generate_series(1, :learners) n
    """,
    """
    INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible, changed_at)
    SELECT 'sbx', n, 1, 'C' || n, 'N-' || n, 'Course ' || n, true, :start FROM generate_series(1, 200) n
    """,
    """
    INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, changed_at)
    SELECT 'sbx', 1 + n % :learners, 1 + n / :learners, n, CASE WHEN n % 100 = 0 THEN 'complete' ELSE 'in_progress' END,
           cast(:start AS timestamptz) + n / 100 * interval '1 minute'
    FROM generate_series(0, :completed - 1) n ORDER BY n
    """,
    """
    INSERT INTO bridge.completion_instance (site, user_id, course_id, row_id, status, time_completed,
                                            first_time_completed, ordinal, revision, record_key, after_deletion,
                                            first_seen_at)
    SELECT site, user_id, course_id, row_id, 'complete', :start, :start, 0, 1, 'TB' || lpad(row_id::text, 26, '0'),
           false, :start FROM bridge.completion
    """,
    """
    INSERT INTO bridge.acknowledgement (caller, site, user_id, course_id, change_seq, status, acknowledged_at)
    SELECT caller, site, user_id, course_id, change_seq, 'processed', :start
    FROM bridge.completion, (VALUES ('some', 100), ('all', 1)) asked (caller, share) WHERE row_id % share = 0
    """,
)


@pytest.fixture(scope="module")
def filled(new_database: Callable[[str], str]) -> str:
    """The address of a staging database with that many completions."""
    address = new_database("pull_plan").replace("postgresql://", "postgresql+psycopg://", 1)
    migrate(address)
    engine = create_engine(address, poolclass=NullPool)
    with engine.begin() as transaction:
        for statement in _FILL:
            values = {"start": START, "learners": LEARNERS, "completed": COMPLETED}
            transaction.execute(
                text(statement), {name: value for name, value in values.items() if f":{name}" in statement}
            )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return address


@pytest.fixture
def connection(filled: str) -> Iterator[Connection]:
    """A new session, in which the driver prepares nothing."""
    engine = create_engine(filled, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as opened:
        yield opened


def paged(**asked: object) -> Callable[[Connection], Page]:
    """A page that is far behind, of what is asked for."""
    place = {name: asked.pop(name) for name in ("after", "end", "limit", "form") if name in asked}
    given = {"after": COMPLETED // 2, "limit": 100, "form": Form.JSON} | place
    wanted = pull_filter.wanted(CompletionFilter(**{"caller": "some"} | asked))  # type: ignore[arg-type]

    def verb(connection: Connection) -> Page:
        return pull.page(connection, COMPLETIONS, wanted=wanted, **given)  # type: ignore[arg-type]

    return verb


def one(connection: Connection) -> None:
    pull.one(connection, COMPLETIONS, pull_filter.completion(site="sbx", user_id=5, course_id=3, caller="some"))


def span(connection: Connection) -> None:
    pull.span(connection, COMPLETIONS, after=START + timedelta(hours=9))


LATER = START + timedelta(hours=10)
VERBS = {
    "a page": paged(),
    "the first page": paged(after=0),
    "a large page": paged(limit=5000),
    "lines": paged(form=Form.NDJSON),
    "a piece of a stream": paged(form=Form.CSV, limit=1000, end=COMPLETED - 1),
    "since": paged(after=LATER),
    "until": paged(until=LATER, after=0),
    "site": paged(site="sbx"),
    "status": paged(statuses=["complete"]),
    "course": paged(course_id=7),
    "course number": paged(course_id_number="N-7"),
    "completed": paged(completed_since=LATER),
    "not deleted": paged(deletions=False),
    "acknowledged by few": paged(acknowledged=False),
    "acknowledged": paged(acknowledged=True),
    "not acknowledged by one who does": paged(acknowledged=False, caller="all"),
    "learner": paged(user_id=500),
    "username": paged(username="user500", statuses=["complete"]),
    "email": paged(email="USER500@example.com"),
    "number": paged(id_number="E-500", site="sbx"),
    "one": one,
    "span": span,
}


def prepare(connection: Connection, verb: Callable[[Connection], object]) -> str:
    """Prepare the verb's statement on the server, as the driver sends it; what executes it."""
    sent: list[tuple[str, dict[str, Any]]] = []

    class Recording(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **how: Any) -> "Recording":
            sent.append((query.decode() if isinstance(query, bytes) else str(query), dict(params or {})))
            return super().execute(query, params, **how)

    driver(connection).cursor_factory = Recording
    verb(connection)
    driver(connection).cursor_factory = psycopg.Cursor
    connection.rollback()
    [(statement, values)] = sent
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement)
    connection.exec_driver_sql(f"PREPARE verb AS {numbered.replace('%%', '%')}")
    return f"EXECUTE verb ({', '.join(literal(values[name]) for name in names)})"


#: What a page may be read from end to end, as it is small.
_SMALL = {"site", "course"}


def assert_uses_indexes(found: Plan) -> None:
    """No table of a size that grows is read from end to end."""
    scanned = {each["Relation Name"] for each in nodes(found) if each["Node Type"] == "Seq Scan"}
    assert scanned <= _SMALL, found
    assert not [each for each in nodes(found) if "Hash Join" in each["Node Type"]], found


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
class TestPlan:
    def test_for_known_values(self, connection: Connection, verb: Callable[[Connection], object]) -> None:
        connection.execute(text("SET plan_cache_mode = force_custom_plan"))
        assert_uses_indexes(plan(connection, prepare(connection, verb)))

    def test_for_any_values(self, connection: Connection, verb: Callable[[Connection], object]) -> None:
        connection.execute(text("SET plan_cache_mode = force_generic_plan"))
        assert_uses_indexes(plan(connection, prepare(connection, verb)))

    def test_after_it_ran_often(self, connection: Connection, verb: Callable[[Connection], object]) -> None:
        execute = prepare(connection, verb)
        for _ in range(CUSTOM_PLANS + 1):
            connection.exec_driver_sql(execute)
        assert_uses_indexes(plan(connection, execute))


def test_a_scan_of_all_completions_would_be_noticed(connection: Connection) -> None:
    whole = plan(connection, "SELECT FROM bridge.completion WHERE status = 'complete'")
    with pytest.raises(AssertionError, match="Seq Scan"):
        assert_uses_indexes(whole)


@pytest.mark.parametrize("after", [0, COMPLETED // 2, COMPLETED - 100])
def test_a_page_reads_what_is_in_it(connection: Connection, after: int) -> None:
    execute = prepare(connection, paged(after=after))
    read = analysed(connection, execute)
    assert [each["Actual Rows"] for each in nodes(read) if each.get("Index Name") == "completion_change_seq_key"]
    most = max(each["Actual Rows"] for each in nodes(read) if each["Node Type"].endswith("Scan"))
    assert most <= 100


def test_the_end_of_a_time_is_found_with_few_looks(connection: Connection) -> None:
    looks = [
        each["Actual Loops"]
        for each in nodes(analysed(connection, prepare(connection, span)))
        if each.get("Index Name") == "completion_change_seq_key"
    ]
    assert 10 < max(looks) <= 18  # 2 to the power of 17 is more than there are


def test_a_page_of_which_little_is_wanted_ends_where_it_has_read_enough(connection: Connection) -> None:
    first = paged(course_id=999, after=0)(connection)
    assert (first.count, first.position, first.more) == (0, EXAMINED, True)
    second = paged(course_id=999, after=first.position)(connection)
    assert (second.count, second.position, second.more) == (0, COMPLETED, False)
    assert paged(course_id=999, after=0, end=EXAMINED - 1)(connection).position == EXAMINED - 1


def test_pages_are_right_before_and_after_the_driver_prepares_them(filled: str) -> None:
    engine = create_engine(filled, poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        pages = [paged(after=after, limit=10)(connection) for after in range(0, 300, 10)]
        prepared = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements WHERE generic_plans > 0")
        assert prepared.scalar_one() > 0
    assert [page.position for page in pages] == [*range(10, 310, 10)]


def analysed(connection: Connection, execute: str) -> Plan:
    """What PostgreSQL did."""
    [(found,)] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}").all()
    root = found[0]["Plan"]
    assert isinstance(root, dict)
    return root
