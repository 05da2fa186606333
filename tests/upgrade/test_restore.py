"""Staging that was lost is restored from an older backup: Oracle has each completion once, and none is missing."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.bridge import FOUR_IN_FLIGHT, Bridge
from tests.reconciled import differences, numbers, reconcile
from tests.upgrade import backup
from tests.upgrade.version import THIS
from tests.upgrade.worker import WANTS
from tests.web.puller import Puller
from tests.web.serving import serving
from totara_bridge import api_token
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging.migrate import migrate
from totara_bridge.web.pull import alone
from totara_bridge.web.pull.app import PREFIX

Until = Callable[[Callable[[], bool]], None]
_DOCUMENTED = Path(__file__).parents[2] / "docs/backup.md"


@pytest.fixture
def restored(
    new_database: Callable[[str], str], totara: Engine, tmp_path: Path
) -> Iterator[Callable[[Bridge], Bridge]]:
    """Go on with what a backup has: gives the bridge to the same Totara, a day later."""
    engines: list[Engine] = []

    def restore(lost: Bridge) -> Bridge:
        address = new_database("restored")
        backup.restore(address, tmp_path / "bridge.dump")
        url = address.replace("postgresql://", "postgresql+psycopg://", 1)
        migrate(url)  # grants the roles what they may do
        engines.append(create_engine(url, pool_size=20))
        bridge = Bridge(engines[-1], totara)
        bridge.plan, bridge.now = lost.plan, lost.now
        bridge.later(days=1)
        return bridge

    yield restore
    for engine in engines:
        engine.dispose()


@pytest.fixture
def delivered(bridge: Bridge, oracle: SandboxOracle, tmp_path: Path) -> Bridge:
    """A bridge whose past was delivered, with twenty items to deliver; of that there is a backup."""
    bridge.extract()
    bridge.backfill()
    bridge.push(oracle)
    complete(bridge, 20)
    bridge.extract()
    backup.dump(address(bridge), tmp_path / "bridge.dump")
    return bridge


def address(bridge: Bridge) -> str:
    return bridge.staging.url.render_as_string(hide_password=False).replace("+psycopg", "")


def complete(bridge: Bridge, number: int) -> list[tuple[int, int]]:
    """So many learners complete a course now."""
    pairs = [bridge.totara.pair_with(status=25, nth=n) for n in range(number)]
    for pair in pairs:
        bridge.totara.complete(*pair)
    return pairs


def deliver(bridge: Bridge, oracle: SandboxOracle) -> None:
    """What changed in Totara, from there to Oracle."""
    bridge.later(minutes=1)
    bridge.extract()
    bridge.push(oracle)


def keys(bridge: Bridge) -> dict[tuple[Any, ...], str]:
    rows = bridge.rows("SELECT * FROM bridge.completion_instance")
    return {
        (row["user_id"], row["course_id"], row["first_time_completed"], row["ordinal"]): row["record_key"]
        for row in rows
    }


def test_what_was_delivered_since_the_backup_comes_again_and_is_known(
    delivered: Bridge, oracle: SandboxOracle, restored: Callable[[Bridge], Bridge], totara: Engine
) -> None:
    bridge = delivered
    bridge.push(oracle)
    complete(bridge, 10)
    again = bridge.totara.pair_with(status=50, nth=3)
    bridge.totara.archive(*again)
    bridge.totara.recreate(*again)
    bridge.totara.complete(*again)
    deliver(bridge, oracle)
    stored, named, since = oracle.stored_keys(), keys(bridge), 20 + 10 + 1
    assert len(stored) == len(set(stored)) == len(named) - withheld(bridge)

    bridge = restored(bridge)
    assert bridge.states() == {"sent": len(stored) - since, "queued": 20}
    bridge.extract()
    assert bridge.states() == {"sent": len(stored) - since, "queued": since}
    assert bridge.push(oracle).sent == since
    assert oracle.stored_keys() == stored  # no other came
    received = oracle.received()
    assert (received["duplicates"], received["conflicts"]) == (since, 0)
    assert keys(bridge) == named
    assert numbers(reconcile(bridge)) == (0, 0, 0, 0), differences(bridge)
    [ledger] = bridge.rows("SELECT count(*) AS n FROM bridge.delivery")
    assert ledger["n"] == len(stored)
    bridge.later(minutes=1)
    assert not bridge.full_compare().changed
    assert bridge.push(oracle).requests == 0


def withheld(bridge: Bridge) -> int:
    """Instances of learners who were deleted before they were first seen."""
    [found] = bridge.rows("SELECT count(*) AS n FROM bridge.completion_instance WHERE after_deletion")
    return int(found["n"])


def test_what_was_completed_and_then_edited_since_the_backup_comes_under_another_name(
    delivered: Bridge, oracle: SandboxOracle, restored: Callable[[Bridge], Bridge]
) -> None:
    bridge = delivered
    [pair] = complete(bridge, 1)
    deliver(bridge, oracle)
    bridge.totara.edit_date(*pair, at=1_600_000_000)
    deliver(bridge, oracle)
    before = oracle.stored_keys()
    bridge = restored(bridge)
    deliver(bridge, oracle)
    [other] = set(oracle.stored_keys()) - set(before)
    assert bridge.instances(pair)[-1]["record_key"] == other


def statements() -> list[str]:
    """The SQL that the page gives for a destination that takes corrections or withdrawals."""
    [block] = re.findall(r"```sql\n\s*(UPDATE .*?)```", _DOCUMENTED.read_text(), re.DOTALL)
    return [each for each in block.split(";") if each.strip()]


def test_amendments_after_a_restore_are_taken_for_none_from_before_it(
    delivered: Bridge, oracle: SandboxOracle, restored: Callable[[Bridge], Bridge]
) -> None:
    bridge = delivered
    bridge.plan = replace(bridge.plan, destinations=[WANTS])
    twice, once, gone = (bridge.totara.pair_with(status=50, nth=n) for n in (1, 2, 3))
    for at in (1_500_000_000, 1_510_000_000):
        bridge.totara.edit_date(*twice, at=at)
        deliver(bridge, oracle)
    bridge.totara.edit_date(*once, at=1_520_000_000)
    bridge.totara.delete_completion(*gone)
    deliver(bridge, oracle)

    bridge = restored(bridge)
    with bridge.staging.begin() as transaction:
        for each in statements():
            transaction.execute(text(each))
    deliver(bridge, oracle)
    for pair in (twice, once):
        bridge.totara.edit_date(*pair, at=1_530_000_000)
    deliver(bridge, oracle)
    assert numbers(reconcile(bridge)) == (0, 0, 0, 0), differences(bridge)
    assert oracle.received()["conflicts"] == 0
    for pair, said in ((twice, "2018-06-26T08:00:00Z"), (once, "2018-06-26T08:00:00Z"), (gone, None)):
        [instance] = bridge.instances(pair)
        assert newest(oracle, instance["record_key"]) == (said, "correction" if said else "withdrawal")


def newest(oracle: SandboxOracle, record_key: str) -> tuple[str | None, str]:
    """What Oracle knows last of a completion: its date, and by which kind of item."""
    said: list[Mapping[str, Any]] = [each["payload"] for each in oracle.items(limit=10_000)]
    last = max((each for each in said if each["recordKey"] == record_key), key=lambda each: int(each["revision"]))
    return (last["timecompleted"] if last["kind"] != "withdrawal" else None), last["kind"]


def test_a_backup_of_a_bridge_that_pushes_is_whole(
    bridge: Bridge, oracle: SandboxOracle, restored: Callable[[Bridge], Bridge], tmp_path: Path, wait_until: Until
) -> None:
    bridge.extract()
    bridge.backfill()
    oracle.settings(latency=0.05)
    oracle.faults({"match": {"nth": 3}, "action": {"hang": "after"}})  # some are being sent, however fast the rest is
    settings = FOUR_IN_FLIGHT.model_copy(update={"batch_size": 20})
    pushing = threading.Thread(target=bridge.push, args=(oracle,), kwargs={"settings": settings, "timeout": 120})
    pushing.start()
    oracle.wait(keys_stored=100)
    wait_until(lambda: bridge.states().get("sent", 0) >= 20)
    backup.dump(address(bridge), tmp_path / "bridge.dump")
    oracle.release()
    pushing.join()
    stored = oracle.stored_keys()
    assert len(stored) == bridge.states()["sent"]

    bridge = restored(bridge)
    found = bridge.states()
    assert min(found["sending"], found["sent"]) >= 20, found
    [counted] = bridge.rows(_COUNTED)
    assert counted["items"] == counted["by_state"], counted
    assert counted["sent"] == counted["ledger"] == counted["by_hour"], counted
    deliver(bridge, oracle)
    assert bridge.states() == {"sent": len(stored)}
    assert oracle.stored_keys() == stored
    assert oracle.received()["conflicts"] == 0
    assert numbers(reconcile(bridge)) == (0, 0, 0, 0)


_COUNTED = """
    SELECT (SELECT count(*) FROM bridge.export_queue) AS items,
           (SELECT cast(sum(came) - sum(went) AS bigint) FROM bridge.item_count) AS by_state,
           (SELECT count(*) FROM bridge.export_queue WHERE state = 'sent') AS sent,
           (SELECT count(*) FROM bridge.delivery) AS ledger,
           (SELECT coalesce(sum(sent), 0)::bigint FROM bridge.delivery_hour) AS by_hour
"""


def test_who_pulls_begins_again_and_roles_may_what_they_could(
    delivered: Bridge, restored: Callable[[Bridge], Bridge], monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = delivered
    with bridge.staging.begin() as transaction:
        token = api_token.issue(transaction, caller="warehouse", by="ann", now=datetime.now(UTC)).token
    complete(bridge, 5)
    bridge.later(minutes=1)
    bridge.extract()
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address(bridge))
    with serving(alone(), lifespan="on") as host, Puller(host + PREFIX, token) as puller:
        cursor = puller.fetch(since="1970-01-01", limit=5_000)["cursor"]

    bridge = restored(bridge)
    with bridge.staging.begin() as transaction:  # it was given since the backup, and is forgotten
        token = api_token.issue(transaction, caller="warehouse", by="ann", now=datetime.now(UTC)).token
    as_pull = bridge.staging.url.set(username="bridge_pull", drivername="postgresql")
    with bridge.staging.begin() as transaction:
        transaction.execute(text(f'GRANT CONNECT ON DATABASE "{as_pull.database}" TO bridge_pull'))
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", as_pull.render_as_string(hide_password=False))
    with serving(alone(), lifespan="on") as host, Puller(host + PREFIX, token) as puller:
        answer = puller.get("/completions", cursor=cursor)
        assert (answer.status_code, answer.json()["type"]) == (410, "urn:totara-bridge:problem:cursor-ahead")
        assert puller.fetch(since="1970-01-01")["items"]
    assert THIS.run("totara_bridge.command", "token", "list", database=address(bridge))[0] == 0
