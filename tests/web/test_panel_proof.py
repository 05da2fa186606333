"""The proof of delivery as the page gets it and as documents, behind the login; every number against a literal."""

import csv
import io
import json
import threading
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.proved import BRIDGE_TOML, COUNTS, Proved
from tests.web.panel_client import Login

NOT_ASKED = "Totara was not asked yet how many completions it has: run reconcile_completions, which asks."

ADDRESSES = ("/api/proof", "/api/proof.json", "/api/proof.csv", "/api/proof/list?part=dead")


@pytest.fixture
def proved(staging: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proved:
    """An empty staging with a site, and a bridge.toml whose route leaves out courses that are OFF."""
    file = tmp_path / "bridge.toml"
    file.write_text(BRIDGE_TOML)
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    return Proved(staging)


def numbers(**counts: int) -> dict[str, int]:
    """Of a row of the proof, all that are not named being none."""
    return {"staged": 0} | {str(part): 0 for part in COUNTS} | {"unaccounted": 0} | counts


ALL = numbers(staged=90, **{str(part): count for part, count in COUNTS.items()})


def test_the_numbers_by_course(proved: Proved, looking: httpx.Client) -> None:
    proved.of_every_part()
    said = looking.get("/api/proof").json()
    assert said["rows"] == [
        {"site": "sbx", "course_id": 9, "course": "OFF-9"} | numbers(staged=11, not_routed=11),
        {"site": "sbx", "course_id": 1, "course": "SAFE-1"} | ALL | {"staged": 79, "not_routed": 0},
    ]
    assert (said["sums"], said["closes"], said["gap"]) == (ALL, True, 0)
    assert [part["name"] for part in said["parts"]] == list(ALL)[1:]
    assert all(part["label"] and part["means"] for part in said["parts"])


def test_the_numbers_by_month(proved: Proved, looking: httpx.Client) -> None:
    proved.of_every_part()
    said = looking.get("/api/proof?by=month").json()
    assert [(row["month"], row["staged"]) for row in said["rows"]] == [("2026-01", 31), ("2026-02", 59)]
    assert said["rows"][0] == {"month": "2026-01"} | numbers(staged=31, delivered=13, dead=6, baseline=12)
    assert said["sums"] == ALL


def test_the_heading_says_of_what_it_is_and_who_made_it(proved: Proved, looking: httpx.Client) -> None:
    asked = "destination=oracle&site=sbx&from=2026-01-01&to=2026-01-31&by=month"
    said = looking.get(f"/api/proof?{asked}").json()
    made_at = said["heading"].pop("made_at")
    assert date.fromisoformat(made_at[:10])
    assert made_at.endswith(("Z", "+00:00"))
    assert said["heading"] == {
        "destination": "oracle", "site": "sbx", "from": "2026-01-01", "to": "2026-01-31", "by": "month",
        "timezone": "Pacific/Auckland", "made_by": "vera", "bridge_version": version("totara-bridge"),
        "against": "staging", "compared": [], "not_compared": ["sbx"], "left_out": [],
    }  # fmt: skip
    assert said["notes"] == [f"sbx: {NOT_ASKED}"]
    everything = looking.get("/api/proof").json()["heading"]
    assert [everything[name] for name in ("destination", "site", "from", "to")] == ["oracle", None, None, None]
    assert (said["rows"], said["closes"], said["gap"]) == ([], True, 0)


def test_days_are_those_of_the_bridges_zone(proved: Proved, looking: httpx.Client) -> None:
    proved.sql("SELECT 1")
    from_noon = proved.instances(1)  # noon of 15 January in UTC is 1 o'clock of the 16th in Auckland
    for asked, staged in (("from=2026-01-16&to=2026-01-16", 1), ("to=2026-01-15", 0), ("from=2026-01-17", 0)):
        assert looking.get(f"/api/proof?{asked}").json()["sums"]["staged"] == staged, asked
    listed = looking.get("/api/proof/list?part=baseline&from=2026-01-16&to=2026-01-16").json()
    assert [row["user_id"] for row in listed["rows"]] == from_noon


def test_a_gap_is_told_and_listed(proved: Proved, looking: httpx.Client) -> None:
    made = proved.of_every_part()
    [lost] = made[min(COUNTS, key=lambda part: COUNTS[part])][:1]
    proved.sql("DELETE FROM bridge.export_queue WHERE instance_id = :lost", lost=lost)
    for _ in range(2):
        said = looking.get("/api/proof").json()
        assert (said["closes"], said["gap"], said["sums"]["queued"], said["sums"]["unaccounted"]) == (False, 1, 1, 1)
    listed = looking.get("/api/proof/list?part=unaccounted").json()
    assert [row["record_key"] for row in listed["rows"]] == [f"TB{lost:026}"]


def test_the_document_for_spreadsheets(proved: Proved, looking: httpx.Client) -> None:
    proved.of_every_part()
    proved.sql("UPDATE bridge.course SET short_name = '=Safe()' WHERE course_id = 1")
    proved.sql("UPDATE bridge.course SET short_name = :name WHERE course_id = 9", name='OFF-9, "old"')
    answer = looking.get("/api/proof.csv?to=2026-12-31")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="proof-of-delivery-oracle-2')
    assert answer.headers["cache-control"] == "no-store"
    table = list(csv.reader(io.StringIO(answer.text)))
    heading = dict(row for row in table[: table.index([])])
    assert heading.pop("Made at")
    assert heading.pop("Proof of delivery")
    assert len(heading.pop("SHA-256 of the lines")) == 64
    assert heading == {
        "Destination": "oracle", "Site": "all", "From": "the beginning", "To": "2026-12-31",
        "Time zone": "Pacific/Auckland", "Made by": "vera", "Totara Bridge": version("totara-bridge"),
        "Everything accounted for": "yes", "Against": "what is staged",
        "Site sbx": NOT_ASKED,
        "Site two": NOT_ASKED,
        "Verdict": "Everything is accounted for: 90 completions staged, each in one part.",
    }  # fmt: skip
    columns, first, second, sums = table[table.index([]) + 1 :]
    assert columns == ["site", "course_id", "course", *ALL]
    assert sorted([first[:4], second[:4]]) == [["sbx", "1", "'=Safe()", "79"], ["sbx", "9", 'OFF-9, "old"', "11"]]
    assert sums == ["all", "", "", *map(str, ALL.values())]


def test_the_document_for_programs_is_what_the_page_shows(proved: Proved, looking: httpx.Client) -> None:
    proved.of_every_part()
    answer = looking.get("/api/proof.json?by=month")
    assert answer.headers["content-disposition"].endswith('.json"')
    document, shown = answer.json(), looking.get("/api/proof?by=month").json()
    for each in (document, shown):
        each["heading"].pop("made_at")
    assert document == shown


def test_a_list_comes_page_by_page(proved: Proved, looking: httpx.Client) -> None:
    made = proved.of_every_part()
    dead = made[next(part for part in COUNTS if part == "dead")]
    keys: list[str] = []
    cursor: Any = 0
    while cursor is not None:
        page = looking.get(f"/api/proof/list?part=dead&limit=4&after={cursor}").json()
        assert page["more"] == (page["cursor"] is not None)
        keys += [row["record_key"] for row in page["rows"]]
        cursor = page["cursor"]
    assert keys == [f"TB{each:026}" for each in dead]
    [row] = looking.get("/api/proof/list?part=dead&limit=1").json()["rows"]
    assert row.pop("item_id") > 0
    assert row == {
        "record_key": keys[0], "site": "sbx", "user_id": dead[0], "username": None, "course_id": 1,
        "course": "SAFE-1", "time_completed": "2026-01-15T12:00:00Z", "state": "dead",
    }  # fmt: skip
    assert looking.get("/api/proof/list?part=dead&site=sbx&course=9").json()["rows"] == []


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("proof?destination=nobody", "There is no destination nobody in bridge.toml (it has oracle, other)"),
        ("proof?site=nowhere", "There is no site nowhere in bridge.toml (it has sbx, two)"),
        ("proof?from=yesterday", "it is no day: write it like 2026-01-31"),
        ("proof?from=1969-12-31", "it is no day: write it like 2026-01-31, from 1970 on"),
        ("proof?to=9999-12-31", "it is no day"),
        ("proof?to=2026-02-30", "there is no day 2026-02-30: correct it"),
        ("proof?from=2026-02-01&to=2026-01-31", "the period ends before it begins on 2026-02-01"),
        ("proof?by=learner", "by: Input should be 'course' or 'month'"),
        ("proof?since=2026-01-01", "since: Extra inputs are not permitted"),
        ("proof?against=oracle", "against: Input should be 'totara' or 'staging'"),
        (
            "proof/list?part=set_aside&against=staging",
            "set_aside is of Totara's own numbers: ask for it against totara",
        ),
        ("proof.csv?destination=nobody", "There is no destination nobody"),
        ("proof/list", "part: Field required"),
        ("proof/list?part=sent", "part: it is no part: write one of in_totara, delivered, queued, "),
        ("proof/list?part=dead&course=7", "name the site too"),
        ("proof/list?part=dead&site=sbx&course=x", "it is no whole number"),
        ("proof/list?part=dead&limit=201", "limit: Input should be less than or equal to 200"),
        ("proof/list?part=dead&after=-1", "after: Input should be greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    proved: Proved, looking: httpx.Client, asked: str, sentence: str
) -> None:
    assert proved.staging
    answer = looking.get(f"/api/{asked}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert sentence in answer.json()["detail"]


def test_a_bridge_without_destinations_has_nothing_to_prove(
    looking: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bridge.toml").write_text("")
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(tmp_path / "bridge.toml"))
    answer = looking.get("/api/proof")
    assert (answer.status_code, answer.json()["detail"].startswith("bridge.toml names no destination")) == (404, True)


@pytest.mark.parametrize("address", ADDRESSES)
def test_nobody_gets_it_without_a_login(login: Login, staging: Engine, address: str) -> None:
    with login.browser(login.panel(staging), None) as browser:
        assert browser.get(address).status_code == 401


@pytest.mark.parametrize("address", ["/api/proof", "/api/proof/list?part=dead"])
def test_what_the_database_gives_up_is_told_in_a_sentence(
    proved: Proved, looking: httpx.Client, wait_until: Callable[[Callable[[], bool]], None], address: str
) -> None:
    """As the statement timeout does, another session cancels it."""
    proved.instances(1)
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(looking.get(address, timeout=60)))
    cancel = text(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    watched = proved.staging.execution_options(isolation_level="AUTOCOMMIT")  # or each look would be the first one
    with proved.staging.connect() as other, watched.connect() as watching:
        other.execute(text("LOCK TABLE bridge.completion_instance IN ACCESS EXCLUSIVE MODE"))
        asking.start()
        wait_until(lambda: any(watching.execute(cancel).scalars()))
        asking.join()
    [answer] = answers
    assert answer.status_code == 503
    assert json.loads(answer.text)["detail"].startswith("The database needs longer than 15 seconds for this proof")
    assert looking.get(address).status_code == 200
