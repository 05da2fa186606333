"""Who sees the control panel under Airflow's FAB auth manager, in a real browser: who looks, and who presses."""

import subprocess
import time
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.window import PAGE, Window, window
from tests.production.compose_file import PROJECT
from tests.production.delivery import Killed
from tests.production.person import person
from tests.production.whole import Whole
from tests.web.panel_routes import LOOKS, REQUESTS

#: By role; the password is the name. Vera is made by the command that docs/production.md has.
PEOPLE = {"Viewer": "vera", "User": "uma", "Op": "olaf"}

#: What docs/production.md has for who else may look, and its contrary.
PERMISSION = ("Viewer", "User", "--resource", "Plugins", "--action", "can_read")


@pytest.fixture(scope="module")
def people(production: Whole, killed: Killed) -> None:
    """Somebody of each role; meanwhile Airflow finds out that a worker was killed."""
    assert killed.new
    vera = ("--username", "vera", "--firstname", "Vera", "--lastname", "Viewer", "--email", "vera@example.com")
    _said(production.stack.command("airflow", "users", "create", *vera, "--role", "Viewer", "--password", "vera"))
    with person(production.airflow.address, "admin", production.stack.secret("AIRFLOW_ADMIN")) as admin:
        for role, name in (each for each in PEOPLE.items() if each[1] != "vera"):
            names = {"username": name, "first_name": name, "last_name": role, "email": f"{name}@example.com"}
            body = names | {"password": name, "roles": [{"name": role}]}
            answer = admin.ask("POST", "/auth/fab/v1/users", json=body)
            assert answer.ok, answer.text


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("role", PEOPLE)
def test_who_may_look_finds_the_panel_in_the_menu_and_who_may_trigger_presses(
    role: str, production: Whole, chromium: Browser
) -> None:
    with window(chromium, production.airflow.address, PEOPLE[role]) as at:
        at.page.goto(at.address)
        _link(at.page).click()
        expect(at.root.locator("[role=tab]").first).to_be_visible()
        overview = at.loaded().root.get_by_role("tabpanel", name="Overview", exact=True)
        expect(overview).to_contain_text("Sent")
        expect(at.root.get_by_test_id("action-requeue")).to_have_count(0 if role == "Viewer" else 1)
        assert at.complaints == []
    with person(production.airflow.address, PEOPLE[role], PEOPLE[role]) as somebody:
        pressed = somebody.ask("POST", "/bridge/panel/api/actions/purge/count", json={"conf": {}})
    assert pressed.status_code == (403 if role == "Viewer" else 200)


def test_the_permission_is_the_documented_one() -> None:
    assert " ".join(("airflow", "roles", "add-perms", *PERMISSION)) in (PROJECT / "docs" / "production.md").read_text()


@pytest.mark.usefixtures("people")
def test_without_the_permission_a_viewer_has_no_panel(production: Whole, chromium: Browser) -> None:
    with window(chromium, production.airflow.address, PEOPLE["Viewer"]) as at:
        _said(production.stack.command("airflow", "roles", "del-perms", *PERMISSION, service="api-server"))
        _until_the_menu(at, has_it=False)
        at.page.goto(at.address + PAGE)
        expect(at.page.get_by_text("Page Not Found")).to_be_visible()
        _said(production.stack.command("airflow", "roles", "add-perms", *PERMISSION, service="api-server"))
        _until_the_menu(at, has_it=True)


@pytest.mark.usefixtures("people")
def test_each_address_answers_by_who_asks(production: Whole) -> None:
    address = production.airflow.address
    with ExitStack() as stack:
        asking = {role.lower(): stack.enter_context(person(address, name, name)) for role, name in PEOPLE.items()}
        asking["admin"] = stack.enter_context(person(address, "admin", production.stack.secret("AIRFLOW_ADMIN")))
        asking["nobody"] = stack.enter_context(person(address))
        for request in REQUESTS:
            answered = {
                who: each.ask(request.method, f"/bridge/panel{request.address}", json=request.body).status_code
                for who, each in asking.items()
            }
            expected = {role: request.status if role in request.who else 403 for role in LOOKS}
            assert answered == expected | {"nobody": 401}, request.name
        garbage = {"Authorization": "Bearer nothing"}
        assert asking["nobody"].ask("GET", "/bridge/panel/api/overview", headers=garbage).status_code == 403


def test_nobody_without_a_login_gets_further_than_the_form(production: Whole, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(production.airflow.address + PAGE)
    expect(page.get_by_label("Password")).to_be_visible()
    assert "/auth/login" in page.url
    context.close()
    with person(production.airflow.address) as nobody:
        for path in ("/bridge/panel/api/overview", "/api/v2/connections", "/bridge/api/v1/completions"):
            assert nobody.ask("GET", path).status_code == 401, path


def _link(page: Page) -> Locator:
    return page.get_by_role("link", name="Oracle", exact=True)


def _until_the_menu(at: Window, *, has_it: bool) -> None:
    """Airflow keeps in mind for some seconds what somebody may do; then the menu is as it is to be."""
    with person(at.address, PEOPLE["Viewer"], PEOPLE["Viewer"]) as viewer:
        while (viewer.ask("GET", "/api/v2/plugins").status_code == 200) != has_it:
            time.sleep(0.5)
    at.page.goto(at.address)
    expect(at.page.get_by_test_id("nav-home-link")).to_be_visible()
    at.page.wait_for_load_state("networkidle")
    expect(_link(at.page)).to_have_count(1 if has_it else 0)


def _said(command: subprocess.CompletedProcess[str]) -> str:
    assert command.returncode == 0, command.stderr
    return command.stdout
