"""The staging database itself refuses what may not be, whoever writes it: each constraint is broken by plain SQL."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import IntegrityError

from tests.items import Items
from totara_bridge.staging.migrate import migrate
from totara_bridge.staging.schema import Table
from totara_bridge.staging.schema.counted import DeliveryHourRow
from totara_bridge.staging.schema.delivered import (
    BaselineRow,
    DeliveryRow,
    DestinationStateRow,
    ExportLogRow,
    ItemEventRow,
    ItemRow,
    KeptBodyRow,
    MappingRow,
    PayloadTemplateRow,
)
from totara_bridge.staging.schema.extracted import AudienceMemberRow, InstanceRow

GUARDED: tuple[type[Table], ...] = (
    InstanceRow,
    ItemRow,
    ItemEventRow,
    DeliveryRow,
    DeliveryHourRow,
    DestinationStateRow,
    ExportLogRow,
    BaselineRow,
    KeptBodyRow,
    PayloadTemplateRow,
    MappingRow,
    AudienceMemberRow,
)


def _update(assignments: str, state: str = "queued") -> str:
    return f"UPDATE bridge.export_queue SET {assignments} WHERE state = '{state}'"


def _instance(assignments: str) -> str:
    return f"UPDATE bridge.completion_instance SET {assignments} WHERE user_id = 1"


def _again(table: str, **changes: str) -> str:
    """Insert a copy of a row; what is not changed is as it was, but the id."""
    columns = [column.name for column in Table.metadata.tables[f"bridge.{table}"].columns]
    values = {name: name for name in columns if name != "id"} | changes
    return (
        f"INSERT INTO bridge.{table} ({', '.join(values)}) "
        f"SELECT {', '.join(values.values())} FROM (SELECT * FROM bridge.{table} ORDER BY 1, 2 LIMIT 1) one"
    )


_KEY = "'TB' || repeat('A', {})"
#: A copy of the first instance that is another one: archived, and with a key of its own.
_ARCHIVED = {"history_id": "9", "archived_at": "now()", "record_key": _KEY.format(26), "ordinal": "1"}

BREAKS = [
    ("export_queue_state_check", _update("state = 'lost'")),
    ("export_queue_kind_check", _update("kind = 'note'")),
    ("export_queue_lane_check", _update("lane = 'express'")),
    ("export_queue_claimed_when_sending_check", _update("claim_token = NULL", "sending")),
    ("export_queue_claimed_when_sending_check", _update("claim_token = gen_random_uuid()")),
    ("export_queue_leased_when_sending_check", _update("lease_until = NULL", "sending")),
    ("export_queue_leased_when_sending_check", _update("lease_until = now()")),
    ("export_queue_comes_from_when_sending_check", _update("claimed_from = NULL", "sending")),
    ("export_queue_comes_from_when_sending_check", _update("claimed_from = 'queued'")),
    ("export_queue_dated_when_sending_check", _update("claimed_at = NULL", "sending")),
    ("export_queue_dated_when_sending_check", _update("claimed_at = now()")),
    ("export_queue_comes_from_check", _update("claimed_from = 'dead'", "sending")),
    ("export_queue_dated_when_sent_check", _update("sent_at = NULL", "sent")),
    ("export_queue_dated_when_sent_check", _update("sent_at = now()")),
    ("export_queue_error_when_failed_check", _update("state = 'failed'")),
    ("export_queue_error_when_failed_check", _update("state = 'dead'")),
    ("export_queue_reason_when_held_check", _update("state = 'held', held_at = now()")),
    ("export_queue_reason_when_held_check", _update("held_for = 'no course'")),
    ("export_queue_dated_when_held_check", _update("state = 'held', held_for = 'no course'")),
    ("export_queue_dated_when_held_check", _update("held_at = now()")),
    ("export_queue_who_when_cancelled_check", _update("state = 'cancelled'")),
    ("export_queue_who_when_cancelled_check", _update("cancelled_by = 'ann'")),
    ("export_queue_counts_check", _update("attempts = -1")),
    ("export_queue_counts_check", _update("failures = -1")),
    ("export_queue_instance_id_fk", _update("instance_id = -1")),
    (
        "export_queue_instance_id_fk",
        "DELETE FROM bridge.completion_instance i USING bridge.export_queue q "
        "WHERE q.instance_id = i.id AND q.state = 'queued'",
    ),
    ("export_queue_pk", _again("export_queue", id="id", kind="'correction'")),
    ("export_queue_one_completion_ix", _again("export_queue", revision="2")),
    (
        "export_queue_destination_instance_id_kind_revision_key",
        _again("export_queue", state="'cancelled'", cancelled_by="'ann'", sent_at="NULL"),
    ),
    ("item_event_pk", _again("item_event", id="id")),
    ("item_event_item_id_fk", _again("item_event", item_id="-1")),
    ("delivery_pk", _again("delivery")),
    ("delivery_instance_id_fk", _again("delivery", instance_id="-1")),
    (
        "delivery_instance_id_fk",
        "WITH gone AS (DELETE FROM bridge.export_queue) "
        "DELETE FROM bridge.completion_instance i USING bridge.delivery d WHERE d.instance_id = i.id",
    ),
    ("delivery_hour_pk", _again("delivery_hour")),
    ("destination_state_pk", _again("destination_state")),
    ("export_log_pk", _again("export_log", id="id")),
    ("baseline_pk", _again("baseline")),
    ("kept_body_pk", _again("kept_body")),
    (
        "kept_body_export_log_id_fk",
        "INSERT INTO bridge.kept_body (export_log_id, destination, at, request) VALUES (-1, 'oracle', now(), '{}')",
    ),
    ("payload_template_pk", _again("payload_template")),
    ("mapping_pk", _again("mapping")),
    ("mapping_kind_check", _again("mapping", kind="'site'")),
    ("mapping_number_check", _again("mapping", totara_id="9", number="''")),
    ("audience_member_pk", _again("audience_member")),
    ("completion_instance_status_check", _instance("status = 'in_progress'")),
    ("completion_instance_record_key_check", _instance("record_key = 'OL' || repeat('A', 26)")),
    ("completion_instance_record_key_check", _instance(f"record_key = {_KEY.format(25)}")),
    ("completion_instance_record_key_check", _instance(f"record_key = {_KEY.format(27)}")),
    ("completion_instance_archived_in_history_check", _instance("history_id = 9")),
    ("completion_instance_revision_check", _instance("revision = 0")),
    ("completion_instance_pk", _again("completion_instance", id="id", **_ARCHIVED)),
    ("completion_instance_current_ix", _again("completion_instance", ordinal="1", record_key=_KEY.format(26))),
    ("completion_instance_minted_key", _again("completion_instance", **_ARCHIVED | {"ordinal": "ordinal"})),
    ("completion_instance_record_key_key", _again("completion_instance", **_ARCHIVED | {"record_key": "record_key"})),
]


@pytest.fixture(scope="module")
def filled(new_database: Callable[[str], str]) -> str:
    """A staging database with a row in every guarded table, and an item that is queued, one sending and one sent."""
    url = new_database("constraints").replace("postgresql://", "postgresql+psycopg://", 1)
    migrate(url)
    items = Items(create_engine(url, poolclass=NullPool))
    items.queued(2)
    items.acknowledge(items.claim(1))
    items.claim(1)
    items.queued(1)
    for statement in (
        "INSERT INTO bridge.item_event (item_id, at, verb, actor) SELECT id, now(), 'cancel', 'ann' "
        "FROM bridge.export_queue WHERE state = 'queued'",
        "INSERT INTO bridge.destination_state (destination, changed_at) VALUES ('oracle', now())",
        "INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, outcome) "
        "VALUES (gen_random_uuid(), 'oracle', now(), 1, 1, 'sent')",
        "INSERT INTO bridge.kept_body (export_log_id, destination, at, request) "
        "SELECT id, 'oracle', now(), '{}' FROM bridge.export_log",
        "INSERT INTO bridge.payload_template (name, version, definition, first_used_at) "
        "VALUES ('default', 1, '{}', now())",
        "INSERT INTO bridge.mapping (destination, kind, site, totara_id, number, changed_at, changed_by) "
        "VALUES ('oracle', 'learner', 'sbx', 1, 'E1', now(), 'ann')",
        "INSERT INTO bridge.audience_member (site, user_id, audience) VALUES ('sbx', 1, 'staff')",
        "INSERT INTO bridge.baseline (destination, site, instance_id, created_at) VALUES ('oracle', 'sbx', 0, now())",
    ):
        items.sql(statement)
    return url


@pytest.fixture
def connection(filled: str) -> Iterator[Connection]:
    """A connection to it whose changes are undone."""
    with create_engine(filled, poolclass=NullPool).connect() as opened:
        yield opened


@pytest.mark.parametrize(("name", "statement"), BREAKS)
def test_refuses(connection: Connection, name: str, statement: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        connection.execute(text(statement))
    assert isinstance(refused.value.orig, psycopg.Error)
    assert refused.value.orig.diag.constraint_name == name


def test_every_constraint_and_unique_index_is_in_the_table_above(connection: Connection) -> None:
    guarded = [f"bridge.{row.__tablename__}" for row in GUARDED]
    there = connection.execute(
        text(
            """
            SELECT conname FROM pg_constraint WHERE conrelid = ANY(cast(:tables AS regclass[])) AND contype <> 'n'
            UNION
            SELECT indexrelid::regclass::text FROM pg_index
            WHERE indrelid = ANY(cast(:tables AS regclass[])) AND indisunique
            """
        ),
        {"tables": guarded},
    ).scalars()
    assert {name.removeprefix("bridge.") for name in there} == {name for name, _ in BREAKS}


def test_the_trace_of_an_item_goes_with_it(connection: Connection) -> None:
    events = text("SELECT count(*) FROM bridge.item_event")
    assert connection.execute(events).scalar_one() == 1
    connection.execute(text("DELETE FROM bridge.export_queue WHERE state = 'queued'"))
    assert connection.execute(events).scalar_one() == 0


def test_another_destination_may_have_the_same_instance(connection: Connection) -> None:
    assert connection.execute(text(_again("export_queue", destination="'other'"))).rowcount == 1


def test_after_a_cancelled_completion_there_may_be_another(connection: Connection) -> None:
    connection.execute(text("DELETE FROM bridge.export_queue WHERE state <> 'queued'"))
    connection.execute(text(_update("state = 'cancelled', cancelled_by = 'ann'")))
    again = _again("export_queue", revision="2", state="'queued'", cancelled_by="NULL")
    assert connection.execute(text(again)).rowcount == 1
