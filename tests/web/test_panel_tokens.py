"""Tokens in the panel: shown in one answer and no other, replaced and taken back by whoever may manage."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from totara_bridge import api_token
from totara_bridge.staging.api_token import Scope

HOUR = timedelta(hours=1)


def listed(browser: httpx.Client) -> list[dict[str, Any]]:
    tokens: list[dict[str, Any]] = browser.get("/api/tokens").json()["tokens"]
    return tokens


def issued(browser: httpx.Client, caller: str = "warehouse", **asked: Any) -> dict[str, Any]:
    answer = browser.post("/api/tokens", json={"caller": caller, **asked})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def audited(staging: Engine) -> list[tuple[str, str, str, str]]:
    with staging.connect() as connection:
        rows = connection.execute(text("SELECT actor, action, subject, details FROM bridge.audit_log ORDER BY id"))
        return [(row.actor, row.action, row.subject, row.details["what"]) for row in rows]


def about(moment: str, expected: datetime) -> bool:
    """Within a day: the clock is the server's own."""
    return abs(datetime.fromisoformat(moment) - expected) < timedelta(days=1)


def test_nobody_has_a_token_and_the_form_knows_where_to_begin(looking: httpx.Client) -> None:
    assert looking.get("/api/tokens").json() == {
        "tokens": [],
        "scopes": ["read", "acknowledge"],
        "days": 365,
        "overlap_hours": 168,
    }


def test_a_token_is_in_one_answer_and_in_no_log(
    panel: httpx.Client, staging: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = panel.post(
            "/api/tokens",
            json={"caller": "warehouse", "scopes": ["read"], "networks": ["10.1.2.0/24", "2001:db8::/32"], "days": 30},
        )
    given = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (given["id"], given["caller"], len(given["token"])) == (1, "warehouse", 40)
    assert about(given["expires_at"], datetime.now(UTC) + timedelta(days=30))
    assert given["token"] not in caplog.text
    assert given["token"] not in panel.get("/api/tokens").text
    [seen] = listed(panel)
    assert set(seen) == {
        "id", "caller", "hint", "scopes", "networks", "created_at", "created_by", "expires_at", "last_used_at",
        "revoked_at", "revoked_by", "state",
    }  # fmt: skip
    assert seen["hint"] == given["token"][:8]
    assert (seen["scopes"], seen["networks"]) == (["read"], ["10.1.2.0/24", "2001:db8::/32"])
    assert (seen["created_by"], seen["state"], seen["last_used_at"]) == ("uma", "live", None)
    assert seen["expires_at"] == given["expires_at"]
    assert audited(staging) == [("uma", "api_token", "warehouse", "issued")]


def test_a_token_without_end_is_asked_for(panel: httpx.Client) -> None:
    assert issued(panel, days=None)["expires_at"] is None
    [seen] = listed(panel)
    assert (seen["expires_at"], seen["scopes"], seen["networks"]) == (None, ["read", "acknowledge"], [])


def test_issued_twice_is_refused_the_second_time(panel: httpx.Client, staging: Engine) -> None:
    issued(panel)
    again = panel.post("/api/tokens", json={"caller": "warehouse"})
    assert again.status_code == 400
    assert again.json()["detail"] == (
        "The caller warehouse has a live token, number 1: rotate it, or revoke it before you issue another."
    )
    assert len(listed(panel)) == len(audited(staging)) == 1


def test_a_rotation_leaves_the_old_one_its_time_and_a_third_is_refused(panel: httpx.Client, staging: Engine) -> None:
    old = issued(panel, networks=["10.0.0.1"])
    answer = panel.post("/api/tokens/warehouse/rotate", json={"overlap_hours": 48})
    new = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (new["id"], new["caller"], new["old"]) == (2, "warehouse", [1])
    assert new["token"] != old["token"]
    assert about(new["old_until"], datetime.now(UTC) + timedelta(days=2))
    first, second = listed(panel)
    assert (first["state"], first["expires_at"]) == ("live", new["old_until"])
    assert (second["state"], second["networks"], second["hint"]) == ("live", ["10.0.0.1/32"], new["token"][:8])
    again = panel.post("/api/tokens/warehouse/rotate", json={})
    assert again.status_code == 400
    assert "has two live tokens already" in again.json()["detail"]
    at_once = panel.post("/api/tokens/warehouse/rotate", json={"overlap_hours": 0})
    assert at_once.json()["old"] == [1, 2]
    assert [each["state"] for each in listed(panel)] == ["revoked", "revoked", "live"]
    assert [row[3] for row in audited(staging)] == ["issued", "rotated", "rotated"]


def test_revoked_twice_is_revoked_once(panel: httpx.Client, staging: Engine) -> None:
    issued(panel)
    assert panel.post("/api/tokens/1/revoke", json={}).json() == {"revoked": [1]}
    assert panel.post("/api/tokens/1/revoke", json={}).json() == {"revoked": []}
    [seen] = listed(panel)
    assert (seen["state"], seen["revoked_by"]) == ("revoked", "uma")
    assert [row[3] for row in audited(staging)] == ["issued", "revoked"]


def test_what_has_expired_is_called_so(panel: httpx.Client, staging: Engine) -> None:
    with staging.begin() as transaction:
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        api_token.issue(transaction, caller="old", scopes=[Scope.READ], lasts=HOUR, by="ann", now=long_ago)
    assert [each["state"] for each in listed(panel)] == ["expired"]


#: What is refused: path, body, and words of the sentence.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("", {"caller": "42"}, "is no name of a caller"),
    ("", {"caller": "a b"}, "is no name of a caller"),
    ("", {"caller": "x" * 10_000}, "is no name of a caller"),
    ("", {"caller": "warehouse", "scopes": []}, "A token without a scope is good for nothing"),
    ("", {"caller": "warehouse", "scopes": ["admin"]}, "scopes.0: Input should be 'read' or 'acknowledge'"),
    ("", {"caller": "warehouse", "networks": ["10.0.0.300"]}, "10.0.0.300"),
    ("", {"caller": "warehouse", "days": 0}, "days: Input should be greater than or equal to 1"),
    ("", {"caller": "warehouse", "days": 10**12}, "days: Input should be less than or equal to 3650"),
    ("", {"caller": "warehouse", "token": "mine"}, "token: Extra inputs are not permitted"),
    ("", {}, "caller: Field required"),
    ("/warehouse/rotate", {}, "There is no caller of the name warehouse: known are none yet."),
    ("/warehouse/rotate", {"overlap_hours": -1}, "overlap_hours: Input should be greater than or equal to 0"),
    ("/7/revoke", {}, "There is no token of number 7"),
    (f"/{10**30}/revoke", {}, "There is no token of number"),
    ("/seven/revoke", {}, "number: Input should be a valid integer"),
]


def test_what_cannot_be_is_refused_in_a_sentence(panel: httpx.Client, staging: Engine) -> None:
    for path, body, words in REFUSED:
        refused = panel.post(f"/api/tokens{path}", json=body)
        assert (words, refused.status_code) == (words, 400)
        assert words in refused.json()["detail"]
        assert refused.json()["detail"].endswith(".")
    assert (listed(panel), audited(staging)) == ([], [])


def test_who_may_only_look_changes_nothing(panel: httpx.Client, looking: httpx.Client, staging: Engine) -> None:
    token = issued(panel)["token"]
    for path, body in (("", {"caller": "mart"}), ("/warehouse/rotate", {}), ("/1/revoke", {})):
        assert looking.post(f"/api/tokens{path}", json=body).status_code == 403
        assert panel.post(f"/api/tokens{path}", content="{}").status_code == 415
    assert listed(looking) == listed(panel)
    assert token not in looking.get("/api/tokens").text
    assert [row[3] for row in audited(staging)] == ["issued"]
