"""A manager in a real browser: every tab, and every action to its end, in light and in dark."""

import re
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Locator, expect

from tests.browser.acting import carry_out, press
from tests.browser.window import Window, window
from tests.e2e.running import RunningAirflow

TABS = ["Overview", "Queue", "Problems", "Logs", "API guide", "Settings"]
CALLER = "payroll-by-hand"

#: Of those that ended meanwhile nothing is sent any more.
_DEAD = """
    SELECT count(*) FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
    WHERE q.destination = 'archive' AND q.state = 'dead' AND i.ended_at IS NULL
"""


@pytest.fixture
def light(chromium: Browser, airflow_up: RunningAirflow, trouble: None) -> Iterator[Window]:
    """A manager's window; it may complain of nothing."""
    with window(chromium, airflow_up.address, "admin") as at:
        yield at
        assert at.complaints == []


@pytest.fixture
def dark(chromium: Browser, airflow_up: RunningAirflow, trouble: None) -> Iterator[Window]:
    """The same in dark."""
    with window(chromium, airflow_up.address, "admin", dark=True) as at:
        yield at
        assert at.complaints == []


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_tab_can_be_read_by_everybody(mode: str, request: pytest.FixtureRequest) -> None:
    at: Window = request.getfixturevalue(mode).open()
    assert at.tabs() == TABS
    for tab in TABS:
        at.tab(tab)
        assert at.serious() == [], tab
        assert at.page.locator("html").get_attribute("class") == mode


def test_dead_items_are_requeued(light: Window, airflow_up: RunningAirflow) -> None:
    dead, begun = airflow_up.count(_DEAD), airflow_up.now()
    assert dead > 0

    def only_dead_of_archive(dialog: Locator) -> None:
        dialog.get_by_text("Failed", exact=True).click()
        dialog.get_by_label("Destination").select_option("archive")

    done = carry_out(light.open(), "action-requeue", only_dead_of_archive)
    assert done.said_before.startswith(f"{dead:,} items would be requeued: {dead:,} dead for archive.")
    assert f"{dead:,} items were requeued" in done.said_after
    assert airflow_up.count(_DEAD) == 0
    assert [row["actor"] for row in airflow_up.audited("requeue", begun)] == ["admin"]
    light.page.goto(light.address + done.run)
    expect(light.page.get_by_text("requeue_completions").first).to_be_visible()


@pytest.mark.parametrize(
    ("field", "rows", "at"),
    [("sent_days", "export_queue WHERE state = 'sent'", "sent_at"), ("log_days", "export_log WHERE true", "at")],
)
def test_what_is_old_is_purged(field: str, rows: str, at: str, light: Window, airflow_up: RunningAirflow) -> None:
    nth = f"SELECT extract(day FROM now() - {at})::int AS days FROM bridge.{rows} ORDER BY {at} LIMIT 1 OFFSET 20"
    days = airflow_up.count(nth)  # so that there is something to purge
    age = "(now() - %(days)s * interval '1 day')"
    table, _, which = rows.partition(" WHERE ")
    airflow_up.change(  # or one came of age between two looks
        f"UPDATE bridge.{table} SET {at} = {at} + interval '1 hour' WHERE {which} AND {at} BETWEEN {age} AND {age} "
        "+ interval '1 hour'",
        days=days,
    )
    old = f"SELECT count(*) FROM bridge.{rows} AND {at} < {age}"
    number = airflow_up.count(old, days=days)
    assert number > 0
    done = carry_out(
        light.open(), f"action-purge-{field}", lambda form: form.locator(f"[name={field}]").fill(str(days))
    )
    assert f"{number:,} " in done.said_before
    assert f"{number:,} " in done.said_after
    assert airflow_up.count(old, days=days) == 0


def test_past_completions_are_queued(dark: Window, airflow_up: RunningAirflow) -> None:
    items = "SELECT count(*) FROM bridge.export_queue WHERE destination = 'archive'"
    before = airflow_up.count(items)

    def fifty_days_ago(dialog: Locator) -> None:
        day = str(airflow_up.rows("SELECT (now() AT TIME ZONE 'UTC')::date - 50 AS day")[0]["day"])
        dialog.locator("[name=from_date]").fill(day)
        dialog.locator("[name=to_date]").fill(day)
        dialog.get_by_label("Destination").select_option("archive")

    done = carry_out(dark.open(), "action-backfill", fifty_days_ago)
    queued = airflow_up.count(items) - before
    assert queued > 0
    assert f"{queued:,} completions were queued" in done.said_after


def test_a_token_is_shown_once_and_lets_its_caller_in(dark: Window, airflow_up: RunningAirflow) -> None:
    dialog = press(dark.open(), "quick-token")
    dialog.get_by_label("Caller").fill("no such caller!")
    dialog.get_by_test_id("confirm").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("Caller").fill(CALLER)
    dialog.get_by_test_id("confirm").click()
    shown = dark.page.get_by_test_id("new-token").inner_text()
    token = re.search(r"tbk_\w{36}", shown)
    assert token
    assert dark.serious() == []
    dark.page.get_by_role("button", name="I have stored it").click()
    assert token[0] not in dark.page.content()
    assert _pulls(airflow_up, token[0]) == 200
    dark.complaints.clear()  # of the refusal above

    dark.open(tab="settings", section="pull").page.wait_for_load_state("networkidle")
    row = dark.root.get_by_test_id("tokens").get_by_role("row").filter(has_text=CALLER)
    expect(row).to_contain_text("admin")
    row.get_by_role("button", name="Revoke").click()
    with dark.page.expect_response(re.compile(r"/tokens/\d+/revoke$")):  # where everything loads anew, no row is there
        dark.page.get_by_test_id("confirm").click()
    expect(row).to_have_count(0)
    assert _pulls(airflow_up, token[0]) == 401


def test_pull_is_switched_off_and_on(light: Window, airflow_up: RunningAirflow) -> None:
    switch = light.open().root.get_by_test_id("pull-switch")
    for words, value in (("off", False), ("on", True)):
        switch.click()
        expect(light.root.get_by_test_id("status-pull")).to_have_text(f"Pull API switched {words}")
        [row] = airflow_up.rows("SELECT value, changed_by FROM bridge.setting WHERE scope = 'bridge' AND name = 'pull'")
        assert row == {"value": value, "changed_by": "admin"}
    airflow_up.change("DELETE FROM bridge.setting WHERE name = 'pull'")


def test_a_setting_is_changed_refused_and_set_back(light: Window, airflow_up: RunningAirflow) -> None:
    airflow_up.change("DELETE FROM bridge.setting WHERE name = 'batch_size'")
    begun = airflow_up.now()
    value = light.open(tab="settings", section="push").root.get_by_test_id("value-bridge-batch_size")
    value.get_by_role("spinbutton").fill("0")
    value.get_by_role("button", name="Save").click()
    expect(value).to_contain_text("batch_size takes")
    light.complaints.clear()  # of the refusal
    value.get_by_role("spinbutton").fill("250")
    value.get_by_role("button", name="Save").click()
    expect(value).to_contain_text("Set by admin")
    assert airflow_up.count("SELECT value::int FROM bridge.setting WHERE name = 'batch_size'") == 250
    light.page.reload()
    value.get_by_role("button", name="Back to the default").click()
    expect(value).to_contain_text("default")
    assert airflow_up.rows("SELECT 1 FROM bridge.setting WHERE name = 'batch_size'") == []
    assert [row["actor"] for row in airflow_up.audited("setting", begun)] == ["admin", "admin"]


def _pulls(up: RunningAirflow, token: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(
            f"{up.address}/bridge/api/v1/completions?limit=1", headers={"X-Api-Key": token}, timeout=60
        ).status_code
