"""What the Queue tab asks for, over HTTP: its numbers, filters that mean what a run means, and an item's story."""

import csv
import io
import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import Engine

from tests.bridge import Bridge
from tests.integration.test_requeue import E1, FILL
from tests.items import NOW, Items
from tests.web.panel_client import Login
from totara_bridge.orchestration.assets import MAYBE_STAGED
from totara_bridge.orchestration.form import filled_in
from totara_bridge.orchestration.tasks.requeue import Requeue, requeue_items
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import item_page, selection
from totara_bridge.staging.selection import Action
from totara_bridge.web.panel.item_filter import ItemFilter

# Airflow warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]

_YESTERDAY = (NOW - timedelta(hours=24)).isoformat().replace("+00:00", "Z")
_LAST_WEEK = (NOW - timedelta(hours=200)).isoformat().replace("+00:00", "Z")

#: Each filter of the tab, and how many of the 1029 items it leaves.
FILTERS: dict[str, tuple[dict[str, Any], int]] = {
    "none": ({}, 1029),
    "destination": ({"destination": "archive"}, 500),
    "destinations": ({"destination": ["archive", "oracle"]}, 1029),
    "state": ({"state": "dead"}, 143),
    "states": ({"state": ["dead", "queued", "sent"]}, 457),
    "kind": ({"kind": "correction"}, 29),
    "lane": ({"lane": ["retry", "fresh"]}, 529),
    "site": ({"site": "uk"}, 205),
    "learner": ({"learner": "user7"}, 26),
    "learners": ({"learner": "User1*"}, 241),
    "course": ({"course": "safety-2"}, 80),
    "courses": ({"course": "k1*"}, 236),
    "error class": ({"error": "timeout"}, 95),
    "fingerprint": ({"error": E1}, 96),
    "from": ({"from": _LAST_WEEK}, 429),
    "to": ({"to": _YESTERDAY}, 954),
    "key": ({"key": "TBC4CA4238A0B923820DCC509A6F"}, 2),
    "keys": ({"key": "TBC*"}, 67),
    "own key": ({"key": "later-17*"}, 2),
    "all": ({"destination": "oracle", "state": ["failed", "dead"], "kind": "completion", "lane": ["fresh", "backfill"],
             "site": "sbx", "learner": "u*", "course": "c-*", "error": "refused", "from": _LAST_WEEK, "to": _YESTERDAY,
             "key": "TB*"}, 9),
}  # fmt: skip


@pytest.fixture
def full(staging: Engine) -> Items:
    """A thousand items in all states, for two destinations."""
    items = Items(staging)
    for statement in FILL:
        items.sql(statement, now=NOW)
    return items


def pages(panel: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    """The items of all pages."""
    found: list[dict[str, Any]] = []
    answer = {"more": True, "cursor": None}
    while answer["more"]:
        after = {} if answer["cursor"] is None else {"after": answer["cursor"]}
        answer = panel.get("/api/items", params={"limit": 200} | asked | after).json()
        found += answer["items"]
    return found


def test_every_filter_alone_and_all_together(panel: httpx.Client, full: Items) -> None:
    for name, (asked, expected) in FILTERS.items():
        ids = [item["id"] for item in pages(panel, **asked)]
        assert (name, len(ids)) == (name, expected)
        assert ids == sorted(set(ids), reverse=True), name
        counted = panel.get("/api/items/count", params=asked).json()
        assert (counted["items"], counted["more"]) == (expected, False), name
        lines = [*csv.DictReader(io.StringIO(panel.get("/api/items.csv", params=asked).text))]
        assert [int(line["id"]) for line in lines] == ids, name


@pytest.mark.parametrize("action", Action)
def test_a_run_means_the_items_that_are_shown(panel: httpx.Client, full: Items, action: Action) -> None:
    fits = {
        Action.REQUEUE: ("failed", "dead", "cancelled", "held"),
        Action.CANCEL: ("queued", "failed", "dead", "held"),
    }[action]
    told = 0
    for name, (asked, _) in FILTERS.items():
        conf = panel.get("/api/items/count", params=asked).json()["runs"][action]
        left_out = "another look" if action is Action.REQUEUE else None  # it was requeued just now
        shown = {
            item["id"]
            for item in pages(panel, **asked)
            if item["state"] in fits and (item["held_for"] is None or item["held_for"] != left_out)
        }
        if conf is None:
            assert shown == set(), name
            continue
        reason = {"reason": "asked by a test"}
        meant = filled_in(Requeue, json.loads(json.dumps(conf)) | reason).selection(NOW)
        with full.staging.connect() as connection:
            ids = selection.ids(connection, meant, action, after=0, limit=2000)
        assert (name, set(ids)) == (name, shown)
        assert conf["dry_run"] is False
        told += bool(shown)
    assert told > 15, "it would show nothing"


def test_what_is_shown_is_requeued_once(panel: httpx.Client, full: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    address = full.staging.url.render_as_string(hide_password=False).replace("+psycopg", "")
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address)
    conf = panel.get("/api/items/count", params={"learner": "user*", "error": E1, "site": "sbx"}).json()["runs"][
        "requeue"
    ]
    events, run = (
        {MAYBE_STAGED: SimpleNamespace(add=lambda *_, **__: None)},
        SimpleNamespace(triggering_user_name="uma", dag_id="requeue_completions"),
    )
    first, second = (requeue_items(conf, events, run) for _ in "ab")
    assert (first["selected"], first["done"] + first["refused"], second["done"]) == (
        first["selected"],
        first["selected"],
        0,
    )
    assert first["done"] > 20


def test_a_row(panel: httpx.Client, looking: httpx.Client, full: Items) -> None:
    [item] = looking.get("/api/items", params={"key": "TBC4CA4238A0B923820DCC509A6F", "destination": "oracle"}).json()[
        "items"
    ]
    assert item == {
        "id": item["id"],
        "destination": "oracle",
        "state": "failed",
        "kind": "completion",
        "lane": "backfill",
        "revision": 1,
        "record_key": "TBC4CA4238A0B923820DCC509A6F",
        "site": "sbx",
        "learner": "user1",
        "course": "SAFETY-1",
        "erased": False,
        "attempts": 0,
        "next_attempt_at": "2026-03-01T12:30:00Z",
        "error_class": "refused",
        "error_code": None,
        "error_words": "locked",
        "held_for": None,
        "queued_at": "2026-03-01T11:30:00Z",
        "sent_at": None,
        "reference": None,
    }
    assert panel.get(f"/api/items/{item['id']}").json()["item"].items() >= item.items()


def test_a_short_page_and_a_count_that_ends_say_that_there_may_be_more(
    panel: httpx.Client, full: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_page, "COUNTED", 100)
    counted = panel.get("/api/items/count", params={"course": "*"}).json()
    assert (counted["items"], counted["more"]) == (100, True)
    page = panel.get("/api/items", params={"limit": 3, "state": "held"}).json()
    assert (len(page["items"]), page["more"], page["cursor"]) == (3, True, page["items"][-1]["id"])
    after = panel.get("/api/items", params={"limit": 3, "state": "held", "after": page["cursor"]}).json()
    assert after["items"][0]["id"] < page["cursor"]


def test_csv_is_no_formula_and_streams_all_that_matches(panel: httpx.Client, full: Items) -> None:
    full.sql("UPDATE bridge.learner SET username = '=cmd|x' WHERE user_id = 7 AND site = 'sbx'")
    full.sql("""UPDATE bridge.export_queue SET error_words = E'a "b",\\n+c' WHERE id = 2""")
    answer = panel.get("/api/items.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="items.csv"'
    assert answer.headers["cache-control"] == "no-store"
    rows = {int(row["id"]): row for row in csv.DictReader(io.StringIO(answer.text, newline=""))}
    assert len(rows) == 1029, "more than one piece"
    assert rows[2]["error_words"] == 'a "b",\n+c'
    assert {row["learner"] for row in rows.values() if "cmd" in row["learner"]} == {"'=cmd|x"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"state": "lost"}, "state.0: Input should be 'queued', 'sending', 'sent'"),
        ({"learner": ""}, "learner: String should have at least 1 character"),
        ({"destination": " \x1c"}, "destination.0: String should have at least 1 character"),
        ({"learner": "a\0"}, "learner: it holds a character that cannot be stored"),
        ({"key": "x" * 256}, "key: String should have at most 255 characters"),
        ({"from": "yesterday"}, "from: it is no time: write it like 2026-01-31T12:00:00Z"),
        ({"site": "SBX"}, "site.0: String should match pattern"),
        ({"staet": "dead"}, "staet: Extra inputs are not permitted"),
        ({"after": 0}, "after: Input should be greater than or equal to 1"),
        ({"limit": 201}, "limit: Input should be less than or equal to 200"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(
    panel: httpx.Client, asked: dict[str, Any], words: str
) -> None:
    refused = panel.get("/api/items?" + urlencode(asked))
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
    assert refused.json()["detail"].startswith(words)


def test_a_destination_that_is_not_there_has_no_items(panel: httpx.Client, full: Items) -> None:
    assert panel.get("/api/items", params={"destination": "nobody"}).json() == {
        "items": [], "more": False, "cursor": None,
    }  # fmt: skip
    assert panel.get("/api/items/count", params={"destination": "nobody", "state": "sent"}).json() == {
        "items": 0, "more": False, "runs": {"requeue": None, "cancel": None},
    }  # fmt: skip


# the story of one


def _told(entries: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["what"], entry["actor"]) for entry in entries]


def test_the_story_of_an_item(
    login: Login, bridge: Bridge, oracle: SandboxOracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_ORACLE_SANDBOX",
        json.dumps(
            {
                "conn_type": "oracle_completions",
                "host": "https://oracle.example/api/",
                "login": "id",
                "password": "very secret",
                "extra": {"oauth_url": "https://oracle.example/token", "path": "/it's"},
            }
        ),
    )
    bridge.extract()
    bridge.backfill()
    oracle.faults({"match": {"next": 1}, "action": {"status": 503}})
    bridge.push(oracle)
    [failed] = bridge.rows("SELECT id, payload FROM bridge.export_queue WHERE failures > 0 ORDER BY id LIMIT 1")
    with login.browser(login.panel(bridge.staging), "viewer") as browser:
        story = browser.get(f"/api/items/{failed['id']}").json()
        assert story["item"]["payload"] == failed["payload"]
        assert next(entry["request"]["http_status"] for entry in story["entries"] if entry["request"]) == 503
        assert _told(story["entries"])[:2] == [("extract", "extract"), ("enqueue", "extract")]
        assert story["why"].startswith("It ")
        words = shlex.split(story["curl"]["text"].replace("\\\n", " "))
        assert words[:4] == ["curl", "--request", "POST", "https://oracle.example/api/it's"]
        assert words[words.index("--data-raw") + 1] == f'{{"items":[{failed["payload"]}]}}'
        assert "Authorization: Bearer $TOKEN" in words
        assert "very secret" not in json.dumps(story)
        assert browser.get(f"/api/items/{10**15}").json()["detail"] == (
            f"There is no item {10**15} in the queue: it may have been purged."
        )
        assert browser.get("/api/items/0").status_code == 400
        assert browser.get(f"/api/items/{2**63}").status_code == 400


def test_the_story_of_an_erased_learner(panel: httpx.Client, full: Items) -> None:
    full.sql("UPDATE bridge.export_queue SET payload = '' WHERE instance_id = 1")
    full.sql(
        "INSERT INTO bridge.erased_learner (site, user_id, erased_at, erased_by) VALUES ('sbx', 1, :now, 'dpo')",
        now=NOW,
    )
    [row] = full.sql("SELECT id FROM bridge.export_queue WHERE instance_id = 1 AND destination = 'oracle'")
    story = panel.get(f"/api/items/{row['id']}").json()
    assert story["item"]["erased"] is True
    assert story["why"].startswith("The learner was erased on 2026-03-01 12:30 UTC, as dpo asked")
    assert story["curl"] == {
        "text": None, "sentence": "Its learner was erased, and its payload with them: it cannot be sent.",
    }  # fmt: skip
    assert ("erase", "dpo") in _told(story["entries"])


def test_the_story_where_bridge_toml_knows_the_destination_no_more(panel: httpx.Client, full: Items) -> None:
    [row] = full.sql("SELECT id FROM bridge.export_queue WHERE instance_id = 1 AND destination = 'archive'")
    story = panel.get(f"/api/items/{row['id']}").json()
    assert "archive" in story["why"]
    assert story["curl"] == {"text": None, "sentence": story["why"]}


def test_the_conf_of_a_run_has_what_was_given_and_nothing_else() -> None:
    asked = ItemFilter.model_validate({"state": ["sent", "dead"], "from": "2026-01-31", "learner": "ann*"})
    assert asked.conf(Action.CANCEL) == {
        "action": "cancel",
        "states": ["dead"],
        "learner": "ann*",
        "queued_from": datetime(2026, 1, 31, tzinfo=UTC).isoformat(),
        "dry_run": False,
    }
    assert ItemFilter.model_validate({"state": ["cancelled"]}).conf(Action.CANCEL) is None


def test_blanks_around_a_word_mean_nothing_on_the_page_as_in_a_run() -> None:
    words = {"destination": [" oracle"], "learner": "\x1cann ", "course": "c ", "key": "\u00a0k", "error": " e"}
    asked = ItemFilter.model_validate(words | {"state": ["dead"]})
    shown, conf = asked.selection(), asked.conf(Action.REQUEUE)
    assert conf is not None
    meant = filled_in(Requeue, conf).selection(NOW)
    assert [shown.destinations, shown.learner, shown.course, shown.key, shown.error_class] == [
        ("oracle",), "ann", "c", "k", "e",
    ]  # fmt: skip
    for name in ("destinations", "learner", "course", "key", "error_class"):
        assert getattr(meant, name) == getattr(shown, name), name
