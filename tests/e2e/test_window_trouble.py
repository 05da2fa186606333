"""The control panel in a real browser while something is broken: a sentence, a way on, and all is well again after."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.acting import press, would_do
from tests.browser.window import PAGE, Window, window
from tests.e2e.running import RunningAirflow


@pytest.fixture
def at(chromium: Browser, airflow_up: RunningAirflow, trouble: None) -> Iterator[Window]:
    """A manager's window."""
    with window(chromium, airflow_up.address, "admin") as opened:
        yield opened


def test_a_database_that_is_down_is_a_sentence_and_a_way_on(at: Window, airflow_up: RunningAirflow) -> None:
    at.open(tab="queue")
    failed = at.root.get_by_test_id("failed").first
    with airflow_up.staging_down():
        at.root.get_by_role("tab", name="Logs").click()
        expect(failed).to_contain_text("The bridge's database does not answer now: nothing was lost")
        assert at.serious() == []
        at.page.goto(f"{at.address}{PAGE}?tab=settings")
        expect(failed).to_contain_text("The bridge's database does not answer now: nothing was lost")
    failed.get_by_role("button", name="Try again").click()
    expect(at.root.get_by_role("tab", name="Settings", exact=True)).to_have_attribute("aria-selected", "true")
    expect(at.root.get_by_test_id("value-bridge-enabled")).to_be_visible()
    expect(failed).to_have_count(0)
    assert not [each for each in at.complaints if "503" not in each]


def test_whose_session_has_ended_logs_in_and_is_back_where_they_were(at: Window) -> None:
    at.open(tab="queue", state="dead", learner="learner00*")
    before = at.page.url
    at.page.context.clear_cookies()
    at.root.get_by_role("tab", name="Logs").click()
    at.page.locator("input[name=username]").fill("admin")
    at.page.locator("input[name=password]").fill("admin")
    at.page.locator("button[type=submit]").click()
    expect(at.root.get_by_role("tab", name="Logs")).to_have_attribute("aria-selected", "true")
    at.page.go_back()
    at.page.goto(before)
    expect(at.root.get_by_label("Learner", exact=True)).to_have_value("learner00*")
    assert not [each for each in at.complaints if "401" not in each]


def test_a_paused_dag_is_said_before_its_button_is_pressed(at: Window, airflow_up: RunningAirflow) -> None:
    airflow_up.pause("purge_completions", True)
    try:
        dialog = press(at.open(), "action-purge-log_days")
        expect(dialog.get_by_test_id("paused")).to_contain_text("purge_completions is paused")
        assert at.serious() == []
        dialog.get_by_role("button", name="Cancel").click()
        expect(at.root.get_by_test_id("action-purge-log_days")).to_be_focused()
    finally:
        airflow_up.pause("purge_completions", False)
    assert at.complaints == []


def test_a_run_that_airflow_does_not_start_is_told_and_can_be_tried_again(
    at: Window, airflow_up: RunningAirflow
) -> None:
    runs = "**/api/v2/dags/requeue_completions/dagRuns"
    at.open()
    at.page.route(runs, lambda route: route.fulfill(status=500, json={"detail": "Internal Server Error"}))
    dialog = press(at, "action-requeue")
    would_do(dialog)
    dialog.get_by_test_id("confirm").click()
    expect(dialog.get_by_test_id("not-started")).to_contain_text("The run was not started")
    assert at.serious() == []
    expect(dialog.get_by_test_id("confirm")).to_be_enabled()
    at.page.unroute(runs)
    at.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert not [each for each in at.complaints if "500" not in each]


def test_a_proxy_that_answers_in_its_place_is_told(at: Window) -> None:
    at.page.route("**/bridge/panel/api/overview*", lambda route: route.fulfill(status=200, body="<html>Proxy</html>"))
    at.page.goto(f"{at.address}{PAGE}")
    expect(at.root.get_by_test_id("failed")).to_contain_text("something between this page and Airflow answers")
    at.page.unroute_all()
    at.root.get_by_role("button", name="Try again").click()
    expect(at.root.get_by_test_id("failed")).to_have_count(0)
    assert at.complaints == []


def test_what_is_switched_off_is_said_and_only_settings_work(at: Window, airflow_up: RunningAirflow) -> None:
    with _switched_off(airflow_up):
        at.open()
        expect(at.root.get_by_test_id("switched-off")).to_be_visible()
        button = at.root.get_by_test_id("action-requeue")
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description("The integration is switched off.")
        assert at.serious() == []
        value = at.tab("Settings").get_by_test_id("value-bridge-enabled")
        value.get_by_text("off", exact=True).click()
        expect(at.root.get_by_test_id("switched-off")).to_have_count(0)
    assert at.complaints == []


@contextmanager
def _switched_off(up: RunningAirflow) -> Iterator[None]:
    up.set("enabled", False)
    try:
        yield
    finally:
        up.change("DELETE FROM bridge.setting WHERE name = 'enabled'")
