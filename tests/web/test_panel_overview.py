"""The overview's numbers: every state, lane, hour and destination has another count, and each is where it belongs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.items import Items
from tests.staging_roles import PANEL, as_role
from tests.web.panel_client import Login
from totara_bridge.staging import setting
from totara_bridge.staging.states import Lane
from totara_bridge.web.service import Service

NOW = datetime(2026, 3, 10, 14, 40, 30, tzinfo=UTC)
CONFIG = """
[[sites]]
code = "sbx"
connection = "totara_sandbox"
[[sites]]
code = "new"
connection = "totara_new"
[[destinations]]
code = "oracle"
connection = "oracle_sandbox"
[[destinations]]
code = "fusion"
connection = "oracle_fusion"
"""

#: destination, state, lane: how many are in it.
PRESENT = {
    ("oracle", "queued", "fresh"): 3,
    ("oracle", "queued", "backfill"): 5,
    ("oracle", "sending", "fresh"): 7,
    ("oracle", "sent", "fresh"): 1100,
    ("oracle", "sent", "retry"): 13,
    ("oracle", "failed", "retry"): 17,
    ("oracle", "dead", "fresh"): 19,
    ("oracle", "held", "fresh"): 23,
    ("oracle", "cancelled", "fresh"): 29,
    ("fusion", "queued", "fresh"): 31,
    ("fusion", "sent", "backfill"): 37,
    ("gone", "dead", "fresh"): 41,
}
ZERO = dict.fromkeys(("queued", "sending", "sent", "failed", "dead", "held", "cancelled"), 0)

#: grain, how long ago, destination, state: how many came into it; as many as went out again.
CAME = [
    (0, timedelta(seconds=20), "oracle", "sent", 2),
    (1, timedelta(minutes=59), "oracle", "sent", 4),
    (1, timedelta(minutes=62), "oracle", "sent", 8),
    (1, timedelta(minutes=30), "fusion", "sent", 16),
    (1, timedelta(hours=23, minutes=50), "oracle", "sent", 32),
    (1, timedelta(hours=24, minutes=10), "oracle", "sent", 64),
    (1, timedelta(hours=1), "oracle", "failed", 128),
    (0, timedelta(hours=1), "fusion", "dead", 256),
    (0, timedelta(hours=1), "fusion", "held", 999),
    (2, timedelta(hours=26), "oracle", "sent", 512),
    (2, timedelta(days=6, hours=23), "oracle", "failed", 1024),
    (2, timedelta(days=7), "oracle", "sent", 2048),
    (2, timedelta(days=29, hours=20), "fusion", "sent", 4096),
    (2, timedelta(days=30), "fusion", "sent", 8192),
]


@pytest.fixture
def browser(login: Login, staging: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The panel at `NOW`, over two destinations of which one is left alone, in a viewer's browser."""
    from totara_bridge.web.panel.app import panel_app  # noqa: PLC0415  imports half of Airflow

    file = tmp_path / "bridge.toml"
    file.write_text(CONFIG)
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    app = panel_app(Service(as_role(staging, PANEL), threads=2, clock=lambda: NOW))
    with login.browser(app, "viewer") as client:
        yield client


@pytest.fixture
def counted(staging: Engine) -> Items:
    """A queue in which nothing is, but of which everything is counted."""
    items = Items(staging)
    put = """INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
             VALUES (:grain, :at, :destination, :state, :lane, :came, :went)"""
    for (destination, state, lane), number in PRESENT.items():
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        items.sql(put, grain=3, at=epoch, destination=destination, state=state, lane=lane, came=number + 9, went=9)
    for grain, ago, destination, state, number in CAME:
        at = NOW - ago if grain < 2 else (NOW - ago).replace(minute=0, second=0)
        items.sql(put, grain=grain, at=at, destination=destination, state=state, lane="fresh", came=number, went=number)
    return items


def asked(browser: httpx.Client, period: str | None = None) -> dict[str, Any]:
    answer = browser.get("/api/overview", params={} if period is None else {"period": period})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def destination(found: dict[str, Any], code: str) -> dict[str, Any]:
    [one] = [each for each in found["destinations"] if each["code"] == code]
    return dict(one)


def test_how_many_items_are_in_each_state(browser: httpx.Client, counted: Items) -> None:
    found = asked(browser)
    assert [each["code"] for each in found["destinations"]] == ["oracle", "fusion", "gone"]
    oracle = destination(found, "oracle")
    assert oracle["counts"] == {
        "queued": 8, "sending": 7, "sent": 1113, "failed": 17, "dead": 19, "held": 23, "cancelled": 29,
    }  # fmt: skip
    assert oracle["by_lane"] == {
        "fresh": ZERO | {"queued": 3, "sending": 7, "sent": 1100, "dead": 19, "held": 23, "cancelled": 29},
        "retry": ZERO | {"sent": 13, "failed": 17},
        "backfill": ZERO | {"queued": 5},
    }
    assert destination(found, "fusion")["counts"] == ZERO | {"queued": 31, "sent": 37}
    gone = destination(found, "gone")
    assert (gone["counts"], gone["connection"]) == (ZERO | {"dead": 41}, None)
    assert found["totals"]["counts"] == {
        "queued": 39, "sending": 7, "sent": 1150, "failed": 17, "dead": 60, "held": 23, "cancelled": 29,
    }  # fmt: skip


def test_what_was_sent_in_the_last_hour_and_day(browser: httpx.Client, counted: Items) -> None:
    found = asked(browser)
    assert (destination(found, "oracle")["sent_last_hour"], destination(found, "oracle")["sent_last_day"]) == (6, 46)
    assert (destination(found, "fusion")["sent_last_hour"], destination(found, "fusion")["sent_last_day"]) == (16, 16)
    assert (destination(found, "gone")["sent_last_hour"], destination(found, "gone")["sent_last_day"]) == (0, 0)
    assert (found["totals"]["sent_last_hour"], found["totals"]["sent_last_day"]) == (22, 62)


def points(chart: dict[str, Any], series: str) -> dict[str, int]:
    """What is not nothing, by the time of its point."""
    return {hour: number for hour, number in zip(chart["hours"], chart[series], strict=True) if number}


def extracts(items: Items) -> None:
    for site, at, changes in (
        ("sbx", "2026-03-10 14:00", 3), ("new", "2026-03-10 14:00", 5), ("sbx", "2026-03-09 15:00", 7),
        ("sbx", "2026-03-09 14:00", 11), ("sbx", "2026-03-03 15:00", 13), ("sbx", "2026-02-08 18:00", 17),
        ("sbx", "2026-02-08 17:00", 19),
    ):  # fmt: skip
        items.sql("INSERT INTO bridge.extract_hour VALUES (:site, :at, 1, :n)", site=site, at=f"{at}+00", n=changes)


def test_the_chart_of_a_day(browser: httpx.Client, counted: Items) -> None:
    extracts(counted)
    chart = asked(browser)["chart"]
    assert (len(chart["hours"]), chart["step_seconds"]) == (24, 3600)
    assert (chart["hours"][0], chart["hours"][-1]) == ("2026-03-09T15:00:00Z", "2026-03-10T14:00:00Z")
    assert points(chart, "sent") == {"2026-03-10T14:00:00Z": 18, "2026-03-10T13:00:00Z": 12}
    assert points(chart, "failed") == {"2026-03-10T13:00:00Z": 384}
    assert points(chart, "extracted") == {"2026-03-10T14:00:00Z": 8, "2026-03-09T15:00:00Z": 7}


def test_the_chart_of_a_week(browser: httpx.Client, counted: Items) -> None:
    extracts(counted)
    chart = asked(browser, "7d")["chart"]
    assert (len(chart["hours"]), chart["hours"][0]) == (168, "2026-03-03T15:00:00Z")
    assert points(chart, "sent") == {
        "2026-03-10T14:00:00Z": 18, "2026-03-10T13:00:00Z": 12, "2026-03-09T14:00:00Z": 96,
        "2026-03-09T12:00:00Z": 512,
    }  # fmt: skip
    assert points(chart, "failed") == {"2026-03-10T13:00:00Z": 384, "2026-03-03T15:00:00Z": 1024}
    assert sum(chart["extracted"]) == 39


def test_the_chart_of_a_month_counts_by_six_hours(browser: httpx.Client, counted: Items) -> None:
    extracts(counted)
    chart = asked(browser, "30d")["chart"]
    assert (len(chart["hours"]), chart["step_seconds"]) == (120, 21600)
    assert (chart["hours"][0], chart["hours"][-1]) == ("2026-02-08T18:00:00Z", "2026-03-10T12:00:00Z")
    assert points(chart, "sent") == {
        "2026-03-10T12:00:00Z": 30, "2026-03-09T12:00:00Z": 608, "2026-03-03T12:00:00Z": 2048,
        "2026-02-08T18:00:00Z": 4096,
    }  # fmt: skip
    assert points(chart, "extracted") == {
        "2026-03-10T12:00:00Z": 8, "2026-03-09T12:00:00Z": 18, "2026-03-03T12:00:00Z": 13,
        "2026-02-08T18:00:00Z": 17,
    }  # fmt: skip


def test_what_happens_by_a_database_clock_that_is_ahead_counts_in_the_present_hour(
    browser: httpx.Client, counted: Items
) -> None:
    counted.sql("UPDATE bridge.item_count SET at = at + interval '1 hour' WHERE came = 2 AND grain = 0")
    assert asked(browser)["chart"]["sent"][-1] == 18


def delivered(items: Items, destination: str, hour: str, bucket: int, sent: int) -> None:
    items.sql(
        "INSERT INTO bridge.delivery_hour VALUES (:destination, :hour, :bucket, :sent)",
        destination=destination, hour=f"{hour}+00", bucket=bucket, sent=sent,
    )  # fmt: skip


def test_how_long_deliveries_took_next_to_what_is_promised(browser: httpx.Client, staging: Engine) -> None:
    items = Items(staging)
    with staging.begin() as transaction:
        for scope, name, value in (("oracle", "promise", "PT1H"), ("bridge", "promised_share", 0.9)):
            setting.write(transaction, scope=scope, name=name, value=value, by="ann", now=NOW)
    # an hour is in bucket 47, from 3444 to 4096 seconds
    for hour, bucket, sent in (
        ("2026-03-10 14:00", 3, 40), ("2026-03-09 15:00", 23, 20), ("2026-03-10 01:00", 47, 34),
        ("2026-03-10 02:00", 51, 5), ("2026-03-10 03:00", 59, 1),
        ("2026-03-10 04:00", -1, 1000), ("2026-03-09 14:00", 60, 1000),
    ):  # fmt: skip
        delivered(items, "oracle", hour, bucket, sent)
    delivered(items, "fusion", "2026-03-10 14:00", -1, 7)
    found = asked(browser)
    oracle = destination(found, "oracle")
    assert oracle["delay"] == {"p50": 64.0, "p95": 8192.0, "share_in_time": 0.94, "promised_share": 0.9}
    assert oracle["promise_seconds"] == 3600
    assert destination(found, "fusion")["delay"] is None
    assert destination(found, "fusion")["promise_seconds"] == 86400
    week = destination(asked(browser, "7d"), "oracle")["delay"]
    assert (week["p50"], week["share_in_time"]) == (2 ** (61 / 4), 94 / 1100)


def staged(items: Items, destination: str, hours: int, *, lane: Lane = Lane.FRESH) -> int:
    """An item that the bridge first saw that many hours ago."""
    [item] = items.queued(destination=destination, lane=lane)
    items.sql("UPDATE bridge.export_queue SET staged_at = :at WHERE id = :id", at=NOW - timedelta(hours=hours), id=item)
    return item


def test_what_waits_longest_in_each_state(browser: httpx.Client, staging: Engine) -> None:
    items = Items(staging)
    staged(items, "oracle", 99, lane=Lane.BACKFILL)
    changes = {
        1: "lane = 'fresh'",
        2: "shadowed_at = now()",
        3: "state = 'failed', lane = 'retry', error_class = 'refused'",
        4: "state = 'held', held_for = 'date', held_at = now()",
        5: "state = 'dead', error_class = 'refused'",
        6: "state = 'sending', claim_token = gen_random_uuid(), claimed_from = 'queued', claimed_at = now(), "
        "lease_until = now()",
        7: "state = 'cancelled', cancelled_by = 'ann'",
        8: "state = 'sent', sent_at = now()",
    }
    states = ["queued", "queued", "failed", "held", "dead", "sending", "sending", "sending"]
    for (hours, change), state in zip(changes.items(), states, strict=True):
        item = staged(items, "oracle", hours)
        items.sql(f"UPDATE bridge.export_queue SET {change} WHERE id = {item}")
        since = NOW - timedelta(hours=min(hours, 6))
        oldest = destination(asked(browser), "oracle")["oldest_waiting"]
        assert oldest == {"since": since.isoformat().replace("+00:00", "Z"), "state": state}
    assert destination(asked(browser), "fusion")["oldest_waiting"] is None


def test_a_large_backfill_hides_nothing_that_waits(browser: httpx.Client, staging: Engine) -> None:
    items = Items(staging)
    items.queued(1500, destination="oracle", lane=Lane.BACKFILL, now=NOW - timedelta(days=400))
    staged(items, "oracle", 2)
    assert destination(asked(browser), "oracle")["oldest_waiting"]["since"] == "2026-03-10T12:40:30Z"


def test_how_destinations_are_and_what_is_switched(browser: httpx.Client, staging: Engine) -> None:
    items = Items(staging)
    put = """INSERT INTO bridge.destination_state (destination, not_before, breaker_open_until, down_since, reason,
                                                   changed_at)
             VALUES (:destination, :rest, :breaker, :down, :reason, :now)"""
    past, soon, later = (NOW + timedelta(minutes=each) for each in (-5, 5, 10))
    items.sql(put, destination="oracle", rest=soon, breaker=later, down=past, reason="answered 503", now=NOW)
    items.sql(put, destination="fusion", rest=past, breaker=None, down=None, reason="asked for a pause", now=NOW)
    with staging.begin() as transaction:
        for scope, name, value in (("fusion", "enabled", False), ("oracle", "shadow", True), ("bridge", "pull", False)):
            setting.write(transaction, scope=scope, name=name, value=value, by="ann", now=NOW)
    found = asked(browser)
    assert found["pull"] == {"enabled": False, "path": "/bridge/api/v1"}
    told = ("connection", "enabled", "shadow", "resting_until", "down_since", "reason")
    assert [destination(found, "oracle")[each] for each in told] == [
        "oracle_sandbox", True, True, "2026-03-10T14:50:30Z", "2026-03-10T14:35:30Z", "answered 503",
    ]  # fmt: skip
    assert [destination(found, "fusion")[each] for each in told] == ["oracle_fusion", False, False, None, None, None]
    with staging.begin() as transaction:
        setting.write(transaction, name="enabled", value=False, by="ann", now=NOW)
    assert [each["enabled"] for each in asked(browser)["destinations"]] == [False, False]


def test_alerts_that_are_open_and_when_sites_were_extracted(browser: httpx.Client, staging: Engine) -> None:
    items = Items(staging)
    for name, minutes, resolved in (("silence", 9, None), ("run_failed", 20, None), ("dead_items", 30, NOW)):
        items.sql(
            """INSERT INTO bridge.alert (name, subject, words, run_id, raised_at, seen_at, resolved_at)
               VALUES (:name, 'sbx', :words, :run, :at, :at, :resolved)""",
            name=name, words=f"about {name}", run="r1" if name == "run_failed" else None,
            at=NOW - timedelta(minutes=minutes), resolved=resolved,
        )  # fmt: skip
    items.sql("INSERT INTO bridge.watermark VALUES ('sbx', 1, 1, :at, :at, '{}')", at=NOW - timedelta(hours=1))
    found = asked(browser)
    assert found["alerts"] == [
        {"name": "run_failed", "subject": "sbx", "words": "about run_failed", "since": "2026-03-10T14:20:30Z",
         "run_id": "r1"},
        {"name": "silence", "subject": "sbx", "words": "about silence", "since": "2026-03-10T14:31:30Z",
         "run_id": None},
    ]  # fmt: skip
    assert found["sites"] == [
        {"code": "sbx", "extracted_at": "2026-03-10T13:40:30Z"}, {"code": "new", "extracted_at": None},
    ]  # fmt: skip
    assert (found["at"], found["period"]) == ("2026-03-10T14:40:30Z", "24h")


def test_a_period_that_there_is_not_is_refused_in_words(browser: httpx.Client) -> None:
    refused = browser.get("/api/overview", params={"period": "1y"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "period")
    assert "24h" in refused.json()["detail"]
