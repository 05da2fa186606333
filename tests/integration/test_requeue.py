"""Requeue and cancel by what items have in common: those that are meant and no others, once, whatever comes between."""

import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.bridge import DESTINATION, SETTINGS, Bridge
from tests.items import NOW, Items, items_in
from totara_bridge.command.__main__ import main
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.requeue import CarriedOut, carry_out
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.staging import by_hand, completion
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.staging.states import Lane, State

REQUEUE, CANCEL = Action.REQUEUE, Action.CANCEL
STATES = {
    REQUEUE: (State.FAILED, State.DEAD, State.CANCELLED, State.HELD),
    CANCEL: (State.FAILED, State.DEAD, State.HELD, State.QUEUED),
}

#: 1000 items in all states, for two destinations, of two sites, 40 learners and 13 courses, with three kinds of errors.
FILL = (
    """
    INSERT INTO bridge.learner (site, user_id, username, id_number, email, first_name, last_name, suspended, changed_at)
    SELECT site, n, CASE WHEN n % 4 = 0 THEN 'Test_' ELSE 'user' END || n, 'E' || n,
           CASE WHEN n % 10 = 1 THEN 'x' || n || '@TEST.example' ELSE '' END, 'F', 'L', false, :now
    FROM generate_series(0, 39) n, unnest(ARRAY['sbx', 'uk']) site
    """,
    """
    INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible, changed_at)
    SELECT site, n, 1, CASE WHEN n < 4 THEN 'SAFETY-' ELSE 'C-' END || n, 'K' || n, 'Full', true, :now
    FROM generate_series(0, 11) n, unnest(ARRAY['sbx', 'uk']) site
    """,
    """
    INSERT INTO bridge.completion_instance (
        site, user_id, course_id, row_id, status, time_completed, first_time_completed, ordinal, revision, record_key,
        after_deletion, first_seen_at, ended_at)
    SELECT CASE WHEN n % 5 = 0 THEN 'uk' ELSE 'sbx' END, n % 40, n % 13, n, 'complete', :now, :now, 0, 1,
           'TB' || upper(left(md5(n::text), 26)), false, :now, CASE WHEN n % 11 = 0 THEN cast(:now AS timestamptz) END
    FROM generate_series(1, 500) n
    """,
    """
    INSERT INTO bridge.export_queue (
        destination, instance_id, kind, revision, idempotency_key, state, lane, next_attempt_at, payload, staged_at,
        queued_at, claim_token, claimed_from, claimed_at, lease_until, error_class, error_code, error_words, held_for,
        held_at, cancelled_by, first_posted_at, shadowed_at, sent_at)
    SELECT destination, id, 'completion', 1, record_key, state,
           (ARRAY['fresh', 'backfill', 'retry', 'backfill'])[1 + id % 4], :now, '{}', :now,
           cast(:now AS timestamptz) - id * interval '1 hour',
           CASE WHEN state = 'sending' THEN gen_random_uuid() END, CASE WHEN state = 'sending' THEN 'queued' END,
           CASE WHEN state = 'sending' THEN cast(:now AS timestamptz) END,
           CASE WHEN state = 'sending' THEN cast(:now AS timestamptz) END,
           CASE WHEN state IN ('failed', 'dead') THEN CASE WHEN id % 3 = 2 THEN 'timeout' ELSE 'refused' END END,
           CASE WHEN state IN ('failed', 'dead') AND id % 3 = 0 THEN 'E1' END,
           CASE WHEN state IN ('failed', 'dead') THEN CASE id % 3 WHEN 0 THEN 'no such course ' || id
                WHEN 1 THEN 'locked' ELSE 'no answer in ' || id || ' s' END END,
           CASE WHEN state = 'held' THEN CASE WHEN id % 4 = 0 THEN 'another look' ELSE 'learner_number' END END,
           CASE WHEN state = 'held' THEN cast(:now AS timestamptz) END,
           CASE WHEN state = 'cancelled' THEN 'ann' END,
           CASE WHEN state IN ('failed', 'dead', 'sent', 'sending') AND id % 2 = 0 THEN cast(:now AS timestamptz) END,
           CASE WHEN state IN ('queued', 'failed') AND id % 5 = 0 THEN cast(:now AS timestamptz) END,
           CASE WHEN state = 'sent' THEN cast(:now AS timestamptz) END
    FROM (SELECT i.id, i.record_key, destination,
                 (ARRAY['queued', 'failed', 'dead', 'cancelled', 'held', 'sent', 'sending'])
                 [1 + (i.id + shift) % 7] AS state
          FROM bridge.completion_instance i, (VALUES ('oracle', 0), ('archive', 3)) AS d (destination, shift)) AS each
    """,
    # what is behind a later item that was posted
    """
    INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
        next_attempt_at, payload, staged_at, queued_at, first_posted_at, sent_at)
    SELECT 'oracle', id, 'correction', 2, 'later-' || id, 'sent', 'fresh', :now, '{}', :now, :now, :now, :now
    FROM bridge.completion_instance WHERE id % 17 = 0
    """,
    "ANALYZE",
)

E1 = md5(b"refused|E1|no such course #").hexdigest()[:8]
SOME_IDS = [*range(1, 400, 5), 10**15]

#: A criterion, and the same in SQL of the test's own over the queue q, instance i, learner l and course k.
CRITERIA: dict[str, tuple[dict[str, Any], str]] = {
    "states": ({"states": (State.DEAD, State.HELD, State.FAILED)}, "q.state IN ('dead', 'held', 'failed')"),
    "ids": ({"ids": SOME_IDS}, "q.id < 400 AND q.id % 5 = 1"),
    "lanes": ({"lanes": (Lane.FRESH, Lane.RETRY)}, "i.row_id % 2 = 0 OR q.kind = 'correction'"),
    "destinations": ({"destinations": ["archive"]}, "q.destination = 'archive'"),
    "sites": ({"sites": ["sbx"]}, "i.row_id % 5 > 0"),
    "courses": ({"courses": ["safety-*", "k?"]}, "i.course_id < 10"),
    "learners": (
        {"learners": ["test_*", "*@test.*"]},
        "(l.username LIKE 'Test%' OR l.email LIKE '%TEST%')",
    ),
    "error_class": ({"error_class": "refused"}, "i.row_id % 3 <> 2 AND q.state IN ('failed', 'dead')"),
    "fingerprint": ({"fingerprint": E1}, "q.error_code = 'E1'"),
    "queued_since": ({"queued_since": NOW - timedelta(hours=300)}, "i.row_id <= 300"),
    "queued_until": ({"queued_until": NOW - timedelta(hours=20)}, "i.row_id >= 20"),
}
COMBINATIONS = [
    names
    for size in (1, 2, 3, len(CRITERIA))
    for names in itertools.combinations(CRITERIA, size)
    if {"states", "ids"} & set(names)
]


def selection(*names: str) -> Selection:
    """All that these criteria say."""
    given = {key: value for name in names for key, value in CRITERIA[name][0].items()}
    route = {name: given.pop(name) for name in ("sites", "courses", "learners") if name in given}
    return Selection(route=Route.model_validate(route), **given)


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("requeue")) as opened:
        yield opened


@pytest.fixture(scope="module")
def counted(database: Items) -> Items:
    """A full queue that no test changes."""
    database.emptied()
    for statement in FILL:
        database.sql(statement, now=NOW)
    return database


@pytest.fixture
def full(staging: Engine) -> Items:
    """A full queue of the test's own."""
    items = Items(staging)
    for statement in FILL:
        items.sql(statement, now=NOW)
    return items


def run(items: Items, action: Action, asked: Selection, *, dry_run: bool = False, **changes: Any) -> CarriedOut:
    values: dict[str, Any] = {"by": "ann", "words": "as agreed", "now": NOW, "slice_size": 60}
    return carry_out(items.staging, action, asked, dry_run=dry_run, **values | changes)


def meant(items: Items, action: Action, condition: str) -> dict[int, str]:
    """The state of each item that is meant, by SQL of the test's own."""
    if action is REQUEUE:
        condition += " AND (q.state <> 'held' OR q.instance_id % 4 <> 0)"
    found = items.sql(
        f"""
        SELECT q.id, q.state FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        LEFT JOIN bridge.learner l ON l.site = i.site AND l.user_id = i.user_id
        LEFT JOIN bridge.course k ON k.site = i.site AND k.course_id = i.course_id
        WHERE {condition}
        """
    )
    return {row["id"]: row["state"] for row in found}


# which items


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_each_criterion_counts_alone_and_with_others(counted: Items, names: Sequence[str], action: Action) -> None:
    expected = meant(counted, action, " AND ".join(f"({CRITERIA[name][1]})" for name in names))
    if len(names) < 3:
        assert 0 < len(expected) < 900, "it would show nothing"
    if "courses" in names:
        # course 12 is not staged: no pattern fits what it has not
        assert not any(row["course_id"] == 12 for row in of(counted, expected))
    done = run(counted, action, selection(*names), dry_run=True)
    by_state = {state: list(expected.values()).count(state) for state in set(expected.values())}
    counts = done.counts()
    assert (counts["selected"], counts["done"]) == (len(expected), 0)
    assert {name[6:]: number for name, number in counts.items() if name.startswith("state_")} == by_state
    if "ids" in names:
        assert counts["refused"] >= len(SOME_IDS) - len(expected)


def of(items: Items, ids: Any) -> Sequence[Any]:
    return items.sql(
        "SELECT i.* FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id "
        "WHERE q.id = ANY(:ids)",
        ids=list(ids),
    )


def test_the_counts_name_states_destinations_and_the_commonest_errors(counted: Items) -> None:
    counts = run(counted, CANCEL, Selection(states=STATES[CANCEL]), dry_run=True).counts()
    rows = counted.sql(
        """
        SELECT 'destination_' || destination AS name, count(*) AS items FROM bridge.export_queue
        WHERE state IN ('failed', 'dead', 'held', 'queued') GROUP BY destination
        UNION ALL
        SELECT 'code E1', count(*) FROM bridge.export_queue WHERE error_code = 'E1'
        """
    )
    expected = {row["name"]: row["items"] for row in rows}
    assert counts.pop(f"error_{E1}") == expected.pop("code E1")
    assert {name: number for name, number in counts.items() if name in expected} == expected
    assert sum(name.startswith("error_") for name in counts) == 2


def test_a_dry_run_changes_nothing_and_says_what_it_found(counted: Items, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    before = counted.sql("SELECT * FROM bridge.export_queue ORDER BY id")
    asked = selection("states", "fingerprint", "ids")
    found = run(counted, REQUEUE, asked, dry_run=True)
    assert found.selected > 0
    assert counted.sql("SELECT * FROM bridge.export_queue ORDER BY id") == before
    assert counted.sql("SELECT FROM bridge.audit_log UNION ALL SELECT FROM bridge.item_event") == []
    assert f"error {E1}, such as: refused E1 no such course" in caplog.text
    assert f"{found.refused - sum(row.refused for row in found.found)} of the ids are not there" in caplog.text


def test_where_nothing_fits_it_says_so_and_waits_for_nobody(counted: Items, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with counted.staging.connect() as merging:
        completion.begin_merge(merging)
        done = run(counted, REQUEUE, Selection(states=(State.DEAD,), destinations=["nobody"]))
        assert run(counted, REQUEUE, Selection()).selected == 0
    assert done.counts() == {"selected": 0, "done": 0, "refused": 0}
    assert "requeue: nothing fits what was asked for" in caplog.text
    assert counted.sql("SELECT FROM bridge.audit_log") == []


# what becomes of them


@pytest.mark.parametrize("action", Action)
def test_what_fits_is_done_in_slices_and_the_rest_is_refused_as_a_dry_run_said(full: Items, action: Action) -> None:
    before = {row["id"]: row for row in full.sql("SELECT * FROM bridge.export_queue")}
    states = ", ".join(f"'{state}'" for state in STATES[action])
    expected = set(meant(full, action, f"q.state IN ({states})"))
    asked = Selection(states=STATES[action])
    dry, done = run(full, action, asked, dry_run=True), run(full, action, asked, slice_size=4)
    assert (dry.selected, dry.refused) == (done.selected, done.refused) == (len(expected), done.refused)
    assert done.done == len(expected) - done.refused > 200, "what is looked up at once"
    after = {row["id"]: row for row in full.sql("SELECT * FROM bridge.export_queue")}
    changed = {each for each, row in after.items() if row != before[each]}
    assert (changed <= expected, len(changed)) == (True, done.done)
    refused = full.sql(
        """
        SELECT q.id FROM bridge.export_queue q
        WHERE instance_id % 11 = 0 OR instance_id % 17 = 0 AND destination = 'oracle'
        """
    )
    assert expected - changed == (expected & {row["id"] for row in refused} if action is REQUEUE else set())
    assert (done.refused > 0) == (action is REQUEUE)
    became = {"queued", "held"} if action is REQUEUE else {"cancelled"}
    assert {after[each]["state"] for each in changed} == became
    events = full.sql("SELECT item_id, verb, actor, words FROM bridge.item_event ORDER BY item_id")
    assert [tuple(row.values()) for row in events] == [(each, action, "ann", "as agreed") for each in sorted(changed)]


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("asked", [Selection(states=(State.DEAD, State.HELD)), Selection(ids=range(1, 900, 2))])
def test_run_twice_it_does_nothing_twice(full: Items, action: Action, asked: Selection) -> None:
    first = run(full, action, asked)
    assert first.done > 0
    between = full.sql("SELECT * FROM bridge.export_queue ORDER BY id")
    events = full.sql("SELECT count(*) AS items FROM bridge.item_event")
    second = run(full, action, asked)
    assert second.done == 0
    assert second.refused == (first.refused if asked.states else 450)
    assert full.sql("SELECT * FROM bridge.export_queue ORDER BY id") == between
    assert full.sql("SELECT count(*) AS items FROM bridge.item_event") == events
    assert len(full.sql("SELECT FROM bridge.audit_log")) == 1


def test_what_failed_again_is_requeued_again(staging: Engine) -> None:
    items, asked = Items(staging), Selection(states=(State.FAILED, State.DEAD))
    ids = items.queued(5)
    for _ in range(2):
        items.reject(items.claim(2))
        items.retry(items.claim())
        assert run(items, REQUEUE, asked).done == 5
        assert items.column("state", ids) == ["queued"] * 5


def test_ids_that_are_not_there_are_refused(full: Items) -> None:
    dead = [row["id"] for row in full.sql("SELECT id FROM bridge.export_queue WHERE state = 'dead' AND error_code IS "
                                          "NOT NULL AND instance_id % 11 > 0 AND instance_id % 17 > 0")]  # fmt: skip
    done = run(full, REQUEUE, Selection(ids=[*dead, *dead, 10**15, 2**63 - 1]))
    assert (done.done, done.refused) == (len(dead), 2)
    done = run(full, CANCEL, Selection(ids=[10**15]))
    assert done.counts() == {"selected": 0, "done": 0, "refused": 1}


def test_cancelled_items_that_were_just_requeued_stay_so(full: Items) -> None:
    asked = Selection(states=(State.CANCELLED,))
    assert run(full, REQUEUE, asked).done > 0
    waiting = Selection(states=(State.HELD,))
    looked_at = full.sql("SELECT count(*) AS items FROM bridge.export_queue WHERE held_for = 'another look'")
    assert run(full, REQUEUE, waiting, dry_run=True).selected == 143 - 36
    assert run(full, CANCEL, waiting).done == 143 + looked_at[0]["items"] - 36


def test_the_audit_log_says_who_and_what_and_names_no_learner(full: Items) -> None:
    asked = selection(*CRITERIA)
    done = run(full, CANCEL, asked)
    [row] = full.sql("SELECT * FROM bridge.audit_log")
    assert (row["actor"], row["action"], row["subject"], row["at"]) == ("ann", "cancel", "archive", NOW)
    assert row["details"] == {
        "states": ["dead", "held", "failed"],
        "lanes": ["fresh", "retry"],
        "ids": len(SOME_IDS),
        "sites": ["sbx"],
        "courses": ["safety-*", "k?"],
        "learners": 2,
        "error_class": "refused",
        "fingerprint": E1,
        "queued_since": (NOW - timedelta(hours=300)).isoformat(),
        "queued_until": (NOW - timedelta(hours=20)).isoformat(),
        "selected": done.selected,
    }
    run(full, CANCEL, Selection(states=(State.QUEUED,)))
    [_, row] = full.sql("SELECT * FROM bridge.audit_log ORDER BY id")
    assert (row["subject"], row["details"].keys()) == ("all destinations", {"states", "selected"})


# what comes between

KILLED = """
import sys
from datetime import datetime
from totara_bridge.requeue import carry_out
from totara_bridge.staging.engine import staging_engine
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.staging.states import State
carry_out(staging_engine(sys.argv[1]), Action(sys.argv[2]), Selection(states=(State.DEAD,)), by="ann",
          words="as agreed", dry_run=False, now=datetime.fromisoformat(sys.argv[3]), slice_size=40)
"""


@pytest.mark.parametrize("action", Action)
def test_killed_half_way_and_run_again_it_ends_as_if_it_had_not_been(
    staging: Engine, wait_until: Callable[[Callable[[], bool]], None], action: Action
) -> None:
    items = Items(staging)
    ids = items.queued(200)
    items.reject(items.claim(200))
    items.sql("DELETE FROM bridge.item_event")
    url = staging.url.render_as_string(False)
    others = (
        "SELECT wait_event_type FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'totara-bridge' AND xact_start IS NOT NULL"
    )
    with staging.connect() as blocking:
        blocking.execute(text("SELECT FROM bridge.export_queue WHERE id = :id FOR UPDATE"), {"id": ids[100]})
        process = subprocess.Popen([sys.executable, "-c", KILLED, url, action, NOW.isoformat()])
        wait_until(
            lambda: process.poll() is not None or [*map(dict, items.sql(others))] == [{"wait_event_type": "Lock"}]
        )
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    wait_until(lambda: not items.sql(others))
    became = "queued" if action is REQUEUE else "cancelled"
    assert items.column("state", ids) == [became] * 80 + ["dead"] * 120
    assert run(items, action, Selection(states=(State.DEAD,))).done == 120
    ended = items.sql(
        """
        SELECT q.state, q.attempts, q.next_attempt_at, q.error_words, e.verb, e.actor, e.words, count(*) AS items
        FROM bridge.export_queue q JOIN bridge.item_event e ON e.item_id = q.id GROUP BY 1, 2, 3, 4, 5, 6, 7
        """
    )
    attempts, error = (0, None) if action is REQUEUE else (1, "no such course")
    assert [tuple(row.values()) for row in ended] == [
        (became, attempts, NOW, error, action, "ann", "as agreed", 200)
    ]  # fmt: skip
    assert [row["details"]["selected"] for row in items.sql("SELECT details FROM bridge.audit_log ORDER BY id")] == [
        200,
        120,
    ]


@pytest.mark.parametrize("action", Action)
def test_what_another_person_did_meanwhile_is_not_done_again(
    staging: Engine, wait_until: Callable[[Callable[[], bool]], None], action: Action
) -> None:
    items = Items(staging)
    ids = items.queued(10)
    items.reject(items.claim())
    items.sql("UPDATE bridge.export_queue SET first_posted_at = NULL")
    asked, done = Selection(states=(State.DEAD,)), list[CarriedOut]()
    with staging.begin() as another:
        assert by_hand.requeue(another, ids[:4], by="bob", words=None, now=NOW).done == 4
        thread = threading.Thread(target=lambda: done.append(run(items, action, asked)))
        thread.start()
        wait_until(lambda: bool(done or items.sql("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")))
    thread.join()
    assert (done[0].selected, done[0].done, done[0].refused) == (10, 6, 4)
    by = items.sql("SELECT actor FROM bridge.item_event WHERE verb <> 'reject' ORDER BY item_id")
    assert [row["actor"] for row in by] == ["bob"] * 4 + ["ann"] * 6


def test_senders_that_work_meanwhile_lose_nothing_and_wait_for_nobody_in_a_circle(
    bridge: Bridge, oracle: SandboxOracle
) -> None:
    bridge.extract()
    everything = bridge.backfill().queued
    with bridge.staging.begin() as transaction:
        transaction.execute(
            text(
                """
                UPDATE bridge.export_queue SET error_class = 'refused', error_words = 'no such course',
                    state = CASE id % 3 WHEN 0 THEN 'queued' WHEN 1 THEN 'failed' ELSE 'dead' END,
                    first_posted_at = CASE WHEN id % 2 = 0 THEN queued_at END
                """
            )
        )
    # by the dozen they die anew
    oracle.faults({"match": {"next": 6}, "action": {"item": "rejected"}})
    settings = SETTINGS.model_copy(update={"batch_size": 20, "retry_first": timedelta(milliseconds=1)})
    errors: list[BaseException] = []
    delivered = threading.Event()
    threads = [
        *(
            threading.Thread(target=_until, args=(delivered, errors, lambda: _push(bridge, oracle, settings)))
            for _ in "ab"
        ),
        *(threading.Thread(target=_until, args=(delivered, errors, lambda: _requeue(bridge))) for _ in "ab"),
    ]
    for thread in threads:
        thread.start()
    while bridge.states() != {"sent": everything} and not errors:
        delivered.wait(0.2)
    delivered.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert bridge.states() == {"sent": everything}
    keys = oracle.stored_keys()
    assert len(keys) == len(set(keys)) == everything
    rejected = bridge.rows("SELECT count(DISTINCT item_id) AS items FROM bridge.item_event WHERE verb = 'reject'")
    assert rejected[0]["items"] > 0, "none died meanwhile"


def _until(ended: threading.Event, errors: list[BaseException], act: Callable[[], object]) -> None:
    try:
        while not ended.is_set() and not errors:
            act()
    except BaseException as error:  # whatever it is, the test judges it
        errors.append(error)


def _push(bridge: Bridge, oracle: SandboxOracle, settings: Settings) -> None:
    unhold(bridge.staging, Wants(DESTINATION), datetime.now(UTC))
    bridge.push(oracle, settings=settings, clock=lambda: datetime.now(UTC) + timedelta(hours=1))


def _requeue(bridge: Bridge) -> None:
    asked = Selection(states=(State.DEAD, State.FAILED))
    carry_out(bridge.staging, REQUEUE, asked, by="ann", words=None, dry_run=False, now=datetime.now(UTC), slice_size=30)


# the command


def test_errors_are_shown_by_kind(
    counted: Items, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = counted.staging.url.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address)
    [expected] = counted.sql(
        """
        SELECT count(*) FILTER (WHERE state = 'dead') AS dead, count(*) FILTER (WHERE state = 'failed') AS failed,
               min(queued_at) AS first, max(queued_at) AS last
        FROM bridge.export_queue WHERE error_code = 'E1' AND destination = 'oracle'
        """
    )
    assert main(["errors", "--destination", "oracle"]) == 0
    said = capsys.readouterr().out
    first, last = (f"{expected[name]:%Y-%m-%d %H:%M}" for name in ("first", "last"))
    line = (
        f"{E1}  oracle: {expected['dead']} dead, {expected['failed']} failed, the first at {first}, the last at {last}"
    )
    assert f"{line}\n  refused E1 no such course " in said
    assert said.count(" dead, ") == 3
    assert "archive" not in said
    assert main(["errors", "--limit", "2"]) == 0
    said = capsys.readouterr().out
    assert (said.count(" dead, "), said.splitlines()[-1].endswith("more items, of 4 kinds")) == (2, True)


def test_the_time_of_an_error_is_when_the_item_failed_last(
    staging: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = staging.url.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address)
    assert main(["errors"]) == 1
    assert capsys.readouterr().out == "No item is failed or dead.\n"
    items = Items(staging)
    items.queued(2)
    items.retry(items.claim(), now=NOW, next_attempt_at=NOW)
    items.reject(items.claim(1), now=NOW + timedelta(days=2))
    assert main(["errors"]) == 0
    assert "1 dead, 1 failed, the first at 2026-03-01 12:30, the last at 2026-03-03 12:30" in capsys.readouterr().out
