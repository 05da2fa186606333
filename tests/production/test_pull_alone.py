"""The Pull API in processes of its own, with a token that the command made where the scheduler is."""

import json
from collections.abc import Iterator

import pytest
import requests

from tests.production.whole import Whole

COMPLETIONS = "/bridge/api/v1/completions"


@pytest.fixture(scope="module")
def token(production: Whole) -> Iterator[str]:
    """A caller's, revoked afterwards."""
    command = ("python", "-m", "totara_bridge.command", "token")
    issued = production.stack.command(*command, "issue", "reports")
    assert issued.returncode == 0, issued.stderr
    yield issued.stdout.strip()
    assert production.stack.command(*command, "revoke", "reports").returncode == 0


@pytest.fixture
def session(token: str) -> Iterator[requests.Session]:
    """The caller."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["X-Api-Key"] = token
        yield session


def test_it_gives_every_completion(production: Whole, session: requests.Session) -> None:
    answer = session.get(
        production.stack.pull_address + COMPLETIONS, headers={"Accept": "application/x-ndjson"}, timeout=60
    )
    assert answer.status_code == 200
    found = {json.loads(line)["id"] for line in answer.text.splitlines()}
    assert len(found) == production.airflow.count("SELECT count(*) FROM bridge.completion")


def test_it_gives_what_the_api_server_gives(production: Whole, session: requests.Session) -> None:
    addresses = (production.stack.pull_address, production.airflow.address)
    alone, inside = (session.get(f"{each}{COMPLETIONS}?limit=50", timeout=60).json() for each in addresses)
    assert alone["items"] == inside["items"]
    assert len(alone["items"]) == 50


def test_it_serves_nothing_of_airflow(production: Whole, session: requests.Session) -> None:
    for path in ("/api/v2/version", "/bridge/panel/api/overview", "/auth/token"):
        assert session.get(production.stack.pull_address + path, timeout=60).status_code == 404, path


def test_an_acknowledgement_is_taken(production: Whole, session: requests.Session) -> None:
    first = session.get(f"{production.stack.pull_address}{COMPLETIONS}?limit=1", timeout=60).json()["items"][0]["id"]
    answer = session.post(
        f"{production.stack.pull_address}/bridge/api/v1/acknowledgements",
        json=[{"id": first, "status": "processed"}],
        timeout=60,
    )
    assert answer.json()["recorded"] == 1, answer.text
    assert production.airflow.count("SELECT count(*) FROM bridge.acknowledgement WHERE caller = 'reports'") == 1
