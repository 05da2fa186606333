"""A window of a real browser on Airflow, of somebody who has logged in; what its page complains of is kept."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import requests
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Locator, Page, expect

#: Milliseconds for anything to come about on a busy machine.
_PATIENCE = 60_000
expect.set_options(timeout=_PATIENCE)

#: Debian's; Playwright's own is not needed.
CHROMIUM = Path("/usr/bin/chromium")

#: The panel's page in Airflow.
PAGE = "/plugin/oracle-integration"

#: Of each browser, those that nobody uses now.
_PAGES: WeakKeyDictionary[Browser, dict[tuple[object, ...], Page]] = WeakKeyDictionary()

_AXE = Path(__file__).with_name("vendor") / "axe.min.js"

# fading in, text has less contrast than it is meant to have
_AT_REST = """() => Promise.all(document.getAnimations()
    .filter((each) => each.effect?.getComputedTiming().endTime !== Infinity)
    .map((each) => each.finished.catch(() => null)))"""

# a dialog stands elsewhere in the host's page, and before what nobody can use meanwhile
_AXE_FINDS = """async () => (await axe.run({include: ["[role=dialog], [role=alertdialog]", "#panel-root"]
    .filter((each) => document.querySelector(each)).slice(0, 1).map((each) => [each])})).violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.help} at ${each.nodes.map((node) => node.html).join(" | ").slice(0, 400)}`)"""

_SIDEWAYS = """() => Math.max(...["html", "#panel-root"].map((each) => document.querySelector(each))
    .map((each) => each.scrollWidth - each.clientWidth))"""


class Window:
    """One page of one person."""

    def __init__(self, page: Page, address: str) -> None:
        """Nothing is opened yet.

        :param address: Airflow's.
        """
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        page.on("pageerror", self._failed)
        page.on("console", self._heard)

    @property
    def root(self) -> Locator:
        """The panel within Airflow's page."""
        return self.page.locator("#panel-root")

    def open(self, **place: str | Sequence[str]) -> Self:
        """Go to a place of the panel by its address, and wait until it is there."""
        self.page.goto(f"{self.address}{PAGE}?{urlencode(place, doseq=True)}")
        expect(self.root.locator("[role=tab]").first).to_be_visible()  # beside an open dialog, too
        return self.loaded()

    def loaded(self) -> Self:
        """Wait until nothing is said to be on its way."""
        expect(self.page.get_by_test_id("loading")).to_have_count(0)
        return self

    def tab(self, name: str) -> Locator:
        """Press a tab; what it shows."""
        self.root.get_by_role("tab", name=name, exact=True).click()
        shown = self.root.get_by_role("tabpanel", name=name, exact=True)
        expect(shown).to_be_visible()
        self.loaded()
        return shown

    def tabs(self) -> list[str]:
        """The names of all tabs."""
        return self.root.get_by_role("tab").all_inner_texts()

    def rest(self) -> None:
        """Wait until nothing moves."""
        self.page.evaluate(_AT_REST)

    def serious(self) -> list[str]:
        """What axe-core finds that keeps somebody from using the panel as it is shown now."""
        self.rest()
        if not self.page.evaluate("() => 'axe' in globalThis"):
            self.page.evaluate(_AXE.read_text() + ";0")
        found: list[str] = self.page.evaluate(_AXE_FINDS)
        return found

    def sideways(self) -> int:
        """By how many pixels the page is wider than the window, so that somebody would have to scroll."""
        room: int = self.page.evaluate(_SIDEWAYS)
        return room

    def leave(self) -> None:
        """Leave nothing of it to whoever gets the page next."""
        self.page.remove_listener("pageerror", self._failed)
        self.page.remove_listener("console", self._heard)
        self.page.unroute_all()
        self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
        self.page.goto("about:blank")

    def _failed(self, error: Error) -> None:
        self.complaints.append(f"{error.name}: {error.message}")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url')})")


@contextmanager
def window(
    browser: Browser,
    address: str,
    person: str,
    *,
    dark: bool = False,
    width: int = 1280,
    height: int = 900,
    zone: str | None = None,
    password: str | None = None,
) -> Iterator[Window]:
    """A window of somebody who has logged in; its page is kept for whoever wants one like it.

    :param dark: the colour mode that they have chosen in Airflow.
    :param width: of the window, in pixels; so is its height.
    :param zone: the time zone that they have chosen in Airflow; none: their browser's.
    :param password: none: it is their name.
    """
    pages, kind = _PAGES.setdefault(browser, {}), (dark, width, height, zone)
    # more than half of a test's processor time went into what a new page does before it shows anything
    page = pages.pop(kind, None) or _new_page(browser, dark=dark, width=width, height=height, zone=zone)
    log_in(page.context, address, person, password or person)
    opened = Window(page, address)
    try:
        yield opened
    except BaseException:
        page.context.close()
        raise
    opened.leave()
    pages[kind] = page


def _new_page(browser: Browser, *, dark: bool, width: int, height: int, zone: str | None) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale="en-GB",
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
    )
    context.set_default_timeout(_PATIENCE)
    chosen = {"theme": "dark" if dark else "light"} | ({"timezone": json.dumps(zone)} if zone else {})
    context.add_init_script(
        "".join(f"localStorage.setItem({json.dumps(name)}, {json.dumps(value)});" for name, value in chosen.items())
    )
    return context.new_page()


def log_in(context: BrowserContext, address: str, person: str, password: str) -> None:
    """Have the browser keep what Airflow's login form would have it keep."""
    login: dict[str, Any] = {"username": person, "password": password}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{address}/auth/token", json=login, timeout=60)
    context.add_cookies([{"name": "_token", "value": answer.json()["access_token"], "url": address}])
