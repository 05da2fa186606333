"""After all that a bridge does with secrets, none stands in anything that it wrote, or shows to whoever may see all."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.production.full_run import FullRun, full_run
from tests.production.person import person
from tests.production.secrets_found import Found, found
from tests.production.whole import Whole
from tests.production.written import (
    ask_airflow,
    ask_panel,
    ask_pull,
    dump_databases,
    dump_redis,
    show_pages,
    web_tokens,
)

#: Not looked into: .env itself; what the sandbox Oracle received; PostgreSQL's own lock file of the process.
_BUT = (".env", "sandbox")


@pytest.fixture(scope="module")
def run(production: Whole) -> FullRun:
    """What was done, and the secrets that were used for it."""
    return full_run(production)


@pytest.fixture(scope="module")
def shown(production: Whole, run: FullRun, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is shown, a folder for each kind."""
    root = tmp_path_factory.mktemp("shown")
    places = {name: root / name for name in ("databases", "redis", "airflow", "panel", "pull", "pages")}
    for place in places.values():
        place.mkdir()
    with person(production.airflow.address, "admin", production.stack.secret("AIRFLOW_ADMIN")) as admin:
        ask_airflow(admin, places["airflow"])
        ask_panel(admin, production, places["panel"])
    ask_pull(production, run.secrets["token of the Pull API"], places["pull"])
    show_pages(production, chromium, places["pages"])
    dump_databases(production, places["databases"])
    dump_redis(production, places["redis"])
    return root


def test_no_secret_is_written_anywhere(production: Whole, run: FullRun, shown: Path) -> None:
    assert len(run.secrets) > 25
    assert found(run.secrets, [production.stack.here.root, shown], but=_BUT) == set()


def test_a_word_that_is_no_secret_is_found_everywhere(production: Whole, run: FullRun, shown: Path) -> None:
    root = production.stack.here.root
    kinds = {each.file.relative_to(shown if each.file.is_relative_to(shown) else root).parts[0]
             for each in found({"canary": run.canary}, [root, shown], but=_BUT)}  # fmt: skip
    assert kinds == {"databases", "redis", "airflow", "panel", "pages", "service-logs", "logs", "postgres"}


def test_tokens_that_airflow_makes_are_in_the_queue_of_redis_only(production: Whole, run: FullRun, shown: Path) -> None:
    assert run.canary
    folders = [production.stack.here.folder(name) for name in ("service-logs", "logs", "homes", "redis")]
    holding = {file.relative_to(production.stack.here.root).parts[0] for file in web_tokens(folders)}
    assert holding == {"redis"}
    assert [file for file in web_tokens([shown]) if file.parent.name != "redis"] == []


def test_a_secret_in_a_log_is_noticed(run: FullRun, tmp_path: Path) -> None:
    log = tmp_path / "planted.log"
    log.write_text("".join(f"[info] {secret} was used\n" for secret in run.secrets.values()))
    assert found(run.secrets, [tmp_path]) == {Found(name, log) for name in run.secrets}
