"""What a setting cannot be is refused by the panel in a sentence beside its field, and changes nothing."""

from typing import Any

import httpx
from sqlalchemy import Engine

from tests.web.panel_settings import MAIL, audited, put, stored

#: What is refused: name, value, where the mistake is, and the sentence; none: any.
REFUSED: list[tuple[str, Any, str, str | None]] = [
    ("enabled", "perhaps", "value", "enabled takes on or off."),
    ("batch_size", 0, "value", "batch_size takes a whole number from 1 to 1,000."),
    ("batch_size", 1001, "value", "batch_size takes a whole number from 1 to 1,000."),
    ("batch_size", 1.5, "value", "batch_size takes a whole number from 1 to 1,000."),
    ("batch_size", None, "value", "batch_size takes a whole number from 1 to 1,000."),
    ("batch_size", "1" * 5000, "value", "batch_size takes a whole number from 1 to 1,000."),
    ("promised_share", 1.01, "value", "promised_share takes a share from 0% to 100%."),
    ("promise", "soon", "value", "promise takes a length of time, more than nothing and at most 365 days."),
    ("promise", "PT0S", "value", "promise takes a length of time, more than nothing and at most 365 days."),
    (
        "log_retention",
        "PT23H",
        "value",
        "log_retention takes a length of time, at least 1 day and at most 3,650 days.",
    ),
    ("keep_bodies", "sometimes", "value", "keep_bodies takes one of never, failures, always."),
    ("alert_channels", "ops_mail", "value", "alert_channels takes a list of at most 20 channels."),
    ("alert_channels", [MAIL, MAIL], "value", "The alert channel ops_mail is given twice: keep one of them."),
    (
        "alert_channels",
        [MAIL, {"connection": "https://hook.example.com/s3cret"}],
        "value.1.connection",
        "Channel 2: connection takes the name of an Airflow Connection, no address.",
    ),
    (
        "alert_channels",
        [{"connection": "ops_mail", "to": ["nobody"]}],
        "value.0.to.0",
        "Channel 1: to takes an e-mail address, such as ops@example.com.",
    ),
    (
        "alert_channels",
        [{"connection": "ops_mail", "to": ["a\x00@example.com"]}],
        "value.0.to.0",
        "Channel 1: to takes an e-mail address, such as ops@example.com.",
    ),
    (
        "alert_channels",
        [{"connection": "hook", "form": "morse"}],
        "value.0.form",
        "Channel 1: form takes one of json, slack, teams.",
    ),
    (
        "alert_channels",
        [{"connection": "hook", "password": "s3cret"}],
        "value.0.password",
        "Channel 1: password cannot be (Extra inputs are not permitted).",
    ),
    ("alert_channels", ["hook"], "value.0", None),
]


def test_what_cannot_be_is_refused_beside_its_field(panel: httpx.Client, staging: Engine) -> None:
    for name, value, pointer, sentence in REFUSED:
        refused = put(panel, name, value)
        assert (name, refused.status_code) == (name, 400)
        assert refused.headers["content-type"] == "application/problem+json"
        [mistake] = refused.json()["errors"]
        assert (name, mistake["pointer"]) == (name, pointer)
        assert refused.json()["detail"] == mistake["detail"]
        assert mistake["detail"].endswith(".")
        assert sentence in (None, mistake["detail"])
        assert "s3cret" not in refused.text
    assert (stored(staging), audited(staging)) == ([], [])


def test_what_does_not_exist_is_said_to_be_missing(panel: httpx.Client, staging: Engine) -> None:
    for refused, words in (
        (put(panel, "batchsize", 5), "There is no such setting: choose one of enabled, batch_size, "),
        (put(panel, "batch_size", 5, scope="fusion"), "bridge.toml has no destination of that code: reload the page."),
        (
            put(panel, "pull", False, scope="oracle"),
            "The setting pull counts for all only: no destination has its own.",
        ),
    ):
        assert refused.status_code == 404
        assert refused.json()["detail"].startswith(words)
    bodies: list[Any] = [{"value": 5}, {"value": 5, "was": None, "by": "eve"}, [], {}]
    for body in bodies:
        refused = panel.put("/api/settings/bridge/batch_size", json=body)
        assert refused.status_code == 400
        assert refused.json()["errors"]
    assert (stored(staging), audited(staging)) == ([], [])
