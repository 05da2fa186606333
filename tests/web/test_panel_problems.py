"""The groups of what is wrong, against literals: errors by fingerprint, held items by what is missing, alerts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.items import NOW, Items, a_new_item
from tests.web.panel_client import Login
from totara_bridge.oracle.remedy import REMEDIES
from totara_bridge.staging import queue
from totara_bridge.staging.error_group import newest_error_groups
from totara_bridge.staging.held_group import held_groups
from totara_bridge.staging.states import Lane, State
from totara_bridge.web.panel.held_words import advice, can_be_mapped, wanted
from totara_bridge.web.panel.problems import EXAMINED


@pytest.fixture
def items(staging: Engine) -> Items:
    """An empty queue."""
    return Items(staging)


def held(items: Items, count: int, what: str, *, destination: str = "oracle", now: datetime = NOW) -> list[int]:
    """That many new items that wait for it."""
    instances = items.instances(count)
    new = [a_new_item(each, idempotency_key=f"{destination}-{each}", held_for=what) for each in instances]
    with items.staging.begin() as transaction:
        assert queue.enqueue(transaction, new, destination=destination, lane=Lane.FRESH, now=now).held == count
    return items.of_instances(instances)


def wrong(
    items: Items, *, dead: int = 0, failed: int = 0, destination: str = "oracle", at: datetime = NOW, **error: Any
) -> list[int]:
    """That many items, with this error."""
    items.queued(dead + failed, destination=destination)
    claim = items.claim(dead, destination=destination)
    assert items.reject(claim, now=at, **error) == dead
    again = items.claim(failed, destination=destination)
    assert items.retry(again, now=at, next_attempt_at=NOW + timedelta(days=1), **error) == failed
    return [*claim.ids, *again.ids]


def test_without_anything_wrong_there_is_nothing(looking: httpx.Client) -> None:
    said = looking.get("/api/problems").json()
    assert datetime.fromisoformat(said.pop("at")).tzinfo is not None
    assert said == {"errors": [], "held": [], "alerts": [], "examined": []}


def test_errors_are_grouped_whatever_numbers_are_in_their_words(items: Items, looking: httpx.Client) -> None:
    later = NOW + timedelta(hours=2)
    first = wrong(items, dead=2, failed=1, error_words="no course 1")
    second = wrong(items, dead=3, at=later, error_words="no course 27")
    timeouts = wrong(items, failed=4, error_class="timeout", error_code=None, error_words="no answer in time")
    elsewhere = wrong(items, dead=5, destination="gone", error_words="no course 1")
    for _ in range(2):
        by_course, theirs, slow = looking.get("/api/problems").json()["errors"]
    fingerprint = by_course.pop("fingerprint")
    assert by_course == {
        "destination": "oracle", "error_class": "ItemRefused", "error_code": "E1", "sample": "no course 27",
        "sample_item": second[-1], "failed": 1, "dead": 5, "first_at": "2026-03-01T12:30:00Z",
        "last_at": "2026-03-01T14:30:00Z",
        "what_to_do": "This version of the bridge does not know the class ItemRefused: open one of the items, and "
        "read what the destination said.",
    }  # fmt: skip
    assert (theirs["destination"], theirs["fingerprint"], theirs["dead"]) == ("gone", fingerprint, 5)
    assert theirs["sample_item"] == elsewhere[-1]
    assert (slow["error_class"], slow["error_code"], slow["failed"], slow["dead"]) == ("timeout", None, 4, 0)
    assert slow["sample_item"] == timeouts[-1]
    assert slow["what_to_do"] == REMEDIES["timeout"]
    assert len(first) == 3
    items.sql("UPDATE bridge.export_queue SET state = 'cancelled', cancelled_by = 'ann' WHERE destination = 'gone'")
    assert len(looking.get("/api/problems").json()["errors"]) == 2


def test_held_items_by_what_they_wait_for(items: Items, looking: httpx.Client) -> None:
    items.sql(
        """
        INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible, changed_at)
        VALUES ('sbx', 1, 5, 'SAFE-1', '', 'Safety', true, now())
        """
    )
    held(items, 3, "learner_number, course_number", now=NOW - timedelta(days=2))
    held(items, 2, "time_completed")
    items.sql(
        "UPDATE bridge.completion_instance SET course_id = 77 "
        "WHERE id = (SELECT max(id) FROM bridge.completion_instance)"
    )
    for _ in range(2):
        mapped, dated = looking.get("/api/problems").json()["held"]
    assert mapped == {
        "destination": "oracle", "held_for": ["learner_number", "course_number"],
        "waits_for": "the destination's number of the learner and the destination's number of the course",
        "items": 3, "learners": 3, "courses": 1, "course_names": ["SAFE-1"], "since": "2026-02-27T12:30:00Z",
        "what_to_do": "Load what the destination calls them with load_mappings: these items are queued at once.",
        "mappings": True,
    }  # fmt: skip
    assert (dated["waits_for"], dated["items"], dated["courses"]) == ("the date of completion", 2, 2)
    assert (dated["course_names"], dated["mappings"]) == (["SAFE-1", "77"], False)
    assert dated["what_to_do"].startswith("Fill it in where it is missing in Totara")


def test_what_held_items_wait_for_in_words() -> None:
    assert wanted("another look") == "another look by the next push"
    assert advice("another look").startswith("Nothing is to be done")
    three = "learner_number, user.id_number, course.short_name"
    assert wanted(three) == (
        "the destination's number of the learner, the learner's id number and the course's short name"
    )
    assert (can_be_mapped(three), can_be_mapped("user.email")) == (True, False)
    assert "load_mappings" in advice(three)
    assert "Totara" in advice(three)
    assert wanted("grade") == "grade"
    assert advice("grade").startswith("Give the template another source")


def test_open_alerts(items: Items, looking: httpx.Client) -> None:
    raised = datetime(2026, 3, 1, 9, tzinfo=UTC)
    items.sql(
        """
        INSERT INTO bridge.alert (name, subject, words, run_id, raised_at, seen_at, resolved_at)
        VALUES ('dead_items', 'oracle', '7 items died.', NULL, :at, :at, NULL),
               ('run_late', 'push_completions', 'It is late.', 'manual__1', :at, :at, NULL),
               ('silence', 'sbx', 'It was silent.', NULL, :at, :at, :at)
        """,
        at=raised,
    )
    dead, late = looking.get("/api/problems").json()["alerts"]
    assert dead == {
        "name": "dead_items", "subject": "oracle", "words": "7 items died.", "since": "2026-03-01T09:00:00Z",
        "seen_at": "2026-03-01T09:00:00Z", "run_id": None,
    }  # fmt: skip
    assert (late["name"], late["run_id"]) == ("run_late", "manual__1")


def test_of_very_many_the_newest_are_looked_at_and_the_page_says_so(items: Items, looking: httpx.Client) -> None:
    items.instances(EXAMINED + 30)
    items.sql(
        """
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                         next_attempt_at, payload, staged_at, queued_at, error_class, error_words)
        SELECT 'oracle', id, 'completion', 1, record_key, 'dead', 'fresh', :now, '{}', :now, :now, 'rejected',
               CASE WHEN id <= 30 THEN 'an old error' ELSE 'a new error' END
        FROM bridge.completion_instance ORDER BY id
        """,
        now=NOW,
    )
    said = looking.get("/api/problems").json()
    assert said["examined"] == [{"destination": "oracle", "state": "dead", "examined": 10_000, "items": 10_030}]
    [group] = said["errors"]
    assert (group["dead"], group["sample"], group["what_to_do"]) == (10_000, "a new error", REMEDIES["rejected"])


@pytest.mark.parametrize(("items_there", "limit"), [(8_000, 20), (24_000, 20), (24_000, 1_000)])
def test_the_cost_is_that_of_what_is_looked_at(items: Items, items_there: int, limit: int) -> None:
    """So many of each state are read, however many there are, and whatever else was sent."""
    items.instances(items_there)
    items.sql(
        """
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                         next_attempt_at, payload, staged_at, queued_at, error_class, held_for, held_at)
        SELECT 'oracle', id, 'completion', 1, record_key, state, 'fresh', :now, repeat('x', 400), :now, :now,
               CASE WHEN state <> 'held' THEN 'rejected' END, CASE WHEN state = 'held' THEN 'time_completed' END,
               CASE WHEN state = 'held' THEN cast(:now AS timestamptz) END
        FROM (SELECT *, (ARRAY['dead', 'failed', 'held'])[1 + id % 3] AS state FROM bridge.completion_instance) i
        """,
        now=NOW,
    )
    items.sql(
        """
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                         next_attempt_at, payload, staged_at, queued_at, sent_at)
        SELECT 'archive', id, 'completion', 1, record_key, 'sent', 'fresh', :now, repeat('x', 400), :now, :now, :now
        FROM bridge.completion_instance
        """,
        now=NOW,
    )
    watched = items.staging.execution_options(isolation_level="AUTOCOMMIT")
    with watched.connect() as connection:
        connection.execute(text("VACUUM ANALYZE bridge.export_queue"))
        connection.execute(text("BEGIN"))
        found = newest_error_groups(connection, ["oracle", "archive", "o'%s"], limit=limit)
        [waiting] = held_groups(connection, ["oracle", "archive", "o'%s"], limit=limit)
        read = connection.execute(
            text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'export_queue'")
        ).scalar_one()
        connection.execute(text("ROLLBACK"))
    assert found.examined == {("oracle", State.DEAD): limit, ("oracle", State.FAILED): limit}
    assert waiting.items == limit
    assert read == 3 * limit


def test_nobody_gets_it_without_a_login(login: Login, staging: Engine) -> None:
    with login.browser(login.panel(staging), None) as browser:
        assert browser.get("/api/problems").status_code == 401
