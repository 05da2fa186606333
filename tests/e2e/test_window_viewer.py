"""Who may only look, in a real browser: every tab and no button; narrow windows, time zones, the home page, runs."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.window import Window, window
from tests.e2e.bring_up import PEOPLE
from tests.e2e.running import RunningAirflow

TABS = ["Overview", "Queue", "Problems", "Logs", "Settings"]

#: What a button that changes something would be called, or a switch.
_CHANGES = re.compile(
    r"requeue|cancel\b|purge|backfill\b|issue|generate|rotate|revoke|save|undo|test\b|another value|back to|select",
    re.IGNORECASE,
)


@pytest.mark.parametrize("dark", [False, True])
def test_who_may_only_look_sees_every_tab_and_no_button(
    dark: bool, chromium: Browser, airflow_up: RunningAirflow
) -> None:
    with window(chromium, airflow_up.address, PEOPLE["viewer"], dark=dark) as at:
        assert at.open().tabs() == TABS
        for tab in TABS:
            at.tab(tab)
            _only_looks(at)
            for section in at.root.locator("[role=tabpanel] [role=tab]").all_inner_texts():
                at.root.get_by_role("tab", name=section, exact=True).click()
                at.loaded()
                _only_looks(at)
        assert at.complaints == []


def _only_looks(at: Window) -> None:
    assert at.root.get_by_role("button", name=_CHANGES).all_inner_texts() == [], at.page.url
    assert at.root.locator("[role=switch], input[type=checkbox]").count() == 0, at.page.url
    assert at.serious() == [], at.page.url


def test_an_address_of_managers_shows_what_may_be_seen(chromium: Browser, airflow_up: RunningAirflow) -> None:
    with window(chromium, airflow_up.address, PEOPLE["viewer"]) as at:
        at.open(tab="guide")
        expect(at.root.get_by_role("tab", name="Overview", exact=True)).to_have_attribute("aria-selected", "true")
        assert at.complaints == []


@pytest.mark.parametrize("width", [400, 1024])
def test_nothing_is_cut_off_in_a_narrow_window(width: int, chromium: Browser, airflow_up: RunningAirflow) -> None:
    with window(chromium, airflow_up.address, PEOPLE["user"], width=width) as at:
        for tab in at.open().tabs():
            at.tab(tab)
            assert at.sideways() == 0, tab
            assert at.serious() == [], tab
        assert at.complaints == []


def test_times_are_in_the_zone_that_was_chosen(chromium: Browser, airflow_up: RunningAirflow) -> None:
    shown = {}
    for zone in ("Asia/Tokyo", "America/New_York"):
        with window(chromium, airflow_up.address, PEOPLE["viewer"], zone=zone) as at:
            first = at.open(tab="logs").root.locator("tbody time").first
            moment = datetime.fromisoformat(first.get_attribute("datetime") or "")
            shown[zone] = first.inner_text()
            there = f"{moment.astimezone(ZoneInfo(zone)):%-d %b %Y, %H:%M:%S}"
            assert shown[zone] == there.replace(" Sep ", " Sept ")  # as the British write it
            assert f"{moment.astimezone(ZoneInfo('UTC')):%H:%M:%S}" in (first.get_attribute("title") or "")
    assert len(set(shown.values())) == 2


def test_the_home_page_leads_to_what_it_counts(chromium: Browser, airflow_up: RunningAirflow) -> None:
    dead = airflow_up.count("SELECT count(*) FROM bridge.export_queue WHERE state = 'dead'")
    with window(chromium, airflow_up.address, PEOPLE["viewer"]) as at:
        at.page.goto(at.address)
        box = at.page.get_by_test_id("oracle-delivery").get_by_test_id("oracle-dead")
        expect(box).to_contain_text(f"{dead:,}")
        box.click()
        expect(at.root.get_by_test_id("how-many")).to_have_text(f"{dead:,} items")
        assert at.complaints == []


def test_a_run_leads_to_what_it_moved(chromium: Browser, airflow_up: RunningAirflow) -> None:
    run = airflow_up.run("requeue_completions", states=["failed"], destinations=["oracle"])
    with window(chromium, airflow_up.address, PEOPLE["viewer"]) as at:
        at.page.goto(f"{at.address}/dags/requeue_completions/runs/{run.id}")
        at.page.get_by_role("link", name="Oracle Integration").or_(
            at.page.get_by_role("tab", name="Oracle Integration")
        ).first.click()
        told = at.page.get_by_test_id("oracle-run")
        expect(told).to_contain_text("It has items sent again, or cancels them.")
        expect(told).to_contain_text("started by admin")
        assert at.complaints == []
