"""Takes the pictures of the control panel in docs/panel: a real browser on a real Airflow over 100 000 items in use.

``make screenshots``; docs/panel.md says of each what was looked at.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, expect, sync_playwright

from tests.browser.acting import press, would_do
from tests.browser.in_use import put_in_use
from tests.browser.window import CHROMIUM, Window, window
from tests.e2e.bring_up import running
from tests.e2e.running import RunningAirflow
from tests.short_lived import new_folder

#: The site whose data they show, which no test connects to.
_TOTARA = {
    "connection_id": "totara_big",
    "conn_type": "totara",
    "extra": '{"database_url": "postgresql://reader@replica.example.com/totara"}',
}

#: Where they are.
PICTURES = Path(__file__).parents[2] / "docs" / "panel"


@dataclass(frozen=True)
class Picture:
    """One of them."""

    name: str
    show: Callable[[Window, RunningAirflow], Locator | None]  #: brings it about; what is to be in sight
    dark: bool = False
    width: int = 1280
    height: int = 900
    person: str = "admin"
    alone: bool = False  #: of what is to be in sight, and nothing else


def _overview(at: Window, _: RunningAirflow) -> None:
    at.open()


def _actions(at: Window, _: RunningAirflow) -> Locator:
    return at.open(period="7d").root.get_by_test_id("actions")


def _asking(at: Window, _: RunningAirflow) -> None:
    dialog = press(at.open(), "action-requeue")
    would_do(dialog)


def _done(at: Window, _: RunningAirflow) -> None:
    dialog = press(at.open(), "action-requeue")
    dialog.get_by_text("Dead", exact=True).click()
    dialog.get_by_label("Destination").select_option("archive")
    would_do(dialog)
    dialog.get_by_test_id("confirm").click()
    expect(dialog.get_by_test_id("outcome")).to_be_visible(timeout=180_000)


def _queue(at: Window, _: RunningAirflow) -> None:
    rows = at.open(tab="queue", state="failed", destination="oracle").root.locator("[data-row]")
    for row in rows.all()[:3]:
        row.get_by_role("checkbox").click()


def _story(at: Window, up: RunningAirflow) -> Locator:
    dead = "SELECT max(id) FROM bridge.export_queue WHERE state = 'dead' AND destination = 'oracle'"
    at.open(tab="queue", state="dead", item=str(up.count(dead)))
    return at.page.get_by_test_id("story")


def _problems(at: Window, _: RunningAirflow) -> None:
    at.open(tab="problems")


def _proof(at: Window, _: RunningAirflow) -> None:
    at.open(tab="problems", view="proof", by="month")


def _logs(at: Window, _: RunningAirflow) -> None:
    at.open(tab="logs")


def _guide(at: Window, _: RunningAirflow) -> None:
    at.open(tab="guide")
    at.root.get_by_role("link", name="GET /completions", exact=True).click()
    at.loaded()


def _settings(at: Window, _: RunningAirflow) -> None:
    at.open(tab="settings", section="push")


def _looking(at: Window, _: RunningAirflow) -> None:
    at.open(tab="settings", section="pull")


def _home(at: Window, _: RunningAirflow) -> None:
    at.page.goto(at.address)
    expect(at.page.get_by_test_id("oracle-dead")).to_be_visible()


def _down(at: Window, up: RunningAirflow) -> None:
    at.open(tab="queue")
    with up.staging_down():
        at.root.get_by_role("tab", name="Problems").click()
        expect(at.root.get_by_test_id("failed").first).to_be_visible()


THEM = (
    Picture("overview", _overview),
    Picture("overview-dark", _overview, dark=True),
    Picture("actions", _actions),
    Picture("asking", _asking),
    Picture("done", _done, dark=True),
    Picture("queue", _queue, dark=True, height=720),
    Picture("item", _story, alone=True),
    Picture("problems", _problems),
    Picture("proof", _proof),
    Picture("logs", _logs, dark=True),
    Picture("guide", _guide),
    Picture("settings", _settings, dark=True),
    Picture("looking", _looking, person="vera"),
    Picture("home", _home),
    Picture("narrow", _overview, width=400),
    Picture("down", _down, height=400),
)


def take(browser: Browser, up: RunningAirflow, folder: Path) -> None:
    """Take all of them."""
    folder.mkdir(exist_ok=True)
    for picture in THEM:
        width, height = picture.width, picture.height
        with window(browser, up.address, picture.person, dark=picture.dark, width=width, height=height) as at:
            seen = picture.show(at, up)
            if seen is not None:
                seen.scroll_into_view_if_needed()
            at.rest()
            what = seen if seen is not None and picture.alone else at.page
            what.screenshot(path=folder / f"{picture.name}.png")


def main() -> None:
    """Bring up Airflow, put its data in use, take the pictures."""
    root = new_folder("tbs")
    try:
        with running(root, {}) as up, sync_playwright() as playwright:
            put_in_use(up.staging)
            up.api("POST", "connections", json=_TOTARA)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            take(browser, up, PICTURES)
            browser.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
