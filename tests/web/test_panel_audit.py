"""Who did what, page by page and as CSV; where alerts go is for managers, and people's addresses are for nobody."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from totara_bridge.staging import audit, setting

START = datetime(2026, 3, 1, 12, tzinfo=UTC)

#: What was done, oldest first, a minute apart: by whom, what, of what, and how.
DONE: list[tuple[str, str, str, dict[str, Any]]] = [
    ("ada", "setting", "batch_size", {"scope": "bridge", "from": None, "to": 200}),
    ("uma", "requeue", "oracle, second", {"states": ["dead"], "selected": 12}),
    ("ada", "erase", "learner 3 of site sbx", {"looked_for": ["email"]}),
    ("Ada B.", "setting", "alert_channels", {"scope": "bridge", "from": None, "to": [{"connection": "x"}]}),
]


def ids(answer: httpx.Response) -> list[int]:
    """Of the rows of a page."""
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["rows"]]


@pytest.fixture
def audited(staging: Engine) -> Engine:
    """A database in which that was done."""
    with staging.begin() as transaction:
        for number, (actor, action, subject, details) in enumerate(DONE):
            now = START + timedelta(minutes=number)
            audit.record(transaction, actor=actor, action=action, subject=subject, details=details, now=now)
    return staging


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"actor": "ada"}, [4, 3, 1]),
        ({"action": "setting"}, [4, 1]),
        ({"action": "sett"}, []),
        ({"subject": "SBX"}, [3]),
        ({"subject": "%"}, []),
        ({"since": "2026-03-01T12:02:00Z", "until": "2026-03-01T12:03:00Z"}, [3]),
        ({"actor": "ada", "action": "erase", "subject": "learner 3"}, [3]),
    ],
)
def test_what_was_done_is_found(
    looking: httpx.Client, audited: Engine, asked: dict[str, str], found: list[int]
) -> None:
    assert ids(looking.get("/api/audit", params=asked)) == found
    lines = list(csv.DictReader(io.StringIO(looking.get("/api/audit.csv", params=asked).text)))
    assert [int(line["id"]) for line in lines] == found


def test_who_did_what(panel: httpx.Client, audited: Engine) -> None:
    rows = panel.get("/api/audit", params={"limit": 2, "subject": "l"}).json()["rows"]
    assert rows[1] == {
        "id": 3,
        "at": "2026-03-01T12:02:00.000000+00:00",
        "actor": "ada",
        "action": "erase",
        "subject": "learner 3 of site sbx",
        "details": {"looked_for": ["email"]},
    }
    [line] = csv.DictReader(io.StringIO(panel.get("/api/audit.csv", params={"actor": "uma"}).text))
    assert json.loads(line["details"]) == {"states": ["dead"], "selected": 12}


def test_where_alerts_go_is_for_managers_and_people_s_addresses_for_nobody(
    panel: httpx.Client, looking: httpx.Client, staging: Engine
) -> None:
    channel = {"connection": "smtp_default", "to": ["ann@example.com"]}
    with staging.begin() as transaction:
        for value in ([channel], []):
            setting.write(transaction, name="alert_channels", value=value, by="ada", now=START)
        old = {"scope": "bridge", "from": None, "to": [{"connection": "https://hooks.example.com/secret"}]}
        older = {"scope": "bridge", "from": [channel | {"form": "json"}], "to": None}
        for details in (old, older):
            audit.record(
                transaction, actor="ada", action="setting", subject="alert_channels", details=details, now=START
            )
    told = {"connection": "smtp_default", "to": 1, "form": "json"}
    assert [row["details"] for row in panel.get("/api/audit").json()["rows"]] == [
        {"scope": "bridge"},
        {"scope": "bridge"},
        {"scope": "bridge", "from": [told], "to": []},
        {"scope": "bridge", "from": None, "to": [told]},
    ]
    assert [row["details"] for row in looking.get("/api/audit").json()["rows"]] == [{"scope": "bridge"}] * 4
    for browser in (panel, looking):
        whole = browser.get("/api/audit.csv").text
        assert "ann@" not in whole
        assert "secret" not in whole
    assert "smtp_default" not in looking.get("/api/audit.csv").text
