"""``/status`` says what is broken at this moment, from what is staged: nobody else has to have looked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import Engine, text
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.bridge import DESTINATION, SITE, Bridge
from tests.staging_roles import PULL, as_role
from tests.web.puller import Puller
from tests.web.serving import serving
from totara_bridge import watch
from totara_bridge.config import read_config
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import setting
from totara_bridge.staging.setting import EVERYWHERE
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.service import Service

CONFIG = f"""
[[sites]]
code = "{SITE}"
connection = "totara_sandbox"
[[sites]]
code = "new"
connection = "totara_new"
[[destinations]]
code = "{DESTINATION}"
connection = "oracle_sandbox"
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """bridge.toml."""
    written = tmp_path / "bridge.toml"
    written.write_text(CONFIG)
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(written))
    return written


@pytest.fixture
def monitor(bridge: Bridge, token: str) -> Iterator[Puller]:
    """A monitor outside; for it, time passes as it does for the bridge."""
    service = Service(as_role(bridge.staging, PULL), threads=4, clock=lambda: bridge.now)
    with (
        serving(Starlette(routes=[Mount(PREFIX, pull_app(service))])) as host,
        Puller(host + PREFIX, token) as calling,
    ):
        yield calling


def look(monitor: Puller) -> dict[str, Any]:
    """What it says, whatever the status is; the code fits it."""
    answer = monitor.get("/status")
    assert answer.headers["content-type"] == "application/json", answer.text
    found: dict[str, Any] = answer.json()
    assert answer.status_code == (503 if found["problems"] else 200)
    assert found["status"] == ("broken" if found["problems"] else "ok")
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    return found


def names(monitor: Puller) -> list[tuple[str, str]]:
    return [(each["name"], each["subject"]) for each in look(monitor)["problems"]]


def switch(bridge: Bridge, name: str, value: Any, scope: str = EVERYWHERE) -> None:
    with bridge.staging.begin() as transaction:
        setting.write(transaction, scope=scope, name=name, value=value, by="ann", now=bridge.now)


def change(bridge: Bridge, statement: str, **values: Any) -> None:
    with bridge.staging.begin() as transaction:
        transaction.execute(text(statement), values)


def test_before_the_first_extract_nothing_is_promised(bridge: Bridge, monitor: Puller) -> None:
    assert look(monitor) == {
        "status": "ok",
        "checkedAt": bridge.now.isoformat(),
        "problems": [],
        "sites": [{"code": SITE, "extractedAt": None}, {"code": "new", "extractedAt": None}],
        "destinations": [{"code": DESTINATION, "waiting": 0, "oldest": None}],
    }


def test_what_waits_is_told_and_is_no_problem_before_the_promise_is_broken(bridge: Bridge, monitor: Puller) -> None:
    bridge.queue_new(3)
    since = bridge.now.isoformat()
    for hours in (0, 23):
        bridge.later(hours=hours)
        found = look(monitor)
        assert found["status"] == "ok"
        assert found["sites"] == [{"code": SITE, "extractedAt": since}, {"code": "new", "extractedAt": None}]
        assert found["destinations"] == [{"code": DESTINATION, "waiting": 3, "oldest": since}]


def test_a_broken_promise_is_told_at_once_and_so_is_its_end_though_nobody_watches(
    bridge: Bridge, monitor: Puller, oracle: SandboxOracle
) -> None:
    bridge.queue_new(3)
    since = bridge.now
    bridge.later(hours=25)
    assert look(monitor)["problems"] == [
        {
            "name": "undelivered",
            "subject": DESTINATION,
            "words": "3 completions wait for longer than 24 hours; the oldest, which is queued, since "
            f"{since:%Y-%m-%d %H:%M} UTC. Not delivered yet: 3 queued.",
        }
    ]
    bridge.later(hours=3)
    assert names(monitor) == [("undelivered", DESTINATION), ("silence", SITE)]
    bridge.extract()
    assert names(monitor) == [("undelivered", DESTINATION)]
    bridge.push(oracle)
    assert names(monitor) == []
    assert bridge.rows("SELECT * FROM bridge.alert") == []


def test_it_says_what_a_watch_raises(bridge: Bridge, monitor: Puller) -> None:
    bridge.queue_new(3)
    bridge.later(hours=40)
    change(
        bridge,
        """INSERT INTO bridge.destination_state (destination, down_since, reason, changed_at)
           VALUES (:it, :since, 'did not answer', :since)
           ON CONFLICT (destination) DO UPDATE
           SET down_since = :since, reason = 'did not answer', changed_at = :since""",
        it=DESTINATION, since=bridge.now - timedelta(minutes=30),
    )  # fmt: skip
    told = look(monitor)["problems"]
    raised = watch.watch(bridge.staging, read_config(), bridge.now).raised
    assert sorted((each["name"], each["subject"], each["words"]) for each in told) == sorted(
        (each.name, each.subject, each.words) for each in raised
    )
    assert len(told) == 3


def test_what_a_comparison_found_once_is_no_word_on_now(bridge: Bridge, monitor: Puller) -> None:
    bridge.queue_new(3)
    change(
        bridge,
        """INSERT INTO bridge.reconciliation
               (site, made_at, made_by, query, missing, extra, different, pending, repaired)
           VALUES (:site, :now, 'ann', '{}', 1, 0, 0, 0, false)""",
        site=SITE, now=bridge.now,
    )  # fmt: skip
    assert names(monitor) == []
    raised = watch.watch(bridge.staging, read_config(), bridge.now).raised
    assert [(each.name, each.subject) for each in raised] == [("reconcile_differences", SITE)]


def test_looking_changes_nothing(bridge: Bridge, monitor: Puller) -> None:
    bridge.queue_new(3)
    bridge.later(hours=40)
    before = counted(bridge)
    look(monitor)
    assert counted(bridge) == before


def counted(bridge: Bridge) -> list[dict[str, Any]]:
    """What changes in every table that a look could change."""
    tables = ("alert", "alert_notice", "audit_log", "export_queue", "destination_state", "setting", "watermark")
    return [row for table in tables for row in bridge.rows(f"SELECT ctid, xmin, t.* FROM bridge.{table} t ORDER BY 1")]


@pytest.mark.parametrize("name", ["enabled", "shadow"])
def test_a_destination_that_is_switched_off_promises_nothing(bridge: Bridge, monitor: Puller, name: str) -> None:
    bridge.queue_new(3)
    switch(bridge, name, name == "shadow", DESTINATION)
    bridge.later(hours=25)
    found = look(monitor)
    assert (found["status"], found["destinations"][0]["waiting"]) == ("ok", 3)


@pytest.mark.parametrize("name", ["enabled", "pull"])
def test_where_all_is_switched_off_it_says_so_instead(bridge: Bridge, monitor: Puller, name: str) -> None:
    bridge.queue_new(3)
    switch(bridge, name, False)
    bridge.later(hours=40)
    refused = monitor.get("/status")
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert refused.json()["type"].endswith(":switched-off")
    switch(bridge, name, True)
    assert monitor.get("/status").headers["content-type"] == "application/json"


def test_a_configuration_that_changes_counts_with_the_next_request(bridge: Bridge, monitor: Puller, file: Path) -> None:
    bridge.extract()
    bridge.later(hours=40)
    assert names(monitor) == [("silence", SITE)]
    file.write_text(CONFIG.replace(f'code = "{SITE}"', f'code = "{SITE}"\nevery = "P3D"'))
    assert names(monitor) == []
    file.write_text("")
    assert look(monitor) == {
        "status": "ok", "checkedAt": bridge.now.isoformat(), "problems": [], "sites": [], "destinations": [],
    }  # fmt: skip


@pytest.mark.parametrize("written", ["[[sites]]\ncode = 7", "not TOML", None])
def test_a_configuration_that_cannot_be_is_told_in_words_and_mended_without_a_restart(
    monitor: Puller, file: Path, written: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if written is None:
        file.unlink()
    else:
        file.write_text(written)
    refused = monitor.get("/status")
    assert_misconfigured(refused)
    assert str(file.parent) not in refused.text  # where it stands is nobody's business but the log's
    assert file.name in caplog.text
    file.write_text(CONFIG)
    assert look(monitor)["status"] == "ok"


def test_a_setting_out_of_bounds_is_told_in_words(bridge: Bridge, monitor: Puller) -> None:
    change(
        bridge,
        """INSERT INTO bridge.setting (scope, name, value, changed_at, changed_by)
           VALUES (:scope, 'batch_size', '-1', now(), 'ann')""",
        scope=DESTINATION,
    )
    assert_misconfigured(monitor.get("/status"))


def assert_misconfigured(refused: requests.Response) -> None:
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert refused.json()["type"].endswith(":misconfigured")
    assert "retry-after" in refused.headers


def test_there_are_no_parameters_and_there_is_only_json(monitor: Puller) -> None:
    assert monitor.get("/status", site=SITE).status_code == 400
    assert monitor.get("/status", accept="text/csv").status_code == 406
    assert monitor.get("/status", accept="application/*;q=0.2").status_code == 200


def test_it_is_of_now(puller: Puller, staging: Engine) -> None:
    before = datetime.now(UTC)
    found = look(puller)
    assert before <= datetime.fromisoformat(found["checkedAt"]) <= datetime.now(UTC)
