"""What a manager does in a window: presses a button, reads what would be done, has it done, and reads what was done."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Locator, expect

from tests.browser.window import Window

#: Milliseconds for a DAG run on a busy machine.
_A_RUN = 180_000


@dataclass(frozen=True)
class Done:
    """A run that was started and has ended well."""

    said_before: str
    said_after: str
    run: str  #: where its page is


def press(at: Window, testid: str) -> Locator:
    """Press a button that asks something; the dialog that it asks with."""
    at.page.wait_for_load_state("networkidle")  # whatever the host still loads takes the dialog down
    at.root.get_by_test_id(testid).click()
    dialog = at.page.get_by_test_id("dialog")
    expect(dialog).to_be_visible()
    return dialog


def would_do(dialog: Locator) -> str:
    """What the dialog says would be done, once that was counted."""
    counted = dialog.get_by_test_id("would-do")
    expect(counted).to_have_attribute("data-loading", "false")
    return counted.inner_text()


def carry_out(at: Window, testid: str, fill: Callable[[Locator], None] = lambda _: None) -> Done:
    """Press a button, fill in its form, confirm, wait for the end of its run, and close the dialog."""
    dialog = press(at, testid)
    fill(dialog)
    before = would_do(dialog)
    dialog.get_by_test_id("confirm").click()
    return ended(at, dialog, before)


def ended(at: Window, dialog: Locator, before: str = "") -> Done:
    """The end of a run that was confirmed, which must be a good one; the dialog is closed."""
    expect(dialog.get_by_test_id("outcome")).to_be_visible(timeout=_A_RUN)
    expect(dialog.get_by_test_id("going")).to_have_attribute("data-state", "success")
    after = dialog.get_by_test_id("outcome").inner_text()
    run = dialog.get_by_test_id("run-link").get_attribute("href") or ""
    dialog.get_by_role("button", name="Close", exact=True).last.click()
    expect(dialog).to_have_count(0)
    at.loaded()
    return Done(before, after, run)
