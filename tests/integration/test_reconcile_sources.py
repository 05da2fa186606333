"""Reconciling a site that is read by web services or by files: all is asked anew, and what is news is no difference."""

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.bridge import SITE, Bridge
from tests.crawled_site import CrawledSite, crawled
from tests.exporting import HEADER, Exports
from tests.reconciled import all_else, differences, numbers, reconcile
from totara_bridge.completion import Crawled
from totara_bridge.errors import Transient
from totara_bridge.reconcile import Reconciled, afresh
from totara_bridge.totara.report_file import ReportFileSource
from totara_bridge.totara.web_services import WebServicesSource

NONE = (0, 0, 0, 0)


def asked_anew(site: CrawledSite, *, repair: bool = False) -> Reconciled:
    """Everybody is asked about once more."""
    book = afresh(site.bridge.staging, SITE).crawl_book
    source = WebServicesSource(site.connection, book, clock=lambda: site.now)
    return reconcile(site.bridge, source=source, repair=repair)


def change(bridge: Bridge, statement: str, **values: object) -> int:
    with bridge.staging.begin() as transaction:
        return transaction.execute(text(statement), values).rowcount


def test_a_crawl_asks_about_everybody_and_finds_what_is_gone_here(bridge: Bridge) -> None:
    with crawled(bridge) as site:
        site.extract()
        site.later(hours=1)
        before = all_else(bridge)
        assert numbers(asked_anew(site)) == NONE
        assert all_else(bridge) == before
        assert site.asked() - site.probed() == dict.fromkeys(site.enrolled(), 1)
        [last] = bridge.rows("SELECT max(id) AS id FROM bridge.completion_instance")
        change(bridge, "DELETE FROM bridge.completion_instance WHERE id = :id", id=last["id"])
        found = asked_anew(site)
        assert numbers(found) == (1, 0, 0, 0)
        assert found.totals["completed"] == sum(site.enrolled().values())


def test_what_was_completed_since_the_last_crawl_is_pending_although_it_has_no_date(bridge: Bridge) -> None:
    with crawled(bridge) as site:
        site.extract()
        site.later(hours=1)
        before = asked_anew(site).totals
        (user, course), _ = next((pair, done) for pair, done in site.enrolled().items() if not done)
        site.bridge.totara.complete(user, course)
        found = asked_anew(site)
        assert (numbers(found), found.totals) == ((0, 0, 0, 1), before)
        site.extract()
        found = asked_anew(site)
        assert (numbers(found), found.totals["completed"]) == (NONE, before["completed"] + 1)


def test_what_a_crawl_heard_before_it_was_killed_is_pending(bridge: Bridge) -> None:
    with crawled(bridge) as site:
        site.extract()
        site.later(hours=1)
        (user, course), _ = next((pair, done) for pair, done in site.enrolled().items() if not done)
        site.bridge.totara.complete(user, course)
        book = site.book()
        began = book.begin(site.now)
        book.write(course, {user: Crawled(True, 100, began + 1)})
        assert numbers(asked_anew(site)) == (0, 0, 0, 1)
        site.extract()
        assert numbers(asked_anew(site)) == NONE


def test_what_a_repair_has_found_the_next_crawl_does_not_undo(bridge: Bridge) -> None:
    with crawled(bridge) as site:
        site.extract()
        site.later(hours=1)
        pair = next(pair for pair, done in site.enrolled().items() if done)
        site.bridge.totara.regress(*pair)
        assert numbers(asked_anew(site)) == (0, 0, 1, 0)
        assert numbers(asked_anew(site, repair=True)) == NONE
        site.later(hours=1)
        site.extract()
        assert site.staged()[pair] == "not_started"
        assert numbers(asked_anew(site)) == NONE


@pytest.fixture
def exports(bridge: Bridge, tmp_path: Path) -> Exports:
    """A folder of files, the first of which is staged."""
    exports = Exports(bridge, tmp_path)
    exports.put("1.csv", f"{HEADER}\n3,ann,,9,C,Complete,2026-03-08\n")
    assert exports.extract().instances.new == 1
    bridge.later(hours=1)
    return exports


def read_anew(exports: Exports) -> Reconciled:
    return reconcile(
        exports.bridge, source=ReportFileSource(exports.connection, afresh(exports.bridge.staging, SITE).is_loaded)
    )


def test_what_a_file_says_that_was_not_read_yet_is_not_compared(exports: Exports) -> None:
    exports.put("2.csv", f"{HEADER}\n4,bob,,9,C,Complete,2026-03-08\n")
    found = read_anew(exports)
    assert (numbers(found), found.totals["completed"], differences(exports.bridge)) == (NONE, 1, [])


@pytest.mark.parametrize("instead", [None, "4,bob,,9,C,Complete,2026-03-08"])
def test_without_the_file_that_was_read_last_nothing_is_said_to_be_alike(exports: Exports, instead: str | None) -> None:
    (exports.folder / "admin" / "1.csv").unlink()
    if instead:
        exports.put("1.csv", f"{HEADER}\n{instead}\n")
    with pytest.raises(Transient, match=r"read last (is there no more|was followed by another), so nothing was"):
        read_anew(exports)
    assert exports.bridge.rows("SELECT FROM bridge.reconciliation") == []
