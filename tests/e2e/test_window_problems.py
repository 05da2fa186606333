"""The Problems tab in a real browser: a kind of error is requeued as a whole, and a proof of delivery is printed."""

import csv
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.acting import ended, would_do
from tests.browser.window import Window, window
from tests.e2e.running import RunningAirflow

#: Items of one kind of error, as many as each destination has and can send.
_REFUSED = """
    SELECT count(*) FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
    WHERE q.destination = 'oracle' AND q.error_code = 'ORA-20002' AND q.state IN ('failed', 'dead')
"""

#: Of what both destinations want, and `archive` has not.
_NEVER_TOLD = """
    SELECT count(*) FROM bridge.completion_instance i
    WHERE NOT i.after_deletion AND i.ended_at IS NULL
      AND i.id > coalesce((SELECT b.instance_id FROM bridge.baseline b
                           WHERE b.destination = 'archive' AND b.site = i.site), 0)
      AND NOT EXISTS (SELECT 1 FROM bridge.export_queue q WHERE q.instance_id = i.id AND q.destination = 'archive')
      AND NOT EXISTS (SELECT 1 FROM bridge.delivery d WHERE d.instance_id = i.id AND d.destination = 'archive')
"""


@pytest.fixture
def at(chromium: Browser, airflow_up: RunningAirflow, trouble: None) -> Iterator[Window]:
    """A manager's window, who is no administrator; it may complain of nothing."""
    with window(chromium, airflow_up.address, "uma") as opened:
        yield opened
        assert opened.complaints == []


def test_a_kind_of_error_is_requeued_as_a_whole(at: Window, airflow_up: RunningAirflow) -> None:
    number = airflow_up.count(_REFUSED)
    ended_meanwhile = airflow_up.count(_REFUSED + " AND i.ended_at IS NOT NULL")
    assert number > ended_meanwhile
    at.open(tab="problems")
    group = at.root.get_by_role("article", name="rejected at oracle").filter(has_text="ORA-20002")
    expect(group).to_contain_text("What to do")
    group.get_by_test_id("requeue-group").click()
    dialog = at.page.get_by_test_id("dialog")
    before = would_do(dialog)
    assert before.startswith(f"{number - ended_meanwhile:,} items would be requeued")
    assert at.serious() == []
    dialog.get_by_test_id("confirm").click()
    assert f"{number - ended_meanwhile:,} items were requeued" in ended(at, dialog).said_after
    assert airflow_up.count(_REFUSED) == ended_meanwhile


def test_what_was_delivered_is_proven_on_paper(at: Window, airflow_up: RunningAirflow) -> None:
    asked = {"destination": "oracle", "against": "staging"}  # whatever else has compared the site
    verdict = at.open(tab="problems", view="proof", **asked).root.get_by_test_id("verdict")
    expect(verdict).to_have_attribute("data-closes", "true")
    assert at.serious() == []
    at.root.get_by_label("Destination").select_option("archive")  # which was never told of a third of it
    expect(verdict).to_contain_text(f"{airflow_up.count(_NEVER_TOLD):,} completions are not accounted for.")
    with at.page.expect_download() as downloading:
        at.root.get_by_role("link", name="CSV").click()
    with downloading.value.path().open(newline="") as file:
        said = {row[0]: row[1] for row in csv.reader(file) if len(row) == 2}
    assert said["Destination"] == "archive"
    at.root.get_by_role("link", name="Page to print").click()
    paper = at.page.get_by_test_id("paper")
    expect(paper).to_contain_text("archive")
    expect(paper).to_contain_text(said["Verdict"])
    expect(paper).to_contain_text("SHA-256 of the lines")
