"""Pages of the export queue: together they have what is asked for and nothing else, and each costs the same."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, event, text

from tests.integration.test_requeue import CRITERIA, E1, FILL
from tests.items import NOW, Items, items_in
from totara_bridge.route import Route
from totara_bridge.staging import item_page, item_row
from totara_bridge.staging.item_page import Counted
from totara_bridge.staging.selection import Selection
from totara_bridge.staging.states import Kind, Lane, State

ALL = tuple(State)

#: A filter, and the same in SQL of the test's own over the queue q, instance i, learner l and course k.
FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "true"),
    "states": ({"states": (State.DEAD, State.HELD, State.SENDING)}, "q.state IN ('dead', 'held', 'sending')"),
    "sent": ({"states": (State.SENT, State.QUEUED)}, "q.state IN ('sent', 'queued')"),
    **{name: CRITERIA[name] for name in ("lanes", "destinations", "error_class", "fingerprint")},
    "queued_since": (CRITERIA["queued_since"][0], "i.row_id <= 300 OR q.kind = 'correction'"),
    "queued_until": (CRITERIA["queued_until"][0], "i.row_id >= 20 AND q.kind = 'completion'"),
    "sites": ({"route": Route(sites=("sbx",))}, "i.site = 'sbx'"),
    "kinds": ({"kinds": (Kind.CORRECTION,)}, "q.kind = 'correction'"),
    "username": ({"learner": "TEST_8"}, "false"),
    "username as people write it": ({"learner": "USER7"}, "l.username = 'user7'"),
    "usernames": ({"learner": "user1*"}, "l.username LIKE 'user1%'"),
    "id number": ({"learner": "E7"}, "l.id_number = 'E7'"),
    "id number, not lower": ({"learner": "e7"}, "false"),
    "address": ({"learner": "X11@test.example"}, "l.email = 'x11@TEST.example'"),
    "all addresses": ({"learner": "x*"}, "l.email LIKE 'x%'"),
    "no pattern": ({"learner": "user?"}, "false"),
    "course": ({"course": "safety-2"}, "k.short_name = 'SAFETY-2'"),
    "courses": ({"course": "safety-*"}, "k.short_name LIKE 'SAFETY-%'"),
    "course number": ({"course": "K1*"}, "k.id_number IN ('K1', 'K10', 'K11')"),
    "record key": ({"key": "TBC4CA4238A0B923820DCC509A6F"}, "i.id = 1"),
    "record keys": ({"key": "TBC*"}, "i.record_key LIKE 'TBC%'"),
    "own key": ({"key": "later-17"}, "q.idempotency_key = 'later-17'"),
    "own keys": ({"key": "later-1*"}, "q.idempotency_key LIKE 'later-1%'"),
    "everything": ({"learner": "*", "key": "*"}, "l.user_id IS NOT NULL"),
}
NARROWING = [name for name in FILTERS if name not in ("nothing", "states", "sent")]
COMBINATIONS = [(name,) for name in FILTERS] + [
    pair for pair in itertools.product(("states", "sent", "destinations"), NARROWING) if pair[0] != pair[1]
]


def asked_for(*names: str) -> Selection:
    given = {key: value for name in names for key, value in FILTERS[name][0].items()}
    return Selection(**{"states": ALL} | given)


@pytest.fixture(scope="module")
def full(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A thousand items in all states, for two destinations."""
    with items_in(new_database("item_page")) as items:
        for statement in FILL:
            items.sql(statement, now=NOW)
        yield items


def expected(items: Items, *names: str) -> list[int]:
    rows = items.sql(
        f"""
        SELECT q.id FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        LEFT JOIN bridge.learner l ON l.site = i.site AND l.user_id = i.user_id
        LEFT JOIN bridge.course k ON k.site = i.site AND k.course_id = i.course_id
        WHERE {" AND ".join(f"({FILTERS[name][1]})" for name in names)} ORDER BY q.id DESC
        """
    )
    return [row["id"] for row in rows]


def walked(items: Items, asked: Selection) -> list[int]:
    """The items of all pages, in their order."""
    found: list[int] = []
    after: int | None = item_page.NEWEST
    with items.staging.connect() as connection:
        while after is not None:
            page = item_page.page(connection, asked, after=after, limit=7, examined=90)
            assert page.after is None or page.after < after, "it would go on for ever"
            assert [row.id for row in page.items if row.id >= after] == []
            found += [row.id for row in page.items]
            after = page.after
    return found


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_all_pages_together_have_what_is_asked_for(full: Items, names: Sequence[str]) -> None:
    them = expected(full, *names)
    if len(names) == 1 and FILTERS[names[0]][1] not in ("true", "false") and names != ("everything",):
        assert 0 < len(them) < 1000, "it would show nothing"
    assert walked(full, asked_for(*names)) == them
    with full.staging.connect() as connection:
        assert item_page.count(connection, asked_for(*names)) == Counted(len(them), more=False)


def test_where_more_learners_fit_than_can_be_looked_up_all_are_walked(
    full: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_page, "_FEW", 3)
    for name in ("usernames", "record keys", "own keys", "everything"):
        assert walked(full, asked_for(name)) == expected(full, name)


def test_a_page_that_has_walked_its_share_is_short_and_says_where_to_go_on(full: Items) -> None:
    newest = full.sql("SELECT max(id) AS id FROM bridge.export_queue")[0]["id"]
    with full.staging.connect() as connection:
        page = item_page.page(connection, asked_for("fingerprint"), limit=50, examined=20)
        assert ([row.id for row in page.items], page.after) == ([], newest - 19)
        counted = item_page.count(connection, asked_for("fingerprint"), examined=20)
    assert counted == Counted(0, more=True)


def test_what_is_counted_by_destination_state_and_lane_has_no_end(full: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_page, "COUNTED", 10)
    with full.staging.connect() as connection:
        assert item_page.count(connection, asked_for("nothing")) == Counted(1029, more=False)
        assert item_page.count(connection, asked_for("course")) == Counted(10, more=True)
        assert item_page.count(connection, Selection()) == Counted(0, more=False)
        assert item_page.page(connection, Selection(), limit=5).items == []


def test_what_is_told_of_an_item(full: Items) -> None:
    full.sql("INSERT INTO bridge.erased_learner (site, user_id, erased_at, erased_by) VALUES ('uk', 10, :now, 'dpo')",
             now=NOW)  # fmt: skip
    [row] = full.sql("SELECT id FROM bridge.export_queue WHERE instance_id = 36 AND destination = 'oracle'")
    with full.staging.connect() as connection:
        one = item_row.item(connection, row["id"])
        assert one is not None
        assert item_row.item(connection, 10**15) is None
        [listed] = item_page.page(connection, Selection(states=ALL, key=one.record_key, destinations=["oracle"]),
                                  limit=5).items  # fmt: skip
        erased = item_page.page(connection, Selection(states=ALL, route=Route(sites=("uk",))), limit=200).items
    assert one.payload == "{}"
    assert dict(listed._mapping) == {
        "id": row["id"],
        "destination": "oracle",
        "state": "failed",
        "kind": "completion",
        "lane": "fresh",
        "revision": 1,
        "record_key": one.record_key,
        "site": "sbx",
        "learner": "Test_36",
        "course": "C-10",
        "erased": False,
        "attempts": 0,
        "next_attempt_at": NOW,
        "error_class": "refused",
        "error_code": "E1",
        "error_words": "no such course 36",
        "held_for": None,
        "queued_at": NOW - timedelta(hours=36),
        "sent_at": None,
        "reference": None,
        "walked_to": None,
    }
    assert {row.learner for row in erased if row.erased} == {"user10"}
    full.sql("DELETE FROM bridge.erased_learner")


# what it costs

SMALL, LARGE = 12_000, 60_000


@pytest.fixture(scope="module")
def sized(new_database: Callable[[str], str]) -> Iterator[dict[int, Items]]:
    """Queues of two sizes, one item in ten not sent; the newest are queued, as after a backfill."""
    with items_in(new_database("small_queue")) as small, items_in(new_database("large_queue")) as large:
        filled = {SMALL: small, LARGE: large}
        for size, items in filled.items():
            items.instances(size)
            for statement in (_LEARNERS, _COURSE, _ITEMS):
                items.sql(statement, now=NOW)
            with items.staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
        yield filled


_LEARNERS = """
    INSERT INTO bridge.learner (site, user_id, username, id_number, email, first_name, last_name, suspended, changed_at)
    SELECT 'sbx', user_id, 'learner' || user_id, 'E' || user_id, 'l' || user_id || '@example.com', '', '', false, :now
    FROM bridge.completion_instance
"""
_COURSE = """
    INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible, changed_at)
    VALUES ('sbx', 1, 1, 'C', 'K', 'Course', true, :now)
"""
_ITEMS = """
    INSERT INTO bridge.export_queue (
        destination, instance_id, kind, revision, idempotency_key, state, lane, next_attempt_at, payload, staged_at,
        queued_at, sent_at, error_class, cancelled_by, held_for, held_at)
    SELECT 'oracle', id, CASE WHEN id % 7 = 0 THEN 'correction' ELSE 'completion' END, 1, record_key, state, 'fresh',
           :now, repeat('x', 400), :now, :now,
           CASE WHEN state = 'sent' THEN cast(:now AS timestamptz) END,
           CASE WHEN state IN ('failed', 'dead') THEN 'refused' END, CASE WHEN state = 'cancelled' THEN 'ann' END,
           CASE WHEN state = 'held' THEN 'learner_number' END,
           CASE WHEN state = 'held' THEN cast(:now AS timestamptz) END
    FROM (SELECT id, record_key, CASE WHEN id > (SELECT max(id) * 0.7 FROM bridge.completion_instance) THEN 'queued'
                 WHEN id % 10 = 0 THEN (ARRAY['failed', 'dead', 'cancelled', 'held'])[1 + id / 10 % 4]
                 ELSE 'sent' END AS state
          FROM bridge.completion_instance) AS each
"""

WAITING = (State.QUEUED, State.FAILED, State.DEAD, State.HELD, State.SENDING, State.CANCELLED)

#: What is asked for.
COSTLY: dict[str, dict[str, Any]] = {
    "all": {"states": ALL},
    "one state": {"states": (State.DEAD,)},
    "what is held": {"states": (State.HELD,)},
    "several states": {"states": WAITING, "destinations": ["oracle"]},
    "sent, which begin deep": {"states": (State.SENT,)},
    "a learner": {"states": ALL, "learner": "learner77"},
    "learners": {"states": ALL, "learner": "learner7000*", "destinations": ["oracle"]},
    "all learners": {"states": ALL, "learner": "learner*"},
    "a key": {"states": ALL, "key": "TB28DD2C7955CE926456240B2FF0"},
    "keys": {"states": (State.DEAD,), "key": "TB28DD2*"},
    "a course that nobody took": {"states": ALL, "course": "X*"},
    "the same among what waits": {"states": WAITING, "course": "X*"},
    "an error": {"states": (State.DEAD, State.FAILED), "fingerprint": E1},
    "days": {"states": ALL, "queued_until": NOW - timedelta(days=1), "lanes": [Lane.FRESH]},
}


def page(asked: Selection, size: int) -> Callable[[Connection], object]:
    return lambda connection: item_page.page(connection, asked, limit=50, examined=100)


def deep(asked: Selection, size: int) -> Callable[[Connection], object]:
    return lambda connection: item_page.page(connection, asked, after=size // 2, limit=50, examined=100)


def counted(asked: Selection, size: int) -> Callable[[Connection], object]:
    return lambda connection: item_page.count(connection, asked, examined=100)


def pages_read(items: Items, read: Callable[[Connection], object], mode: str) -> int:
    """Pages of memory that all statements of it touch."""
    engine = create_engine(items.staging.url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    caught: list[tuple[str, Any]] = []
    with engine.connect() as connection:
        connection.execute(text("SET plan_cache_mode = " + mode))
        event.listen(connection, "before_cursor_execute", lambda *given: caught.append((given[2], given[3])))
        read(connection)
    touched = 0
    with engine.connect() as connection:
        for statement, values in caught:
            [(found,)] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values)
            root = found[0]["Plan"]
            touched += root["Shared Hit Blocks"] + root["Shared Read Blocks"]
    return touched


@pytest.mark.parametrize("read", [page, deep, counted])
@pytest.mark.parametrize("name", COSTLY)
def test_it_costs_the_same_at_any_size(
    sized: dict[int, Items], name: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_page, "_FEW", 200)
    asked = Selection(**COSTLY[name])
    small, large = (pages_read(items, read(asked, size), "force_custom_plan") for size, items in sized.items())
    assert large <= 1.3 * small + 60, f"{large} pages of memory in a queue of {LARGE}, {small} in one of {SMALL}"
