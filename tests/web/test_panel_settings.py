"""The panel's settings: each is changed and set back, audited, and never overwritten unseen."""

import re
from datetime import datetime
from typing import Any

import httpx
from sqlalchemy import Engine, text

from tests.web.panel_settings import MAIL, audited, back, put, shown, stored
from totara_bridge.settings import ONLY_FOR_ALL, Settings
from totara_bridge.web.panel.static import FOLDER

#: Every switch: its default, and another value as it is sent and as it is stored.
VALUES: dict[str, tuple[Any, Any, Any]] = {
    "enabled": (True, False, False),
    "batch_size": (100, 250, 250),
    "request_bytes": (1_000_000, "20000", 20_000),
    "requests_in_flight": (4, 32, 32),
    "max_attempts": (10, 3, 3),
    "retry_first": ("PT30S", "PT45S", "PT45S"),
    "retry_longest": ("PT6H", "PT2H", "PT2H"),
    "shadow": (False, True, True),
    "keep_bodies": ("never", "always", "always"),
    "body_retention": ("P14D", "P3D", "P3D"),
    "promise": ("P1D", "PT90M", "PT1H30M"),
    "promised_share": (0.95, 0.5, 0.5),
    "silence": ("P1DT2H", "P2D", "P2D"),
    "dead_per_hour": (10, 0, 0),
    "pull": (True, False, False),
    "pull_since": ("P30D", "P7D", "P7D"),
    "pull_per_minute": (600, 60, 60),
    "alert_channels": ([], [MAIL], [MAIL]),
    "sent_retention": ("P90D", "P10D", "P10D"),
    "log_retention": ("P30D", "P8D", "P8D"),
    "acknowledgement_retention": ("P1Y35D", "P20D", "P20D"),
    "audit_retention": ("P2Y", "P300D", "P300D"),
    "alert_retention": ("P1Y", "P60D", "P60D"),
}


def test_nothing_is_set_and_each_says_what_it_takes(panel: httpx.Client, looking: httpx.Client) -> None:
    everything = shown(panel)
    assert {name: each["default"] for name, each in everything.items()} == {
        name: default for name, (default, _, _) in VALUES.items()
    }
    assert everything == shown(looking)
    assert all(each["everywhere"] is None and each["destinations"] == {} for each in everything.values())
    assert {name for name, each in everything.items() if each["only_for_all"]} == ONLY_FOR_ALL
    assert everything["batch_size"] == {
        "name": "batch_size",
        "kind": "integer",
        "help": "Items per request.",
        "allowed": "a whole number from 1 to 1,000",
        "only_for_all": False,
        "default": 100,
        "lowest": 1,
        "highest": 1000,
        "choices": [],
        "everywhere": None,
        "destinations": {},
    }
    said = {name: (each["kind"], each["allowed"], each["choices"]) for name, each in everything.items()}
    assert said["enabled"] == ("bool", "on or off", [])
    assert said["promise"] == ("duration", "a length of time, more than nothing and at most 365 days", [])
    assert said["sent_retention"] == ("duration", "a length of time, at least 1 day and at most 3,650 days", [])
    assert said["promised_share"] == ("share", "a share from 0% to 100%", [])
    assert said["keep_bodies"] == ("choice", "one of never, failures, always", ["never", "failures", "always"])
    assert said["alert_channels"] == ("channels", "a list of at most 20 channels", [])


def test_every_setting_has_help_and_a_case_here(panel: httpx.Client) -> None:
    everything = shown(panel)
    assert list(everything) == list(Settings.model_fields)
    assert set(everything) == set(VALUES)
    assert all(each["help"].endswith(".") for each in everything.values())


def test_each_is_set_once_and_set_back_once(panel: httpx.Client, staging: Engine) -> None:
    for name, (_, sent, kept) in VALUES.items():
        before = len(audited(staging))
        for _ in range(2):  # the answer was lost, so it is asked again
            answer = put(panel, name, sent)
            assert answer.status_code == 200, answer.text
            own = answer.json()["everywhere"]
            assert (name, own["value"], own["changed_by"], own["wrong"]) == (name, kept, "uma", None)
            assert datetime.fromisoformat(own["changed_at"]).tzinfo is not None
        assert stored(staging) == [("bridge", name, kept)]
        assert shown(panel)[name] == answer.json()
        for _ in range(2):
            gone = back(panel, name, kept)
            assert (name, gone.status_code, gone.json()["everywhere"]) == (name, 200, None)
        assert stored(staging) == []
        told = [MAIL | {"to": 2}] if name == "alert_channels" else kept
        assert audited(staging)[before:] == [
            ("uma", "setting", name, {"scope": "bridge", "from": None, "to": told}),
            ("uma", "setting", name, {"scope": "bridge", "from": told, "to": None}),
        ]


def test_a_destination_has_its_own_beside_the_value_for_all(panel: httpx.Client, staging: Engine) -> None:
    assert put(panel, "batch_size", 50).status_code == 200
    assert put(panel, "batch_size", 7, scope="oracle").status_code == 200
    now = shown(panel)["batch_size"]
    assert (now["everywhere"]["value"], now["destinations"]["oracle"]["value"]) == (50, 7)
    assert back(panel, "batch_size", 50).status_code == 200
    now = shown(panel)["batch_size"]
    assert (now["everywhere"], now["destinations"]["oracle"]["value"]) == (None, 7)
    assert [(row[3]["scope"], row[3]["from"], row[3]["to"]) for row in audited(staging)] == [
        ("bridge", None, 50),
        ("oracle", None, 7),
        ("bridge", 50, None),
    ]


def test_what_was_changed_meanwhile_is_not_written_over(panel: httpx.Client, staging: Engine) -> None:
    with staging.begin() as transaction:
        transaction.execute(text("INSERT INTO bridge.setting VALUES ('bridge', 'max_attempts', '5', now(), 'bob')"))
    for refused in (put(panel, "max_attempts", 7), put(panel, "max_attempts", 7, 10), back(panel, "max_attempts", 7)):
        assert refused.status_code == 409
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["detail"] == (
            "The setting max_attempts was not changed, for bob has changed it since you looked: see what it is now, "
            "then save again if you still want yours."
        )
    assert (stored(staging), audited(staging)) == ([("bridge", "max_attempts", 5)], [])
    assert put(panel, "max_attempts", 7, 5).status_code == 200
    assert back(panel, "max_attempts", 7).status_code == 200
    refused = put(panel, "max_attempts", 8, 7)
    assert refused.status_code == 409
    assert "for somebody has set it back since you looked" in refused.json()["detail"]


def test_a_setting_of_a_destination_that_is_gone_can_be_taken_away(panel: httpx.Client, staging: Engine) -> None:
    with staging.begin() as transaction:
        transaction.execute(text("INSERT INTO bridge.setting VALUES ('fusion', 'shadow', 'true', now(), 'bob')"))
    assert shown(panel)["shadow"]["destinations"]["fusion"]["value"] is True
    assert back(panel, "shadow", True, scope="fusion").json()["destinations"] == {}
    assert stored(staging) == []


def test_a_stored_value_that_cannot_be_hides_nothing_and_is_set_anew(panel: httpx.Client, staging: Engine) -> None:
    secret = """'[{"connection": "slack://s3cret-in-a-wrong-place"}]'"""
    with staging.begin() as transaction:
        transaction.execute(text("INSERT INTO bridge.setting VALUES ('oracle', 'batch_size', '5000', now(), 'psql')"))
        transaction.execute(
            text(f"INSERT INTO bridge.setting VALUES ('bridge', 'alert_channels', {secret}, now(), 'x')")
        )
        transaction.execute(text("INSERT INTO bridge.setting VALUES ('bridge', 'not_yet', '1', now(), 'psql')"))
    answer = panel.get("/api/settings")
    assert "s3cret" not in answer.text
    now = shown(panel)
    assert set(now) == set(VALUES)
    assert now["batch_size"]["destinations"]["oracle"]["value"] is None
    assert now["batch_size"]["destinations"]["oracle"]["wrong"] == (
        "What is stored cannot be: batch_size takes a whole number from 1 to 1,000. Set it anew."
    )
    assert now["alert_channels"]["everywhere"]["wrong"].startswith("What is stored cannot be: ")
    assert put(panel, "batch_size", 60, None, "oracle").json()["destinations"]["oracle"]["value"] == 60
    assert back(panel, "alert_channels", None).json()["everywhere"] is None


def test_who_may_only_look_sees_no_address_and_changes_nothing(
    panel: httpx.Client, looking: httpx.Client, staging: Engine
) -> None:
    assert put(panel, "alert_channels", [MAIL]).status_code == 200
    before = audited(staging)
    assert shown(panel)["alert_channels"]["everywhere"]["value"] == [MAIL]
    seen = looking.get("/api/settings")
    assert "example.com" not in seen.text
    assert shown(looking)["alert_channels"]["everywhere"]["value"] == [MAIL | {"to": 2}]
    assert put(looking, "batch_size", 5).status_code == 403
    assert back(looking, "alert_channels", [MAIL]).status_code == 403
    assert audited(staging) == before


def test_each_setting_stands_in_one_section_of_the_page() -> None:
    sections = (FOLDER / "tabs" / "settings" / "sections.js").read_text()
    assert sorted(re.findall(r'\["([a-z_]+)", "[^"]+"\]', sections)) == sorted(Settings.model_fields)


def test_a_change_comes_from_our_page_as_json(panel: httpx.Client, staging: Engine) -> None:
    body = '{"value": 5, "was": null}'
    for method in ("PUT", "DELETE"):
        text_plain = panel.request(method, "/api/settings/bridge/batch_size", content=body)
        assert text_plain.status_code == 415
        elsewhere = {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}
        foreign = panel.request(method, "/api/settings/bridge/batch_size", content=body, headers=elsewhere)
        assert foreign.status_code == 403
    assert stored(staging) == []
