"""A page of a log reads as few rows at its end as at its beginning, and no more than it may where nothing is found."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, text

from tests.integration.test_claim_plan import Plan, nodes, plan, prepare, statements_of
from totara_bridge.staging import audit_page, log_page, request_page
from totara_bridge.staging.log_page import EXAMINED, LogPage, Place
from totara_bridge.staging.migrate import migrate
from totara_bridge.staging.pull_form import Form
from totara_bridge.staging.request_page import REQUESTS, Statuses

START = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = 60_000

_FILL = (
    """
    INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, http_status, outcome)
    SELECT gen_random_uuid(), 'oracle', cast(:start AS timestamptz) + n * interval '1 second', 1, 1, 200, 'sent'
    FROM generate_series(1, :rows) n
    """,
    """
    INSERT INTO bridge.audit_log (at, actor, action, subject, details)
    SELECT cast(:start AS timestamptz) + n * interval '1 second', 'ada', 'setting', 'batch_size', '{}'
    FROM generate_series(1, :rows) n
    """,
)


@pytest.fixture(scope="module")
def filled(new_database: Callable[[str], str]) -> str:
    """The address of a database with that many rows in each log, a second apart."""
    address = new_database("panel_logs").replace("postgresql://", "postgresql+psycopg://", 1)
    migrate(address)
    engine = create_engine(address, poolclass=NullPool)
    with engine.begin() as transaction:
        for statement in _FILL:
            transaction.execute(text(statement), {"start": START, "rows": ROWS})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE bridge.export_log, bridge.audit_log"))
    return address


@pytest.fixture
def connection(filled: str) -> Iterator[Connection]:
    """A session in which the driver prepares nothing."""
    engine = create_engine(filled, poolclass=NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as opened:
        yield opened


def at(second: int) -> datetime:
    """When the row with this number was written."""
    return START + timedelta(seconds=second)


MOST = {"since": at(10), "until": at(ROWS - 10)}
BEHIND = Place(at(1000), 1000)
NEAR = Place(at(ROWS - 10), ROWS - 10)

#: What is asked for, from where on, and how many rows may be read for it.
REQUESTS_ASKED: dict[str, tuple[dict[str, Any], Place | None, int]] = {
    "the newest": ({}, None, 51),
    "far behind": ({}, BEHIND, 51),
    "of a time": (MOST, None, 51),
    "of a time, far behind": (MOST, BEHIND, 51),
    "what all are": ({"destination": "oracle", "statuses": Statuses(hundreds=[2])}, NEAR, 51),
    "what none is": ({"outcomes": ["problem"]}, None, EXAMINED),
    "what none is, of a time": ({"outcomes": ["problem"], **MOST}, NEAR, EXAMINED),
    "what none is, at the end": ({"outcomes": ["problem"]}, BEHIND, 1000),
}
# what is of one moment is sorted by its number: some more are read for that
AUDIT_ASKED: dict[str, tuple[dict[str, Any], Place | None, int]] = {
    "the newest": ({}, None, 96),
    "far behind": (MOST, BEHIND, 96),
    "what all are": ({"actor": "ad", "action": "setting"}, NEAR, 96),
    "what none is": ({"subject": "enabled", **MOST}, NEAR, EXAMINED + 1),
}

Paged = Callable[[Connection], LogPage]


def requests_paged(asked: dict[str, Any], after: Place | None) -> Paged:
    """A page of requests."""
    wanted = request_page.wanted(**asked)
    return lambda connection: log_page.page(connection, REQUESTS, Form.JSON, wanted, after=after, limit=50)


def audit_paged(asked: dict[str, Any], after: Place | None) -> Paged:
    """A page of the audit log."""
    wanted = audit_page.wanted(**asked)
    log = audit_page.FOR_VIEWERS
    return lambda connection: log_page.page(connection, log, Form.CSV, wanted, after=after, limit=50)


ALL = [
    pytest.param(paged(asked, after), index, most, id=f"{log}: {name}")
    for log, paged, index, all_asked in (
        ("requests", requests_paged, "export_log_at_ix", REQUESTS_ASKED),
        ("audit", audit_paged, "audit_log_at_ix", AUDIT_ASKED),
    )
    for name, (asked, after, most) in all_asked.items()
]


@pytest.mark.parametrize(("verb", "index", "most"), ALL)
def test_a_page_reads_few_rows(connection: Connection, verb: Paged, index: str, most: int) -> None:
    for statement, values in statements_of(verb, connection):
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        [(found,)] = connection.exec_driver_sql(explained, values).all()
        assert_reads(found[0]["Plan"], index, most)


@pytest.mark.parametrize(("verb", "index", "most"), ALL)
def test_it_does_so_with_a_plan_that_was_kept(connection: Connection, verb: Paged, index: str, most: int) -> None:
    connection.execute(text("SET plan_cache_mode = force_generic_plan"))
    execute = prepare(connection, verb)
    assert index in {each.get("Index Name") for each in nodes(plan(connection, execute))}
    [(found,)] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}").all()
    assert_reads(found[0]["Plan"], index, most)


def test_a_scan_of_the_whole_log_would_be_noticed(connection: Connection) -> None:
    whole = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM bridge.export_log WHERE outcome = 'problem'"
    [(found,)] = connection.exec_driver_sql(whole).all()
    with pytest.raises(AssertionError):
        assert_reads(found[0]["Plan"], "export_log_at_ix", EXAMINED)


def test_a_page_that_has_read_enough_says_where_to_go_on(connection: Connection) -> None:
    verbs, place = 0, None
    while place is not None or not verbs:
        page = requests_paged({"outcomes": ["problem"]}, place)(connection)
        assert page.rows == []
        place, verbs = page.goes_on, verbs + 1
        assert place == (Place(at(ROWS + 1 - verbs * EXAMINED), ROWS + 1 - verbs * EXAMINED) if verbs <= 3 else None)
    assert verbs == 4


def assert_reads(found: Plan, index: str, most: int) -> None:
    """Through the index alone, and no more rows than that."""
    scans = [each for each in nodes(found) if each.get("Relation Name") in ("export_log", "audit_log")]
    assert [each.get("Index Name") for each in scans] == [index], found
    assert sum(each["Actual Rows"] + each.get("Rows Removed by Filter", 0) for each in scans) <= most, found
