"""Debian's Chromium without a screen, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.window import CHROMIUM


@contextmanager
def started() -> Iterator[Browser]:
    """It runs; where it is not installed, the test is skipped."""
    if not CHROMIUM.exists():
        pytest.skip("No Chromium: on Debian, apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
