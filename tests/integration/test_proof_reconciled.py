"""After whatever happened to a Totara, the proof closes against what a reconcile of it has counted."""

from collections.abc import Callable

import pytest

from tests.bridge import SITE, Bridge
from tests.reconciled import reconcile
from totara_bridge.erase import erase
from totara_bridge.staging import proof
from totara_bridge.staging.proof import InTotara, Line, total
from totara_bridge.staging.proof_part import Asked, By, Part

AUCKLAND = "Pacific/Auckland"


def lines(bridge: Bridge, by: By = By.COURSE) -> list[Line]:
    """The proof against the last comparison."""
    with bridge.staging.connect() as transaction:
        return proof.prove(transaction, Asked("oracle", zone=AUCKLAND, against_totara=True), by)


def pair(bridge: Bridge, status: int = 50, nth: int = 5) -> tuple[int, int]:
    return bridge.totara.pair_with(status=status, nth=nth)


def archive_and_complete_again(bridge: Bridge) -> None:
    bridge.totara.archive(*(again := pair(bridge)))
    bridge.totara.recreate(*again)
    bridge.totara.complete(*again)


def complete_in_another_age(bridge: Bridge) -> None:
    """By hand, so that Totara's change log does not know of it."""
    user, course = pair(bridge, 25)
    with bridge.totara.engine.begin() as totara:
        totara.exec_driver_sql(
            f"UPDATE ttr_course_completions SET status = 50, timecompleted = {2**40} "
            f"WHERE userid = {user} AND course = {course}"
        )


ACTS: dict[str, tuple[Callable[[Bridge], object], int]] = {
    "complete": (lambda bridge: bridge.totara.complete(*pair(bridge, 25)), 1005),
    "long ago, by RPL": (lambda bridge: bridge.totara.complete_by_rpl(*pair(bridge, 25), at=86_400, note="x"), 1005),
    "without a date": (lambda bridge: bridge.totara.complete_without_date(*pair(bridge, 25)), 1005),
    "edited": (lambda bridge: bridge.totara.edit_date(*pair(bridge), at=1_700_000_000), 1004),
    "edited without a trace": (lambda bridge: bridge.totara.sql_update_without_log(*pair(bridge), 1_600_000_000), 1004),
    "regressed": (lambda bridge: bridge.totara.regress(*pair(bridge)), 1003),
    "deleted": (lambda bridge: bridge.totara.delete_completion(*pair(bridge)), 1003),
    "archived": (lambda bridge: bridge.totara.archive(*pair(bridge)), 1004),
    "recertified": (archive_and_complete_again, 1005),
    "cannot be true": (complete_in_another_age, 1005),
}


@pytest.mark.parametrize("act", ACTS)
def test_it_closes_after_whatever_happened(bridge: Bridge, act: str) -> None:
    bridge.extract()
    bridge.later(hours=1)
    happens, completed = ACTS[act]
    happens(bridge)
    bridge.full_compare()
    bridge.later(minutes=1)
    assert reconcile(bridge, zone=AUCKLAND).found.differences == 0
    bridge.later(minutes=1)
    bridge.totara.complete(*pair(bridge, 25, nth=9))  # and what comes later is not in it
    bridge.extract()
    for by in By:
        assert [line.key for line in lines(bridge, by) if not line.closes] == []
        line = total(lines(bridge, by))
        assert line.totara is not None
        assert (line.totara.completed, line.totara.set_aside) == (completed, int(act == "cannot be true"))


def test_it_closes_after_an_erasure_by_course_at_once_and_by_month_once_compared_again(bridge: Bridge) -> None:
    bridge.extract()
    bridge.later(hours=1)
    reconcile(bridge, zone=AUCKLAND)
    bridge.later(hours=1)
    user, _ = pair(bridge)
    [held] = bridge.rows("SELECT count(*) FROM bridge.completion_instance WHERE user_id = :user", user=user)
    erase(bridge.staging, site=SITE, user_id=user, by="ann", dry_run=False, now=bridge.now)
    assert all(line.closes for line in lines(bridge))
    assert total(lines(bridge)).parts[Part.ERASED] == held["count"] > 0
    assert not all(line.closes for line in lines(bridge, By.MONTH))
    bridge.later(hours=1)
    reconcile(bridge, zone=AUCKLAND)
    for by in By:
        assert all(line.closes for line in lines(bridge, by))
        line = total(lines(bridge, by))
        assert (line.totara, line.parts[Part.ERASED]) == (InTotara(1004, erased=held["count"]), 0)


def test_a_staged_row_that_is_gone_is_missing_in_both(bridge: Bridge) -> None:
    bridge.extract()
    bridge.later(hours=1)
    with bridge.staging.begin() as transaction:
        transaction.exec_driver_sql("DELETE FROM bridge.completion_instance WHERE id = 7")
    assert reconcile(bridge, zone=AUCKLAND).found.missing == 1
    line = total(lines(bridge))
    assert (line.not_staged, line.gap, line.parts[Part.BASELINE]) == (1, 1, 997)
