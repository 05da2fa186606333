"""Numbers, lengths and times as the page writes them: its modules in a real browser, without Airflow around them."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.web.serving import serving
from totara_bridge.web.panel.static import VERSION, PageFiles

_FILES = f"/static/{VERSION}"

# the host has these; what is tested here draws nothing
_HOST = "Object.assign(globalThis, {React: new Proxy({}, {get: () => () => null}), ChakraUI: {}, ReactRouterDOM: {}})"


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    app = Starlette(routes=[Mount("/static/{version}", PageFiles())])
    context = chromium.new_context(locale="en-GB", timezone_id="Europe/Berlin")
    with serving(app) as address:
        opened = context.new_page()
        opened.goto(f"{address}{_FILES}/icon.svg")
        opened.evaluate(_HOST)
        yield opened
        context.close()


def written(page: Page, module: str, name: str, *arguments: object) -> Any:
    """What a function of a module gives."""
    return page.evaluate(
        "async ([file, name, given]) => (await import(file))[name](...given)",
        [f"{_FILES}/{module}", name, list(arguments)],
    )


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("number", 0, "0"),
        ("number", 1234567, "1,234,567"),
        ("number", None, "–"),
        ("percent", 0, "0%"),
        ("percent", 0.0004, "< 0.1%"),
        ("percent", 0.29, "29%"),
        ("percent", 0.57, "57%"),
        ("percent", 0.99996, "99.9%"),
        ("percent", 1, "100%"),
        ("percent", None, "–"),
        ("length", 0, "0 s"),
        ("length", 0.4, "under 1 s"),
        ("length", 59, "59 s"),
        ("length", 61, "1 min 1 s"),
        ("length", 3600, "1 h"),
        ("length", 12000, "3 h 20 min"),
        ("length", 86399, "23 h 59 min"),
        ("length", 34560000, "400 d"),
        ("length", None, "–"),
        ("inUtc", "2026-11-22T02:16:33.123456+02:00", "2026-11-22 00:16:33 UTC"),
    ],
)
def test_a_value_is_written(page: Page, name: str, given: object, expected: str) -> None:
    assert written(page, "lib/written.js", name, given) == expected


@pytest.mark.parametrize(
    ("at", "zone", "language", "expected"),
    [
        ("2026-11-22T02:16:33Z", "Asia/Tokyo", "en-GB", "22 Nov 2026, 11:16:33"),
        ("2026-11-22T02:16:33.123456+00:00", "America/New_York", "de", "21. Nov. 2026, 21:16:33"),
        ("2026-11-22T00:00:00Z", "UTC", "en-GB", "22 Nov 2026, 00:00:00"),
        ("2026-09-05T00:00:00Z", "UTC", "en-GB", "5 Sept 2026, 00:00:00"),
        ("no time", "UTC", "en-GB", "–"),
        (None, "UTC", "en-GB", "–"),
    ],
)
def test_a_moment_is_written_in_a_zone(page: Page, at: str | None, zone: str, language: str, expected: str) -> None:
    assert written(page, "lib/written.js", "when", at, zone, language) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-22T11:59:30Z", "less than a minute ago"),
        ("2026-11-22T11:58:59Z", "1 minute ago"),
        ("2026-11-22T09:00:01Z", "2 hours ago"),
        ("2026-11-19T12:00:00Z", "3 days ago"),
        ("2026-11-22T12:00:30Z", "in less than a minute"),
        ("2026-11-22T13:05:00Z", "in 1 hour"),
    ],
)
def test_a_moment_is_written_relative_to_now(page: Page, at: str, expected: str) -> None:
    now = 1795348800000  # 2026-11-22 12:00 UTC
    assert written(page, "lib/written.js", "ago", at, now) == expected


@pytest.mark.parametrize(
    ("typed", "zone", "meant", "shown"),
    [
        ("2026-07-01T00:00", "Asia/Tokyo", "2026-06-30T15:00:00Z", "2026-07-01T00:00"),
        ("2026-01-01T00:00", "Asia/Kathmandu", "2025-12-31T18:15:00Z", "2026-01-01T00:00"),
        ("1960-01-01T12:00", "UTC", "1960-01-01T12:00:00Z", "1960-01-01T12:00"),
        ("2026-03-29T02:30", "Europe/Paris", "2026-03-29T01:30:00Z", "2026-03-29T03:30"),  # skipped there
        ("2026-10-25T02:30", "Europe/Paris", "2026-10-25T01:30:00Z", "2026-10-25T02:30"),  # twice there
        ("", "UTC", "", ""),
    ],
)
def test_a_typed_time_is_of_the_chosen_zone(page: Page, typed: str, zone: str, meant: str, shown: str) -> None:
    assert written(page, "lib/zone.js", "fromZone", typed, zone) == meant
    assert written(page, "lib/zone.js", "inZone", meant, zone) == shown
