"""Of a newer database, a task, a command and the web take what works with this code, and refuse what does not."""

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from tests.bridge import Bridge
from tests.upgrade.version import THIS, Version
from tests.web.puller import Puller
from tests.web.serving import serving
from totara_bridge import api_token
from totara_bridge.errors import StagingOutOfDate
from totara_bridge.orchestration.tasks.push import push_destination
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.web.pull import alone
from totara_bridge.web.pull.app import PREFIX

REFUSED = (
    "The staging database is at revision 0008, which only code of revision 0008 and later works with, and this code is "
    "of 0007: run the version of the code that migrated it."
)


@pytest.fixture
def database(staging: Engine, oracle: SandboxOracle, monkeypatch: pytest.MonkeyPatch) -> str:
    """A staging database at this code's revision, that all processes of a bridge use."""
    address = staging.url.render_as_string(hide_password=False).replace("+psycopg", "")
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address)
    connection = {
        "conn_type": "oracle_completions",
        "host": oracle.url,
        "login": oracle.client_id,
        "password": oracle.client_secret,
        "extra": {"oauth_url": oracle.token_url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_ORACLE_SANDBOX", json.dumps(connection))
    return address


@pytest.fixture
def token(staging: Engine) -> str:
    """Of somebody who pulls."""
    with staging.begin() as transaction:
        return api_token.issue(transaction, caller="warehouse", by="ann", now=datetime.now(UTC)).token


def test_what_works_with_this_code_is_accepted(
    database: str, token: str, bridge: Bridge, after: Version, oracle: SandboxOracle
) -> None:
    bridge.queue_new(2)
    with serving(alone(), lifespan="on") as host, Puller(host + PREFIX, token) as puller:
        for _ in range(7):  # PostgreSQL has made its plans by then
            assert puller.fetch(since="1970-01-01")["items"]
        after.migrate(database)
        assert puller.fetch(since="1970-01-01")["items"]
    with serving(alone(), lifespan="on") as host, Puller(host + PREFIX, token) as puller:
        assert puller.fetch(since="1970-01-01")["items"]
    assert push_destination("oracle", {})["sent"] == 2
    assert THIS.run("totara_bridge.command", "setting", database=database)[0] == 0


def test_what_does_not_is_refused(
    database: str, token: str, broken_with: Version, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(alone(), lifespan="on") as host, Puller(host + PREFIX, token) as puller:
        assert puller.get("/completions").status_code == 200
        broken_with.migrate(database)
        for _ in range(2):
            answer = puller.get("/completions")
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:totara-bridge:problem:out-of-date")
    assert caplog.messages.count(f"Every request is answered with 503: {REFUSED}") == 1
    with pytest.raises(StagingOutOfDate) as refused:
        push_destination("oracle", {})
    assert str(refused.value) == REFUSED
    assert THIS.run("totara_bridge.command", "setting", database=database) == (2, REFUSED + "\n")
