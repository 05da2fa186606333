"""Promises: what is broken is one alert for as long as it is broken, counted from what the tables say."""

import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, SETTINGS, SITE, Bridge
from totara_bridge.alert_name import AlertName
from totara_bridge.config import BridgeConfig, read_config
from totara_bridge.errors import OracleUnavailable
from totara_bridge.push.flow import FAILURES_TO_OPEN
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import alert, setting
from totara_bridge.staging.setting import EVERYWHERE
from totara_bridge.watch import FEWEST, Watched, watch

CONFIG = f"""
[[sites]]
code = "{SITE}"
connection = "totara_sandbox"
[[destinations]]
code = "{DESTINATION}"
connection = "oracle_sandbox"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BridgeConfig:
    """One site, one destination, every schedule as by default."""
    return read(tmp_path, monkeypatch, CONFIG)


def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str) -> BridgeConfig:
    file = tmp_path / "bridge.toml"
    file.write_text(written)
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    return read_config()


def look(bridge: Bridge, config: BridgeConfig) -> Watched:
    return watch(bridge.staging, config, bridge.now)


def switch(bridge: Bridge, name: str, value: Any, scope: str = EVERYWHERE) -> None:
    with bridge.staging.begin() as transaction:
        setting.write(transaction, scope=scope, name=name, value=value, by="ann", now=bridge.now)


def found(bridge: Bridge) -> list[tuple[str, str, bool]]:
    """Every alert there ever was: its name, its subject, whether it is open."""
    rows = bridge.rows("SELECT name, subject, resolved_at IS NULL AS is_open FROM bridge.alert ORDER BY id")
    return [(row["name"], row["subject"], row["is_open"]) for row in rows]


def words(bridge: Bridge, name: AlertName) -> str:
    [row] = bridge.rows("SELECT words FROM bridge.alert WHERE name = :name", name=name)
    return str(row["words"])


def change(bridge: Bridge, statement: str, **values: Any) -> None:
    with bridge.staging.begin() as transaction:
        transaction.execute(text(statement), values)


def test_where_every_promise_is_kept_nothing_is_raised(bridge: Bridge, config: BridgeConfig) -> None:
    bridge.queue_new(3)
    watched = look(bridge, config)
    assert found(bridge) == []
    assert watched.destinations[DESTINATION].waiting.by_state == {"queued": 3}
    assert watched.silent_for == {SITE: timedelta(0)}


def test_nothing_is_promised_before_the_first_extract(bridge: Bridge, config: BridgeConfig) -> None:
    assert look(bridge, config).silent_for == {}
    assert found(bridge) == []


def test_the_oldest_completion_that_waits_is_raised_once_and_resolved_when_it_is_sent(
    bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle
) -> None:
    bridge.queue_new(3)
    since = bridge.now
    bridge.later(hours=25)
    assert [each.name for each in look(bridge, config).raised] == [AlertName.UNDELIVERED]
    bridge.later(hours=1)  # not yet silent
    assert [each.name for each in look(bridge, config).still_open] == [AlertName.UNDELIVERED]
    assert words(bridge, AlertName.UNDELIVERED) == (
        f"3 completions wait for longer than 24 hours; the oldest, which is queued, since {since:%Y-%m-%d %H:%M} UTC. "
        "Not delivered yet: 3 queued."
    )
    bridge.push(oracle)
    assert [each.name for each in look(bridge, config).resolved] == [AlertName.UNDELIVERED]
    look(bridge, config)
    assert found(bridge) == [("undelivered", DESTINATION, False)]


@pytest.mark.parametrize("state", ["dead", "held", "failed"])
def test_what_waits_for_a_person_is_not_delivered_either(bridge: Bridge, config: BridgeConfig, state: str) -> None:
    bridge.queue_new(2)
    others = {
        "dead": "error_class = 'rejected'",
        "failed": "error_class = 'x'",
        "held": "held_for = 'x', held_at = now()",
    }
    change(bridge, f"UPDATE bridge.export_queue SET state = '{state}', {others[state]}")
    bridge.later(hours=25)
    look(bridge, config)
    assert f"which is {state}" in words(bridge, AlertName.UNDELIVERED)


def test_the_backfill_lane_and_what_is_cancelled_promise_nothing(bridge: Bridge, config: BridgeConfig) -> None:
    bridge.queue_new(2)
    change(bridge, "UPDATE bridge.export_queue SET lane = 'backfill' WHERE id % 2 = 0")
    change(bridge, "UPDATE bridge.export_queue SET state = 'cancelled', cancelled_by = 'ann' WHERE id % 2 = 1")
    bridge.later(hours=25)
    assert look(bridge, config).destinations[DESTINATION].waiting.items == 0
    assert found(bridge) == []


def test_a_destination_has_its_own_promise(bridge: Bridge, config: BridgeConfig) -> None:
    bridge.queue_new(1)
    bridge.later(hours=2)
    look(bridge, config)
    assert found(bridge) == []
    switch(bridge, "promise", "PT1H", DESTINATION)
    look(bridge, config)
    assert found(bridge) == [("undelivered", DESTINATION, True)]


def deliver(bridge: Bridge, sent: int, seconds: float) -> None:
    """So many deliveries of that delay, within this hour."""
    change(
        bridge,
        """
        INSERT INTO bridge.delivery_hour VALUES
            (:destination, date_trunc('hour', cast(:now AS timestamptz)),
             floor(4 * log(2.0, cast(:seconds AS numeric))), :sent)
        """,
        destination=DESTINATION,
        now=bridge.now,
        seconds=seconds,
        sent=sent,
    )


def test_the_share_in_time_is_of_what_was_delivered_and_what_is_late(bridge: Bridge, config: BridgeConfig) -> None:
    bridge.extract()
    deliver(bridge, 19, 60)
    deliver(bridge, 1, 48 * 3600)
    assert look(bridge, config).destinations[DESTINATION].delivered.in_time == 19
    assert found(bridge) == []  # 95 %, as promised
    deliver(bridge, 1, 72 * 3600)
    look(bridge, config)
    assert words(bridge, AlertName.LATE_SHARE) == (
        "Of 21 completions in 30 days, 90.5 % were delivered within 24 hours; 95 % are promised."
    )
    bridge.later(days=31)
    change(bridge, "UPDATE bridge.watermark SET extracted_at = :now", now=bridge.now)
    look(bridge, config)
    assert found(bridge) == [("late_share", DESTINATION, False)]


def test_a_share_of_few_deliveries_says_nothing(bridge: Bridge, config: BridgeConfig) -> None:
    bridge.extract()
    deliver(bridge, 19, 48 * 3600)
    look(bridge, config)
    assert found(bridge) == []


def test_a_silent_site_is_raised_and_its_next_extract_resolves_it(bridge: Bridge, config: BridgeConfig) -> None:
    bridge.extract()
    bridge.later(hours=26)
    look(bridge, config)
    assert found(bridge) == []
    bridge.later(minutes=1)
    look(bridge, config)
    assert found(bridge) == [("silence", SITE, True)]
    bridge.extract()
    look(bridge, config)
    assert found(bridge) == [("silence", SITE, False)]


def test_a_site_whose_turn_comes_seldom_is_not_silent_between_two(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weekly = read(tmp_path, monkeypatch, CONFIG.replace('"totara_sandbox"', '"totara_sandbox"\nschedule = "weekly"'))
    bridge.extract()
    bridge.later(days=6)
    look(bridge, weekly)
    assert found(bridge) == []
    bridge.later(days=9)
    look(bridge, weekly)
    assert found(bridge) == [("silence", SITE, True)]


def test_more_dead_items_in_an_hour_than_expected_are_raised(
    bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle
) -> None:
    bridge.queue_new(4)
    switch(bridge, "dead_per_hour", 2)
    change(bridge, "UPDATE bridge.export_queue SET state = 'dead', error_class = 'rejected' WHERE id <= 4")
    reject = (
        "INSERT INTO bridge.item_event (item_id, at, verb, actor) "
        "SELECT id, :at, 'reject', 'push' FROM bridge.export_queue"
    )
    change(bridge, f"{reject} ORDER BY id LIMIT 2", at=bridge.now)
    look(bridge, config)
    assert found(bridge) == []  # two, each counted once
    change(bridge, reject, at=bridge.now)
    look(bridge, config)
    assert words(bridge, AlertName.DEAD_ITEMS) == "4 items died within an hour; up to 2 are expected."
    bridge.later(hours=1)
    look(bridge, config)
    assert found(bridge) == [("dead_items", DESTINATION, False)]


def test_a_night_in_which_the_destination_is_down_is_one_alert_and_one_resolution(
    bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle
) -> None:
    bridge.queue_new(5)
    oracle.faults({"match": {}, "action": {"status": 503}})
    failed = 0
    for _ in range(40):
        try:
            bridge.push(oracle)  # nothing may be due: that tells nothing of the destination
        except OracleUnavailable:
            failed += 1
        look(bridge, config)
        bridge.later(minutes=15)
    assert failed > 5
    assert found(bridge) == [("destination_down", DESTINATION, True)]
    oracle.faults()
    bridge.later(hours=6)
    assert bridge.push(oracle).sent == 5
    look(bridge, config)
    look(bridge, config)
    assert found(bridge) == [("destination_down", DESTINATION, False)]


@pytest.mark.parametrize(("name", "value"), [("enabled", False), ("shadow", True)])
@pytest.mark.parametrize("scope", [DESTINATION, EVERYWHERE])
def test_what_is_switched_off_or_only_shown_promises_nothing(
    bridge: Bridge, config: BridgeConfig, name: str, value: bool, scope: str
) -> None:
    bridge.queue_new(1)
    bridge.later(hours=25)
    look(bridge, config)
    switch(bridge, name, value, scope)
    assert [each.name for each in look(bridge, config).resolved] == [AlertName.UNDELIVERED]
    assert words(bridge, AlertName.UNDELIVERED).endswith(
        "A manager has switched it off." if name == "enabled" else "It is in shadow mode, which sends nothing."
    )
    bridge.later(minutes=50)  # not yet silent
    switch(bridge, name, not value, scope)
    bridge.later(minutes=1)
    look(bridge, config)
    assert found(bridge) == [("undelivered", DESTINATION, False)]  # the promise counts from now on
    bridge.later(hours=24)
    look(bridge, config)
    assert ("undelivered", DESTINATION, True) in found(bridge)


@pytest.mark.parametrize(("name", "value"), [("enabled", False), ("shadow", True)])
def test_what_waited_while_nothing_was_promised_is_not_late_once_it_is(
    bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle, name: str, value: bool
) -> None:
    bridge.queue_new(FEWEST)
    switch(bridge, name, value, DESTINATION)
    bridge.later(days=3)
    bridge.extract()
    switch(bridge, name, not value, DESTINATION)
    bridge.later(minutes=1)
    look(bridge, config)
    assert bridge.push(oracle).sent == FEWEST
    for _ in range(3):
        look(bridge, config)
        bridge.later(hours=20)
        bridge.extract()
    assert found(bridge) == []


def test_a_site_is_not_silent_because_nothing_was_read_while_all_was_switched_off(
    bridge: Bridge, config: BridgeConfig
) -> None:
    bridge.extract()
    switch(bridge, "enabled", False)
    bridge.later(days=3)
    switch(bridge, "enabled", True)
    bridge.later(hours=26)
    look(bridge, config)
    assert found(bridge) == []
    bridge.later(minutes=1)
    look(bridge, config)
    assert found(bridge) == [("silence", SITE, True)]


def test_that_it_was_down_before_it_was_switched_off_says_nothing_until_it_is_asked_again(
    bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle
) -> None:
    bridge.queue_new(5)
    oracle.faults({"match": {}, "action": {"status": 503}})
    be_down(bridge, config, oracle)
    switch(bridge, "enabled", False, DESTINATION)
    look(bridge, config)
    bridge.later(hours=60)
    switch(bridge, "enabled", True, DESTINATION)
    bridge.later(minutes=14)
    bridge.extract()
    look(bridge, config)
    assert found(bridge) == [("destination_down", DESTINATION, False)]
    be_down(bridge, config, oracle)
    assert found(bridge) == [("destination_down", DESTINATION, False), ("destination_down", DESTINATION, True)]


def be_down(bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle) -> None:
    """For longer than anybody bears without a word."""
    for _ in range(4):
        with suppress(OracleUnavailable):
            bridge.push(oracle)
        bridge.later(minutes=15)
        look(bridge, config)
    assert found(bridge)[-1] == ("destination_down", DESTINATION, True)


def test_a_destination_that_refuses_items_answers(bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle) -> None:
    bridge.queue_new(4)
    oracle.faults({"match": {}, "action": {"status": 503}})
    be_down(bridge, config, oracle)
    oracle.faults({"match": {}, "action": {"item": "rejected", "message": "no such course"}})
    bridge.later(hours=6)
    assert bridge.push(oracle).dead == 4
    look(bridge, config)
    assert ("destination_down", DESTINATION, False) in found(bridge)


@pytest.mark.parametrize(
    ("scope", "switched", "over"),
    [
        (DESTINATION, ("enabled", False), {DESTINATION}),
        (EVERYWHERE, ("enabled", False), {DESTINATION, SITE}),
        (DESTINATION, ("shadow", True), set()),  # it still gets a token
    ],
)
def test_what_is_switched_off_has_no_credentials_failing(
    bridge: Bridge, config: BridgeConfig, scope: str, switched: tuple[str, bool], over: set[str]
) -> None:
    with bridge.staging.begin() as transaction:
        for code in (DESTINATION, SITE):
            alert.raise_alert(
                transaction, name=AlertName.CREDENTIALS_FAILING, subject=code, words="It gives none.", now=bridge.now
            )
    look(bridge, config)
    assert all(is_open for _, _, is_open in found(bridge))
    switch(bridge, *switched, scope)
    resolved = look(bridge, config).resolved
    assert {each.subject for each in resolved} == over
    assert {each.words for each in resolved} <= {"It gives none. A manager has switched it off."}
    assert {subject for _, subject, is_open in found(bridge) if not is_open} == over


def test_the_alerts_of_what_is_no_more_in_bridge_toml_are_resolved(
    bridge: Bridge, config: BridgeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.queue_new(1)
    bridge.later(hours=27)
    look(bridge, config)
    assert [is_open for _, _, is_open in found(bridge)] == [True, True]
    look(bridge, read(tmp_path, monkeypatch, ""))
    assert [is_open for _, _, is_open in found(bridge)] == [False, False]


def test_watches_at_the_same_time_raise_one_alert(bridge: Bridge, config: BridgeConfig) -> None:
    bridge.queue_new(1)
    bridge.later(hours=25)
    together = threading.Barrier(4)

    def at_once() -> None:
        together.wait()
        look(bridge, config)

    watching = [threading.Thread(target=at_once) for _ in range(4)]
    for each in watching:
        each.start()
    for each in watching:
        each.join()
    assert found(bridge) == [("undelivered", DESTINATION, True)]


NOBODY = {"token_url": "http://127.0.0.1:1/token"}


@pytest.mark.parametrize(
    ("fault", "access"),
    [({"status": 503}, {}), ({"close": "before"}, {}), ({}, NOBODY)],
    ids=["unavailable", "no answer", "no token"],
)
def test_a_night_with_one_completion_is_one_alert_too(
    bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle, fault: dict[str, Any], access: dict[str, Any]
) -> None:
    bridge.queue_new(1)
    oracle.faults({"match": {}, "action": fault})
    began = bridge.now
    while bridge.now < began + timedelta(hours=10):
        bridge.push(oracle, **access)  # one request at most: no drain sees three in a row
        look(bridge, config)
        bridge.later(minutes=15)
    assert found(bridge) == [("destination_down", DESTINATION, True)]
    assert words(bridge, AlertName.DESTINATION_DOWN).startswith(
        f"It has stored nothing since {began:%Y-%m-%d %H:%M} UTC: it failed repeatedly: "
    )
    oracle.faults()
    bridge.later(hours=6)
    assert bridge.push(oracle).sent == 1
    look(bridge, config)
    assert found(bridge) == [("destination_down", DESTINATION, False)]


@pytest.mark.parametrize("between", ["delivered", "answered"])
def test_an_item_that_fails_alone_between_answers_says_nothing_of_the_destination(
    bridge: Bridge, config: BridgeConfig, oracle: SandboxOracle, between: str
) -> None:
    bridge.queue_new(1)
    [only] = bridge.rows("SELECT idempotency_key AS key FROM bridge.export_queue")
    broken = {"match": {"key": only["key"]}, "action": {"status": 500}}
    other = {"match": {}, "action": {} if between == "delivered" else {"item": "rejected", "message": "no"}}
    oracle.faults(broken, other)
    for nth in range(4):
        bridge.push(oracle)
        bridge.totara.complete(*bridge.totara.pair_with(status=25, nth=nth))
        bridge.later(minutes=1)
        bridge.extract()
        bridge.push(oracle, settings=SETTINGS.model_copy(update={"batch_size": 1}))
        bridge.later(hours=2)
        look(bridge, config)
    assert max(row["failures"] for row in bridge.rows("SELECT failures FROM bridge.export_queue")) >= FAILURES_TO_OPEN
    assert found(bridge) == []
