"""The API guide is true: its lines run and answer as it shows, and it has all that can be asked for."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.bridge import Bridge
from tests.staging_roles import PANEL, as_role
from tests.web.documented import Documented
from tests.web.panel_client import Login
from tests.web.puller import Puller
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import setting
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.pull.openapi.document import document
from totara_bridge.web.service import Service

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def site(login: Login, staging: Engine) -> Iterator[httpx.Client]:
    """Airflow's site as a manager's browser has it: the panel, and the Pull API beside it."""
    pull = pull_app(Service(as_role(staging, PANEL), threads=8))
    app = Starlette(routes=[Mount("/bridge/panel", login.panel(staging)), Mount(PREFIX, pull)])
    with login.browser(app, "user") as browser:
        yield browser


def guide(browser: httpx.Client, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Its sections, by name."""
    answer = browser.get(f"{prefix}/api/guide")
    assert answer.status_code == 200, answer.text
    return {section["name"]: section for half in answer.json()["halves"] for section in half["sections"]}


def blocks(section: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Those of one kind."""
    return [block for block in section["blocks"] if block["kind"] == kind]


def rows(section: dict[str, Any], title: str) -> list[list[str]]:
    """Of the table with this title."""
    [found] = [block["rows"] for block in blocks(section, "table") if block["title"] == title]
    assert isinstance(found, list)
    return found


def test_every_line_runs_and_answers_as_shown(
    site: httpx.Client, bridge: Bridge, token: str, oracle: SandboxOracle, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    bridge.extract()
    shell = _Shell(tmp_path, TOKEN=token, TOKEN_URL=oracle.token_url, ENDPOINT=f"{oracle.url}/completions")
    shell.environment |= {"CLIENT_ID": oracle.client_id, "CLIENT_SECRET": oracle.client_secret}
    said = Documented(document())
    ran = 0
    for section in guide(site, "/bridge/panel").values():
        for command in blocks(section, "command"):
            if "curl" not in command["text"]:
                continue
            printed = shell.run(command["text"])
            ran += 1
            if kept := re.search(r"-o (\S+)", command["text"]):
                printed = (tmp_path / kept[1]).read_text()
                assert len(printed.splitlines()) > 10, command
                continue
            answer = json.loads(printed)
            shell.environment |= {"CURSOR": answer.get("cursor", ""), "ORACLE_TOKEN": answer.get("access_token", "")}
            for shown in [answer] + ([json.loads(command["answer"])] if command["answer"] else []):
                assert answer.keys() == shown.keys(), command
                for schema in _schemas(said, section):
                    assert said.mistakes(schema, shown) == [], command
    assert ran == 20


class _Shell:
    """A shell of whoever follows the guide."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.environment = {**os.environ, "no_proxy": "*", "NO_PROXY": "*"} | environment
        self._folder = folder

    def run(self, line: str) -> str:
        """What it prints."""
        done = subprocess.run(
            ["sh", "-euc", line],
            env=self.environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout


def _schemas(said: Documented, section: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What an answer of a section is to be."""
    for method, path, operation in said.operations():
        if section["title"] == f"{method} {path}":
            yield operation["responses"]["200"]["content"]["application/json"]["schema"]
    if section["name"] == "errors":
        yield {"$ref": "#/components/schemas/Problem"}


def test_every_address_and_parameter_is_there(panel: httpx.Client) -> None:
    sections = guide(panel)
    for method, path, operation in Documented(document()).operations():
        section = sections[operation["operationId"]]
        assert section["title"] == f"{method} {path}"
        assert {row[0] for row in rows(section, "Answers")} == set(operation["responses"])
        if operation.get("parameters"):
            told = {row[0].strip("`"): row[2] for row in rows(section, "Parameters")}
            assert told == {each["name"]: each["description"] for each in operation["parameters"]}


def test_what_is_answered_is_told_field_by_field(panel: httpx.Client) -> None:
    sections = guide(panel)
    fields = {row[0].strip("`"): row[1:] for row in rows(sections["completions"], "What is answered")}
    assert fields["items[].instances[].recordKey"] == [
        "string",
        "Its name for ever, also where completions are pushed.",
    ]
    assert fields["items[].user.email"] == ["string", ""]
    assert fields["items[].progress"][0] == "integer, 0 to 100 or null"
    assert fields["more"][0] == "boolean"
    sent = [row[0] for row in rows(sections["acknowledge"], "What is sent")]
    assert sent == ["`[].id`", "`[].status`", "`[].version`", "`[].reference`", "`[].message`"]


def test_every_example_of_a_parameter_can_be_asked_for(site: httpx.Client, puller: Puller, bridge: Bridge) -> None:
    bridge.extract()
    sections = guide(site, "/bridge/panel")
    asked = [
        f"/{name}?{row[3].strip('`')}"
        for name in ("completions", "users", "courses")
        for row in rows(sections[name], "Parameters")
        if row[3]
    ]
    assert len(asked) == 24
    for each in asked:
        answer = puller.get(each)
        assert answer.status_code == 200, (each, answer.text)


def test_the_example_is_one_that_there_is(site: httpx.Client, bridge: Bridge) -> None:
    nothing = guide(site, "/bridge/panel")["completion"]
    assert blocks(nothing, "command")[0]["text"].endswith('/bridge/api/v1/completions/sbx-3-20"')
    bridge.extract()
    bridge.totara.delete_completion(*bridge.totara.pair_with(status=50))
    [command] = blocks(guide(site, "/bridge/panel")["completion"], "command")
    assert re.search(r'/bridge/api/v1/completions/sbx-\d+-\d+"$', command["text"])


def test_every_problem_is_there(panel: httpx.Client) -> None:
    told = {(status, kind.strip("`")) for status, kind, _ in rows(guide(panel)["errors"], "All there are")}
    examples = [
        each["value"]
        for response in document()["components"]["responses"].values()
        for each in response["content"]["application/problem+json"]["examples"].values()
    ]
    assert {(str(each["status"]), each["type"].rpartition(":")[2]) for each in examples} <= told
    assert ("400", "invalid-body") in told


def test_the_limits_are_those_of_now(panel: httpx.Client, staging: Engine) -> None:
    before = dict(rows(guide(panel)["limits"], "As they are now"))
    assert before == {
        "The Pull API": "switched on",
        "Requests of one token within a minute": "600; then 429 with Retry-After",
        "Items of a page": "500, or `limit` up to 5000",
        "A first call without since": "what changed within the last 30 days",
        "Acknowledgements at once": "5000",
        "Acknowledgements are kept for": "400 days",
    }
    with staging.begin() as transaction:
        for name, value in (("pull", False), ("pull_per_minute", 4200), ("pull_since", "P3DT12H")):
            setting.write(transaction, name=name, value=value, by="ada", now=NOW)
        setting.write(transaction, scope="oracle", name="batch_size", value=7, by="ada", now=NOW)
    sections = guide(panel)
    now = dict(rows(sections["limits"], "As they are now"))
    assert now["The Pull API"] == "switched off: every request gets 503"
    assert now["Requests of one token within a minute"] == "4,200; then 429 with Retry-After"
    assert now["A first call without since"] == "what changed within the last 3.5 days"
    assert "Batches of up to 7 items and 1,000,000 bytes" in blocks(sections["to-oracle"], "words")[0]["text"]


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("https://airflow.example.com", "https://airflow.example.com/bridge/api/v1"),
        ("https://example.com/airflow/", "https://example.com/airflow/bridge/api/v1"),
        ("http://localhost:8080", "http://bridge.example.org:81/bridge/api/v1"),
        ("http://127.0.0.1:8080", "http://bridge.example.org:81/bridge/api/v1"),
    ],
)
def test_the_address_is_the_one_that_others_have(
    panel: httpx.Client, monkeypatch: pytest.MonkeyPatch, base_url: str, address: str
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    answer = panel.get("/api/guide", headers={"Host": "bridge.example.org:81"}).json()
    assert answer["address"] == address
    lines = [
        block["text"] for part in answer["halves"][0]["sections"] for block in part["blocks"] if "curl" in str(block)
    ]
    assert all(f'"{address}/' in line for line in lines if line.startswith("curl"))


def test_only_managers_have_it(looking: httpx.Client, login: Login, staging: Engine) -> None:
    assert looking.get("/api/guide").status_code == 403
    with login.browser(login.panel(staging), None) as nobody:
        assert nobody.get("/api/guide").status_code == 401
