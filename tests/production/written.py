"""Everything that a bridge shows to whoever may see all of it, in files: databases, answers of its APIs, its pages."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, expect

from tests.browser.window import window
from tests.production.person import Person, person
from tests.production.whole import Whole
from tests.web.panel_routes import REQUESTS


def dump_databases(production: Whole, folder: Path) -> None:
    """Every row of every database but those of the sandbox, as SQL; what the server knows of roles."""
    environment = dict(production.stack.postgres.environment())
    for name in ("airflow", "bridge"):
        with (folder / f"{name}.sql").open("wb") as file:
            subprocess.run(["pg_dump", "--inserts", name], env=environment, stdout=file, check=True)
    with (folder / "roles.sql").open("wb") as file:
        subprocess.run(["pg_dumpall", "--globals-only"], env=environment, stdout=file, check=True)


def dump_redis(production: Whole, folder: Path) -> None:
    """Every key with what it holds, and what the server says of itself."""
    port, password = str(production.stack.here.ports["redis"]), production.stack.secret("REDIS")

    def ask(*words: str) -> bytes:
        return subprocess.run(
            ["redis-cli", "-p", port, "-n", words[0], *words[1:]],
            env={"PATH": "/usr/bin:/bin", "REDISCLI_AUTH": password}, capture_output=True, check=True,
        ).stdout  # fmt: skip

    for database in ("0", "1"):
        said = [ask(database, "INFO"), ask(database, "CLIENT", "LIST"), ask(database, "SLOWLOG", "GET", "1000")]
        for key in ask(database, "KEYS", "*").splitlines():
            said += [key, ask(database, "--no-raw", "DUMP", key.decode())]
        (folder / f"{database}.txt").write_bytes(b"\n".join(said))


def ask_airflow(admin: Person, folder: Path) -> None:
    """Every address of its REST API that needs no parameter, and all of every run: its tasks, logs and XComs."""
    for path in _json(admin.ask("GET", "/openapi.json"))["paths"]:
        if path.startswith("/api/v2/") and "{" not in path and not path.endswith("/logout"):
            _keep(admin, f"{path}?limit=1000", folder)
    for kind, listed, number in (("connections", "connections", "connection_id"), ("dags", "dags", "dag_id")):
        for each in _json(admin.ask("GET", f"/api/v2/{kind}?limit=1000"))[listed]:
            _keep(admin, f"/api/v2/{kind}/{each[number]}", folder)
    runs = "/api/v2/dags/~/dagRuns"
    _keep(admin, f"{runs}?limit=1000", folder)
    for task in _json(_keep(admin, f"{runs}/~/taskInstances?limit=1000", folder))["task_instances"]:
        run = f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        _keep(admin, f"{run}/logs/{max(task['try_number'], 1)}?full_content=true", folder)
        _keep(admin, f"{run}/xcomEntries/return_value", folder)


def ask_panel(admin: Person, production: Whole, folder: Path) -> None:
    """Every address that its page reads, of every item and request that there is to look at."""
    numbers = {
        "/api/items/{number}": production.airflow.rows("SELECT id FROM bridge.export_queue ORDER BY id DESC LIMIT 20"),
        "/api/requests/{number}": production.airflow.rows("SELECT id FROM bridge.export_log ORDER BY id DESC LIMIT 20"),
    }
    for request in (each for each in REQUESTS if not each.changes):
        for row in numbers.get(request.path, [{"id": None}]):
            address = request.address if row["id"] is None else request.path.format(number=row["id"])
            answer = _keep(admin, f"/bridge/panel{address}", folder)
            assert answer.ok, answer.text


def ask_pull(production: Whole, token: str, folder: Path) -> None:
    """Every address that gives something, of both servers."""
    for address in (production.airflow.address, production.stack.pull_address):
        with person(address) as caller:
            api = "/bridge/api/v1"
            paths = caller.ask("GET", f"{api}/openapi.json", headers={"X-Api-Key": token}).json()["paths"]
            first = caller.ask("GET", f"{api}/completions?limit=1", headers={"X-Api-Key": token}).json()["items"][0]
            for path in (path.format(id=first["id"]) for path, methods in paths.items() if "get" in methods):
                for headers in ({"X-Api-Key": token}, {"X-Api-Key": "none"}):
                    _keep(caller, path if path.startswith(api) else api + path, folder, **headers)


def show_pages(production: Whole, chromium: Browser, folder: Path) -> None:
    """Every tab of the panel, and Airflow's own pages of Connections, runs and configuration, as a browser has them."""
    password = production.stack.secret("AIRFLOW_ADMIN")
    with window(chromium, production.airflow.address, "admin", password=password) as at:
        for tab in at.open().tabs():
            at.tab(tab)
            (folder / f"{tab}.html").write_text(at.page.content())
            for number, section in enumerate(at.root.locator("[role=tabpanel] [role=tab]").all()):
                section.click()
                at.loaded()
                (folder / f"{tab}-{number}.html").write_text(at.page.content())
        for page in ("connections", "configs", "events", "dag_runs", "plugins"):
            at.page.goto(f"{at.address}/{page}")
            expect(at.page.get_by_test_id("nav-home-link")).to_be_visible()
            at.page.wait_for_load_state("networkidle")
            (folder / f"airflow-{page}.html").write_text(at.page.content())


#: Header, claims and signature.
_JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}")


def web_tokens(folders: list[Path]) -> Iterator[Path]:
    """Files with a JSON Web Token: nobody knows all those that Airflow gives to its tasks."""
    for folder in folders:
        for file in (file for file in folder.rglob("*") if file.is_file()):
            if _JWT.search(file.read_bytes()):
                yield file


def _keep(whoever: Person, path: str, folder: Path, **headers: str) -> requests.Response:
    """Ask, and keep what comes, the headers too."""
    answer = whoever.ask("GET", path, headers=headers)
    assert answer.status_code < 500, f"{path}: {answer.text}"
    number = sum(1 for _ in folder.iterdir())
    said = f"{path}\n{answer.status_code}\n{json.dumps(dict(answer.headers))}\n".encode()
    (folder / f"{number:04}").write_bytes(said + answer.content)
    return answer


def _json(answer: requests.Response) -> dict[str, Any]:
    assert answer.ok, answer.text
    return dict(answer.json())
