"""Erasing a learner: nothing that names them is left, nobody else is touched, and nothing ever brings them back."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, SITE, Bridge
from tests.life import (
    BUD,
    NUMBERS,
    SETTINGS,
    ZOE,
    World,
    by_hand_all,
    dump,
    everything,
    named,
    number,
    of_learner,
    without,
)
from totara_bridge.config import BridgeConfig, Destination
from totara_bridge.config import Site as SiteEntry
from totara_bridge.erase import erase
from totara_bridge.errors import OracleUnavailable
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.run import extract_site
from totara_bridge.purge import Asked, purge
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.staging.erased import WORDS_REMOVED
from totara_bridge.staging.trace import trace
from totara_bridge.template import Template
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.source import Snapshot
from totara_bridge.watch import watch
from totara_bridge.why_not import Why, why_not


def test_the_life_of_the_learner_has_left_something_in_every_table(world: World) -> None:
    """Or the other tests would show nothing."""
    rows = of_learner(everything(world.bridge), world.zoe)
    assert {table for table, them in rows.items() if not them} == {
        "alert", "alert_notice", "api_token", "api_token_pace", "audit_log", "baseline", "compatibility", "course",
        "crawl", "delivery_hour", "destination_state", "erased_learner", "export_log", "extract_hour", "item_count",
        "loaded_file", "payload_template", "reconciled_count", "reconciliation", "setting", "site", "watermark",
    }  # fmt: skip
    assert {row["state"] for row in rows["export_queue"]} == {"queued", "failed", "dead", "cancelled", "sent", "held"}
    assert {row["kind"] for row in rows["export_queue"]} == {"completion", "correction", "withdrawal"}
    assert named(dump(world.bridge)) == set(ZOE.values())
    assert NUMBERS[ZOE["username"]] in dump(world.bridge)


def test_nothing_that_names_the_learner_is_left(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    erased = world.erase()
    left = dump(world.bridge)
    assert named(left) == set()
    assert NUMBERS[ZOE["username"]] not in left
    assert named(left, BUD) == set(BUD.values())
    told = caplog.text + json.dumps(erased.document(), ensure_ascii=False) + repr(erased)
    assert named(told) == set()
    assert erased.searched is not None
    assert (erased.searched.own, erased.searched.acted) == ({}, {})
    assert sorted(erased.names.sought) == ["email", "first_name", "id_number", "last_name", "username"]
    columns = world.bridge.rows("SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = 'bridge'")
    assert erased.searched.tables == columns[0]["n"]


def test_what_was_done_is_counted_by_table_and_written_down(world: World) -> None:
    before = of_learner(everything(world.bridge), world.zoe)
    erased = world.erase()
    after = of_learner(everything(world.bridge), world.zoe)
    counts = erased.counts()
    for step in erased.steps:
        if step.fate == "removed":
            assert counts[f"{step.table}_removed"] == len(before[step.table]) > 0, step.table
            assert after[step.table] == [], step.table
    for table in ("completion", "completion_instance", "export_queue"):
        assert counts[f"{table}_blanked"] == len(before[table]) == len(after[table])
    assert counts["delivery_kept"] == len(before["delivery"]) == len(after["delivery"])
    waiting = [row for row in before["export_queue"] if row["state"] not in ("sent", "cancelled")]
    assert counts["export_queue_cancelled"] == len(waiting)
    done, searched = after["audit_log"]
    looked_for = ["email", "first_name", "id_number", "last_name", "username"]
    assert (done["actor"], done["action"], done["details"]) == ("ann", "erase", counts | {"looked_for": looked_for})
    assert (searched["actor"], searched["action"], searched["details"]) == ("ann", "erase_search", erased.search())
    assert all(step.why for step in erased.steps)


def test_the_page_says_what_becomes_of_each_table(world: World) -> None:
    page = (Path(__file__).parents[2] / "docs" / "erasing.md").read_text()
    said = set(re.findall(r"^\| `(\w+)` \| (removed|blanked|cancelled|kept|added) \|", page, re.MULTILINE))
    done = {(step.table, step.fate) for step in world.erase().steps}
    assert done - {("delivery", "blanked")} | {("erased_learner", "added"), ("audit_log", "added")} == said


def test_nobody_else_is_touched(world: World) -> None:
    before = everything(world.bridge)
    others = without(before, of_learner(before, world.zoe))
    bud = of_learner(before, world.bud)
    world.erase()
    after = everything(world.bridge)
    kept = without(after, of_learner(after, world.zoe))
    # items are counted as they go: of whom they are, no count says
    assert kept | {"item_count": None} == others | {"item_count": None}
    shared = of_learner(before, world.zoe)["kept_body"]
    bud["kept_body"] = [row for row in bud["kept_body"] if row not in shared]
    assert bud["kept_body"], "else it is not shown that bodies without the learner are kept"
    assert of_learner(after, world.bud) == bud


# no payload names the learner, so nothing is hidden in what a destination says
BARE = Template.model_validate(
    {
        "name": "bare",
        "version": 1,
        "fields": {"idempotencyKey": "item_key", "kind": "kind", "revision": "revision", "userId": "user_id",
                   "courseId": "course_id", "status": "status", "timecompleted": "time_completed"},
    }
)  # fmt: skip


def bare_learner(bridge: Bridge, **names: str) -> int:
    """A learner whose one completion is queued without their names."""
    wants = Wants(DESTINATION, corrections=True, withdrawals=True, template=BARE)
    bridge.plan = replace(bridge.plan, destinations=[wants])
    bridge.extract()
    user, course = bridge.totara.new_user(**names), bridge.totara.new_course()
    bridge.totara.enrol(user, course)
    bridge.totara.complete(user, course)
    assert bridge.extract().queued == 1
    return user


def test_what_a_destination_said_of_the_learner_is_gone_from_the_log_of_requests_and_from_alerts(
    bridge: Bridge, oracle: SandboxOracle
) -> None:
    user = bare_learner(bridge, firstname="Zoelle", lastname="Lukasikova")
    oracle.faults({"action": {"status": 503, "body": {"title": "Person Zoelle LUKASIKOVA is locked"}}})
    bridge.push(oracle)
    for _ in range(2):
        bridge.later(hours=1)
        with suppress(OracleUnavailable):
            bridge.push(oracle)
    bridge.later(hours=1)
    watch(bridge.staging, CONFIG, bridge.now)
    before = everything(bridge)
    assert {table for table, rows in before.items() if "LUKASIKOVA" in str(rows)} >= {
        "export_log", "destination_state", "alert",
    }  # fmt: skip
    done = erase(bridge.staging, site=SITE, user_id=user, by="ann", dry_run=False, now=bridge.now)
    assert "lukasikova" not in dump(bridge).lower()
    assert done.searched is not None
    assert (done.searched.own, done.searched.others) == ({}, {})
    after, counts = everything(bridge), done.counts()
    assert {row["error"] for row in after["export_log"]} == {WORDS_REMOVED}
    assert counts["export_log_blanked"] == len(after["export_log"]) == len(before["export_log"])
    assert [row["reason"] for row in after["destination_state"]] == [WORDS_REMOVED]
    down = [row for row in after["alert"] if row["name"] == "destination_down"]
    assert [(row["words"], row["resolved_at"]) for row in down] == [(WORDS_REMOVED, None)]
    assert counts["alert_blanked"] == counts["destination_state_blanked"] == 1


def test_the_kept_body_of_a_purged_item_is_removed(bridge: Bridge, oracle: SandboxOracle) -> None:
    user, always = bare_learner(bridge, lastname="Purgette"), Settings(keep_bodies="always")
    assert bridge.push(oracle, settings=always).sent == 1
    [course] = bridge.rows("SELECT course_id AS id FROM bridge.completion_instance WHERE user_id = :user", user=user)
    bridge.totara.edit_date(user, course["id"], at=1_650_000_000)
    assert bridge.extract().corrections == 1
    bridge.later(minutes=1)
    assert bridge.push(oracle, settings=always).sent == 1
    bridge.later(days=2)
    purge(bridge.staging, Asked("ann", True, sent_days=1), now=bridge.now, stop=threading.Event())
    assert bridge.states() == {}
    erase(bridge.staging, site=SITE, user_id=user, by="ann", dry_run=False, now=bridge.now)
    assert bridge.rows("SELECT request FROM bridge.kept_body") == []


def test_keys_and_the_ledger_stay_and_say_nothing_else(world: World) -> None:
    before = of_learner(everything(world.bridge), world.zoe)
    world.erase()
    after = of_learner(everything(world.bridge), world.zoe)
    assert after["delivery"] == before["delivery"]
    for table, key in (("completion_instance", "record_key"), ("export_queue", "idempotency_key")):
        assert {row[key] for row in after[table]} == {row[key] for row in before[table]}
    now = after["erased_learner"][0]["erased_at"]
    for row in after["completion_instance"]:
        assert (row["ended_at"], row["first_seen_at"], row["status"]) == (now, now, "complete")
        gone = ("time_completed", "first_time_completed", "row_id", "history_id", "archived_at", "revised_at")
        assert {row[column] for column in gone} == {None}
    for row in after["export_queue"]:
        assert row["state"] in ("sent", "cancelled")
        assert (row["payload"], row["reference"], row["error_words"], row["error_code"]) == ("", None, None, None)
    assert {row["words"] for row in after["item_event"]} == {None, "its learner was erased"}
    assert {row["actor"] for row in before["item_event"]} <= {row["actor"] for row in after["item_event"]}


def test_pullers_are_told_that_each_completion_is_gone_and_nothing_else(world: World) -> None:
    [newest] = world.bridge.rows("SELECT max(change_seq) AS seq, max(changed_at) AS changed_at FROM bridge.completion")
    known = world.bridge.rows("SELECT course_id FROM bridge.completion WHERE user_id = :user", user=world.zoe)
    world.erase()
    news = world.bridge.rows("SELECT * FROM bridge.completion WHERE change_seq > :seq", seq=newest["seq"])
    assert {row["user_id"] for row in news} == {world.zoe}
    assert {row["course_id"] for row in news} == {row["course_id"] for row in known}
    for row in news:
        assert (row["deleted_at"], row["status"]) == (row["changed_at"], "not_started")
        assert row["changed_at"] > newest["changed_at"]
        for column in ("progress", "grade", "rpl", "time_enrolled", "time_started", "time_completed"):
            assert row[column] is None


# nothing brings them back


def happens_in_totara(world: World) -> None:
    """The learner, who is still there, goes on."""
    totara, user = world.bridge.totara, world.zoe
    totara.rename_user(user, 'O"Łukasik')
    totara.complete(user, world.courses["begun"])
    totara.edit_date(user, world.courses["sent"], at=1_640_000_000)
    totara.regress(user, world.courses["failed"])
    totara.recreate(user, world.courses["archived"])
    totara.complete(user, world.courses["archived"])
    new = totara.new_course()
    totara.enrol(user, new)
    totara.complete(user, new)


def test_nothing_brings_the_learner_back(world: World) -> None:
    world.erase()
    erased_on = f"{world.bridge.now:%Y-%m-%d}"
    kept = of_learner(everything(world.bridge), world.zoe)
    received = world.oracle.times_received()
    happens_in_totara(world)
    world.bridge.later(minutes=1)
    for extracted in (world.bridge.extract(), world.bridge.full_compare()):
        assert not extracted.changed
        assert extracted.set_aside == 1, "only the other learner's row"
    bud = of_learner(everything(world.bridge), world.bud)
    for again in (False, True):
        for destination in (DESTINATION, "numbered"):
            world.bridge.backfill(destination=destination, resend=again)
    assert by_hand_all(world) == 0
    [(line, reason)] = number(world, world.zoe, "ORCL-AGAIN")
    assert (line, reason) == (2, f"its learner was erased on {erased_on}")
    world.bridge.later(days=1)
    world.bridge.push(world.oracle, settings=SETTINGS)
    assert of_learner(everything(world.bridge), world.zoe) == kept
    assert named(dump(world.bridge)) == set()
    sent_now = {key for key, times in world.oracle.times_received().items() if times != received.get(key, 0)}
    assert sent_now, "the others' completions go on"
    assert sent_now.isdisjoint({row["idempotency_key"] for row in kept["export_queue"]})
    assert not bud["erased_learner"]


def test_an_extract_that_read_before_the_erasure_and_merges_after_it_brings_nothing(world: World) -> None:
    happens_in_totara(world)

    class Interrupted:
        """The Totara, and what happens between its reading and the merge."""

        @contextmanager
        def snapshot(self) -> Iterator[Snapshot]:
            with DatabaseSource(world.bridge.connection).snapshot() as snapshot:
                yield snapshot
            world.erase()

    extracted = extract_site(world.bridge.staging, Interrupted(), world.bridge.plan, now=world.bridge.now)
    assert extracted.read > 0
    assert not extracted.changed
    assert named(dump(world.bridge)) == set()
    rows = of_learner(everything(world.bridge), world.zoe)
    assert {row["status"] for row in rows["completion"]} == {"not_started"}
    assert all(row["ended_at"] for row in rows["completion_instance"])


def test_a_learner_whom_the_bridge_never_saw_stays_unseen(world: World) -> None:
    newcomer = world.bridge.totara.new_user(lastname="Unheardof")
    erased = world.erase(newcomer)
    assert (erased.found, erased.searched) == (0, None)
    assert "knew no name" in str(erased.document()["search"])
    world.bridge.totara.enrol(newcomer, world.courses["sent"])
    world.bridge.totara.complete(newcomer, world.courses["sent"])
    assert not world.bridge.extract().changed
    assert not world.bridge.full_compare().changed
    assert "Unheardof" not in dump(world.bridge)


def test_another_site_knows_another_learner_by_the_number(world: World) -> None:
    with world.bridge.staging.begin() as transaction:
        transaction.execute(
            text("INSERT INTO bridge.erased_learner VALUES ('uk', :user, now(), 'ann')"), {"user": world.zoe}
        )
    happens_in_totara(world)
    assert world.bridge.extract().queued > 0


# what is said of it


CONFIG = BridgeConfig(
    sites=(SiteEntry(code=SITE, connection="totara_sandbox"),),
    destinations=(Destination(code=DESTINATION, connection="oracle_sandbox"),),
)


def test_why_and_trace_say_that_the_learner_was_erased(world: World) -> None:
    world.erase()
    [answer] = why_not(
        world.bridge.staging,
        CONFIG,
        site=SITE,
        user_id=world.zoe,
        course_id=world.courses["sent"],
        now=world.bridge.now,
    )
    assert (answer.why, answer.destination, answer.record_key) == (Why.ERASED, None, None)
    assert answer.sentence.startswith(
        f"The learner was erased on {world.bridge.now:%Y-%m-%d %H:%M} UTC, as ann asked: "
    )
    with world.bridge.staging.connect() as transaction:
        for fate, verbs in (
            ("sent", ["enqueue", "acknowledge", "erase"]),
            ("failed", ["enqueue", "retry", "erase", "cancel"]),
        ):
            found = trace(transaction, item_id=world.item(world.zoe, fate))
            assert found is not None
            assert [entry.what for entry in found.entries] == verbs
            [erasure] = [entry for entry in found.entries if entry.what == "erase"]
            assert (erasure.at >= world.bridge.now, erasure.actor) == (True, "ann")
