"""Connections in the panel: where each leads, in a sentence what is wrong with it, its test, and never a secret."""

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from totara_bridge.orchestration.described import described
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.web.panel.patience import within

SECRET = "s3cret-that-nobody-may-read"

TOTARA: dict[str, Any] = {
    "conn_type": "totara",
    "host": "https://learn.example.com",
    "password": SECRET,
    "extra": {
        "database_url": "postgresql://reader@db.example.com:6432/totara",
        "database_password": SECRET,
        "timeout_ms": "1500",
    },
}
ORACLE: dict[str, Any] = {
    "conn_type": "oracle_completions",
    "host": "https://oracle.example.com/prefix",
    "login": "the-client",
    "password": SECRET,
    "extra": {"oauth_url": "https://idcs.example.com/oauth2/v1/token", "scope": "urn:x", "timeout_ms": 2500},
}

Keep = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Keep:
    """Store a Connection as Airflow has it."""

    def store(name: str, connection: dict[str, Any]) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))

    return store


def changed(connection: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The same with other fields; those that it has not itself are of the extra."""
    own = {name: value for name, value in fields.items() if name in ("conn_type", "host", "login", "password")}
    extra = {name: value for name, value in fields.items() if name not in own}
    return connection | own | {"extra": connection["extra"] | extra}


def test_each_site_and_destination_shows_where_it_leads(panel: httpx.Client, looking: httpx.Client, keep: Keep) -> None:
    keep("totara_sandbox", TOTARA)
    keep("oracle_sandbox", ORACLE)
    answer = looking.get("/api/connections")
    assert SECRET not in answer.text
    assert answer.json() == panel.get("/api/connections").json()
    assert answer.json()["connections"] == [
        {
            "role": "site",
            "code": "sbx",
            "queue": None,
            "connection": "totara_sandbox",
            "type": "totara",
            "timeout_ms": 1500,
            "active": True,
            "source": "database",
            "has_secret": True,
            "server_url": "https://learn.example.com",
            "database_host": "db.example.com:6432",
            "database": "totara",
            "table_prefix": "ttr_",
            "wrong": None,
        },
        {
            "role": "destination",
            "code": "oracle",
            "queue": None,
            "connection": "oracle_sandbox",
            "type": "oracle_completions",
            "timeout_ms": 2500,
            "active": True,
            "has_secret": True,
            "base_url": "https://oracle.example.com/prefix",
            "token_url": "https://idcs.example.com/oauth2/v1/token",
            "client_id": "the-client",
            "scope": "urn:x",
            "path": "/completions",
            "wrong": None,
        },
    ]


def test_a_bad_connection_is_a_sentence_and_hides_no_other(panel: httpx.Client, keep: Keep) -> None:
    keep("oracle_sandbox", ORACLE | {"conn_type": "totara", "extra": {}})
    site, destination = panel.get("/api/connections").json()["connections"]
    assert (site["type"], site["has_secret"]) == (None, False)
    assert site["wrong"] == (
        "There is no Airflow Connection totara_sandbox: create it (docs/connections.md), or correct its name in "
        "bridge.toml."
    )
    assert destination["wrong"] == (
        "The destination oracle needs a Connection of type oracle_completions, but oracle_sandbox is of type totara: "
        "change its type, or name another in bridge.toml."
    )


@pytest.mark.parametrize(
    ("connection", "field", "words"),
    [
        (changed(ORACLE, password=""), "has_secret", "has no client_secret"),
        (changed(ORACLE, is_active="false"), "active", "is not active, so nothing is sent to this Oracle"),
        (changed(ORACLE, timeout_ms="soon"), "timeout_ms", "timeout_ms: "),
        (
            changed(ORACLE, host=f"https://user:{SECRET}@oracle.example.com"),
            None,
            "has credentials inside its base_url",
        ),
        (changed(ORACLE, host=f"user:{SECRET}@oracle.example.com"), "base_url", "has a base_url that is no address"),
        (changed(ORACLE, oauth_url=f"https://idcs.example.com/token?key={SECRET}"), None, "has a query or a fragment"),
        (changed(ORACLE, path=f"/completions?key={SECRET}"), "path", "has the path '…': write it as"),
        (changed(ORACLE, unknown=SECRET), None, "has fields that cannot be: unknown: "),
        (
            changed(TOTARA, database_url=f"postgresql://reader:{SECRET}@h/totara"),
            None,
            'has a password in "Database URL"',
        ),
        (changed(TOTARA, database_url=f"postgresql://reader:x@{SECRET}@h/t"), "database_host", "has a password in"),
        (changed(TOTARA, database_url=f"postgresql://r@h/totara?password={SECRET}"), None, "has a password in"),
        (changed(TOTARA, database_url=f"{SECRET}://r@h/totara"), None, 'has a "Database URL" that'),
        (changed(TOTARA, database_url=SECRET), "database", 'has a "Database URL" that is no address'),
        (changed(TOTARA, host=f"learn:{SECRET}@example.com"), "server_url", "has the server URL '…', which names no"),
        (changed(TOTARA, is_source=False), None, "is not a source, so nothing is read"),
        (changed(TOTARA, table_prefix="TTR;"), None, "table_prefix: at most 16"),
        (TOTARA | {"extra": [SECRET]}, None, "Airflow cannot use the Connection lms (AttributeError)"),
        (TOTARA | {"conn_type": "http"}, None, "is of type http, which is none of the bridge's"),
    ],
)
def test_what_cannot_be_used_is_said_without_what_opens_it(
    keep: Keep, connection: dict[str, Any], field: str | None, words: str
) -> None:
    keep("lms", connection)
    found = described("lms")
    assert words in found["wrong"]
    assert found["wrong"].endswith(".")
    assert SECRET not in json.dumps(found)
    if field is not None:
        assert not found[field]


def test_an_address_in_which_a_password_is_hidden_is_shown_without(keep: Keep) -> None:
    keep("lms", changed(ORACLE, host=f"https://user:{SECRET}@oracle.example.com:8443/x"))
    assert described("lms")["base_url"] == "https://oracle.example.com:8443/x"


def test_a_connection_is_tried(panel: httpx.Client, keep: Keep, oracle: SandboxOracle, totara: Engine) -> None:
    right = {"host": oracle.url, "login": oracle.client_id, "password": oracle.client_secret}
    keep("oracle_sandbox", changed(ORACLE, **right, oauth_url=oracle.token_url, scope=""))
    keep("totara_sandbox", changed(TOTARA, database_url=totara.url.render_as_string(False), database_password=""))
    found = panel.post("/api/connections/oracle_sandbox/test", json={}).json()
    assert found["ok"] is True
    assert "was reached with it" in found["sentence"]
    assert isinstance(found["took_ms"], int)
    found = panel.post("/api/connections/totara_sandbox/test", json={}).json()
    assert found["ok"] is True
    assert found["sentence"].startswith("Totara ")


def test_what_a_test_found_is_a_sentence_without_a_secret(
    panel: httpx.Client, keep: Keep, oracle: SandboxOracle
) -> None:
    right = {"host": oracle.url, "login": oracle.client_id, "oauth_url": oracle.token_url}
    for connection, words in (
        (changed(ORACLE, **right), "correct the client ID and the client secret"),
        (changed(ORACLE, host=f"https://u:{SECRET}@h"), "has credentials inside its base_url"),
        (ORACLE | {"extra": [SECRET]}, "Airflow cannot use the Connection oracle_sandbox (AttributeError)"),
        (ORACLE | {"conn_type": "http"}, "is of type http, which is none of the bridge's"),
    ):
        keep("oracle_sandbox", connection)
        answer = panel.post("/api/connections/oracle_sandbox/test", json={})
        assert (answer.status_code, answer.json()["ok"]) == (200, False)
        assert words in answer.json()["sentence"]
        assert SECRET not in answer.text


def test_only_what_bridge_toml_names_is_tried_and_only_by_who_may_manage(
    panel: httpx.Client, looking: httpx.Client, keep: Keep
) -> None:
    keep("other", ORACLE)
    refused = panel.post("/api/connections/other/test", json={})
    assert refused.status_code == 404
    assert refused.json()["detail"] == "bridge.toml names no Connection of that name: reload the page."
    assert looking.post("/api/connections/oracle_sandbox/test", json={}).status_code == 403
    assert panel.post("/api/connections/oracle_sandbox/test", content="{}").status_code == 415
    assert panel.post("/api/connections/oracle_sandbox/test", json={"host": "https://h"}).status_code == 400


def test_a_test_that_hangs_is_given_up_and_not_begun_again(
    keep: Keep, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    from totara_bridge.orchestration.described import tried  # noqa: PLC0415  as the handler calls it

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        keep("slow", changed(ORACLE, host=url, oauth_url=url + "/token", timeout_ms=60_000))
        ok, sentence = within(0.1, "slow", lambda: tried("slow"))
        assert (ok, sentence.startswith("slow has given no answer within 0.1 seconds: ")) == (False, True)
        ok, sentence = within(0.1, "slow", lambda: tried("slow"))
        assert (ok, sentence) == (False, "A test of slow is still under way: wait for it, then try again.")
        silent.settimeout(60)
        silent.accept()[0].close()
    wait_until(lambda: "under way" not in within(30, "slow", lambda: (True, "Anew."))[1])
