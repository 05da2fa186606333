"""The Queue tab in a real browser: finding, reading, choosing, cancelling and requeueing, also by keyboard alone."""

import csv
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.acting import ended, press, would_do
from tests.browser.window import Window, window
from tests.e2e.running import RunningAirflow

#: Failed items of a destination that could be sent, the newest first.
_FAILED = """
    SELECT q.id FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
    WHERE q.destination = 'archive' AND q.state = 'failed' AND i.ended_at IS NULL ORDER BY q.id DESC
"""
_NOW = "SELECT state, cancelled_by, lane FROM bridge.export_queue WHERE id = ANY(%(ids)s) ORDER BY id"


@pytest.fixture
def at(chromium: Browser, airflow_up: RunningAirflow, trouble: None) -> Iterator[Window]:
    """A manager's window; it may complain of nothing."""
    with window(chromium, airflow_up.address, "admin", dark=True) as opened:
        yield opened
        assert opened.complaints == []


def test_what_is_chosen_is_cancelled(at: Window, airflow_up: RunningAirflow) -> None:
    first, second = (row["id"] for row in airflow_up.rows(_FAILED + " LIMIT 2"))
    rows = at.open(tab="queue", state="failed", destination="archive").root.locator("[data-row]")
    for number in (first, second):
        rows.filter(has=at.page.get_by_label(f"Select item {number}")).get_by_role("checkbox").click()
    expect(at.root.get_by_test_id("chosen")).to_contain_text("2 items selected")
    dialog = press(at, "cancel-chosen")
    assert would_do(dialog) == "Say why, and they are counted."
    expect(dialog.get_by_test_id("confirm")).to_be_disabled()
    assert at.serious() == []
    dialog.locator("[name=reason]").fill("asked for by the department")
    expect(dialog.get_by_test_id("would-do")).to_have_text("2 items would be cancelled: 2 failed for archive.")
    dialog.get_by_test_id("confirm").click()
    assert "2 items were cancelled." in ended(at, dialog).said_after
    assert {tuple(row.values())[:2] for row in airflow_up.rows(_NOW, ids=[first, second])} == {("cancelled", "admin")}

    at.open(tab="queue", state="cancelled", item=str(first))
    story = at.page.get_by_test_id("story")
    expect(story.get_by_test_id("entries")).to_contain_text("asked for by the department")
    assert at.serious() == []
    at.page.reload()
    expect(story).to_contain_text(f"Item {first}")  # it is in the address
    at.page.keyboard.press("Escape")
    expect(story).to_have_count(0)


def test_all_that_match_are_requeued(at: Window, airflow_up: RunningAirflow) -> None:
    matching = """
        SELECT q.id FROM bridge.export_queue q
        JOIN bridge.completion_instance i ON i.id = q.instance_id
        JOIN bridge.course k USING (site, course_id)
        WHERE q.destination = 'oracle' AND q.state = 'failed' AND k.short_name LIKE 'SAFETY-%%' AND i.ended_at IS NULL
    """
    ids = [row["id"] for row in airflow_up.rows(matching)]
    assert ids
    at.open(tab="queue", state="failed", destination="oracle").root.get_by_label("Course", exact=True).fill("SAFETY-*")
    expect(at.root.get_by_test_id("how-many")).to_have_text(f"{len(ids):,} items")
    assert "course=SAFETY-" in at.page.url
    at.root.get_by_role("button", name="Select all that match").click()
    dialog = press(at, "requeue-chosen")
    assert would_do(dialog).startswith(f"{len(ids):,} items would be requeued")
    dialog.get_by_test_id("confirm").click()
    assert f"{len(ids):,} items were requeued." in ended(at, dialog).said_after
    assert airflow_up.rows(matching) == []


def test_what_matches_is_a_file_too(at: Window, airflow_up: RunningAirflow) -> None:
    number = airflow_up.count(
        "SELECT count(*) FROM bridge.export_queue WHERE state = 'dead' AND destination = 'oracle'"
    )
    at.open(tab="queue", state="dead", destination="oracle")
    with at.page.expect_download() as downloading:
        at.root.get_by_role("link", name="CSV of all of them").click()
    with downloading.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == number
    assert {row["state"] for row in rows} == {"dead"}


def test_a_keyboard_is_enough_to_requeue_an_item(at: Window, airflow_up: RunningAirflow) -> None:
    [row] = airflow_up.rows(_FAILED + " LIMIT 1")
    at.open(tab="queue", state="failed", destination="archive")
    keys = at.page.keyboard
    at.root.get_by_role("tab", name="Queue").focus()  # where a link to this address leaves somebody
    _go_on_to(at, at.root.get_by_label(f"Select item {row['id']}"), "Tab")
    keys.press("Space")
    button = at.root.get_by_test_id("requeue-chosen")
    _go_on_to(at, button, "Shift+Tab")
    keys.press("Enter")
    dialog = at.page.get_by_test_id("dialog")
    expect(dialog.locator("[name=reason]")).to_be_focused()
    keys.type("by keyboard")
    expect(dialog.get_by_test_id("confirm")).to_be_enabled()
    _go_on_to(at, dialog.get_by_test_id("confirm"), "Tab")
    keys.press("Enter")
    expect(dialog.get_by_test_id("outcome")).to_contain_text("1 item was requeued.", timeout=180_000)
    keys.press("Escape")
    expect(dialog).to_have_count(0)
    chosen = at.root.get_by_test_id("chosen")
    expect(chosen).to_contain_text("Select items to requeue or cancel them.")  # nothing stays chosen, out of sight
    expect(chosen).to_be_focused()
    assert airflow_up.rows(_NOW, ids=[row["id"]])[0]["state"] == "queued"


def _go_on_to(at: Window, wanted: Locator, key: str) -> None:
    """Press a key until something has the focus, as somebody does who sees where it is."""
    for _ in range(80):
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
        at.page.keyboard.press(key)
    raise AssertionError(f"{key} does not lead to {wanted}")
