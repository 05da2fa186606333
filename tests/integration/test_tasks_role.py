"""The role of the tasks may do all that tasks and a maintainer's commands do."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.bridge import DESTINATION, Bridge
from tests.crawled_site import crawled
from tests.exporting import Exports
from tests.life import SETTINGS, SHADOW, WANTS, World, number
from tests.reconciled import numbers, reconcile
from tests.staging_roles import TASKS, as_role, grant_to_roles
from totara_bridge import purge, requeue
from totara_bridge.command.__main__ import main
from totara_bridge.errors import OracleUnavailable
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.staging.states import State


@pytest.fixture
def tasks(staging: Engine, totara: Engine) -> Bridge:
    """The bridge as its tasks have it: nothing is done as the owner."""
    return Bridge(as_role(staging, TASKS), totara)


@pytest.fixture
def lived_as_tasks(world: World) -> World:
    """Learners to whom everything has happened; what happens from now on, tasks do."""
    grant_to_roles(world.bridge.staging.url.render_as_string(hide_password=False))
    tasks = Bridge(as_role(world.bridge.staging, TASKS), world.bridge.totara.engine)
    tasks.now, tasks.plan = world.bridge.now, world.bridge.plan
    return replace(world, bridge=tasks)


def test_a_site_is_extracted_and_delivered_whatever_happens_on_the_way(tasks: Bridge, oracle: SandboxOracle) -> None:
    tasks.plan = replace(tasks.plan, destinations=WANTS)
    tasks.queue_new(6)
    edited, deleted, archived = (tasks.totara.pair_with(status=50, nth=n) for n in range(3))
    oracle.faults(
        {"match": {"next": 1}, "action": {"status": 429}},
        {"match": {"next": 3}, "action": {"status": 503}},
    )
    with_little = Settings(batch_size=1, in_flight=1, retry_longest=timedelta(minutes=1), keep_bodies="always")
    for _ in range(10):
        tasks.later(hours=2)
        with suppress(OracleUnavailable):  # it rests a while
            tasks.push(oracle, settings=with_little)
    assert tasks.states()["sent"] == 6
    tasks.totara.edit_date(*edited, at=1_650_000_000)
    tasks.totara.delete_completion(*deleted)
    tasks.totara.archive(*archived)
    tasks.totara.delete_course(tasks.totara.courses()[-1])
    assert tasks.full_compare().read > 0
    assert tasks.backfill().queued > 900
    tasks.push(oracle)
    assert set(tasks.states()) == {"sent"}


def test_what_is_finished_is_purged_and_sent_again(lived_as_tasks: World) -> None:
    world, tasks = lived_as_tasks, lived_as_tasks.bridge
    assert number(world, world.bud, "ORCL-BUD-3") == []
    tasks.push(world.oracle, destination="numbered", settings=SHADOW)
    tasks.push(world.oracle, settings=SETTINGS)
    for action in (Action.REQUEUE, Action.CANCEL):
        chosen = Selection(states=(State.DEAD, State.FAILED, State.HELD))
        done = requeue.carry_out(tasks.staging, action, chosen, by="ann", words="to see", dry_run=False, now=tasks.now)
        assert done.done > 0, action
    tasks.later(days=5000)
    asked = purge.Asked("ann", by_hand=True)
    gone = purge.purge(tasks.staging, asked, now=tasks.now, stop=threading.Event()).counts
    assert {name for name, rows in gone.items() if rows} >= {
        "items", "item_events", "kept_bodies", "log_rows", "acknowledgements", "audit_rows",
    }  # fmt: skip
    assert tasks.backfill(resend=True).resent > 0
    assert tasks.push_later(world.oracle).sent > 0


def test_a_learner_is_erased_and_a_site_reconciled(lived_as_tasks: World) -> None:
    world, tasks = lived_as_tasks, lived_as_tasks.bridge
    tasks.extract()
    assert world.erase(dry_run=True).steps
    assert world.erase().steps
    tasks.totara.complete(*tasks.totara.pair_with(status=25))
    tasks.totara.sql_update_without_log(world.bud, world.courses["begun"], at=1_650_000_000)
    found = reconcile(tasks, repair=True)
    assert sum(numbers(found)) > 0


def test_other_sources_are_read(tasks: Bridge, tmp_path: Path) -> None:
    exports = Exports(tasks, tmp_path)
    exports.write()
    assert exports.extract().read > 0
    with crawled(tasks) as site:
        assert site.extract().read > 0
        site.later(days=1)
        assert site.extract().read > 0


@pytest.fixture
def run(lived_as_tasks: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """A maintainer's command: its exit code."""
    url = lived_as_tasks.bridge.staging.url.set(drivername="postgresql")
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", url.render_as_string(hide_password=False))
    return lambda *arguments: main(arguments)


def test_a_maintainer_has_every_command(
    run: Callable[..., int], lived_as_tasks: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world = lived_as_tasks
    item = str(world.item(world.zoe, "dead"))
    pair = ("--site", "sbx", "--learner", str(world.zoe), "--course", str(world.courses["sent"]))
    for command in (
        ("setting", "shadow", "true"),
        ("setting", "shadow", "null"),
        ("token", "issue", "warehouse"),
        ("token", "rotate", "warehouse"),
        ("token", "list"),
        ("token", "revoke", "warehouse"),
        ("alerts",),
        ("errors",),
        ("item", "requeue", item),
        ("bodies", "--destination", DESTINATION),
        ("why", *pair),
        ("trace", "--item", item),
    ):
        assert run(*command) == 0, (command, capsys.readouterr().err)
