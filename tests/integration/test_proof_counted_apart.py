"""The proof's numbers are those that somebody gets who counts by hand, also where days begin at odd hours."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text

from tests.bridge import Bridge
from tests.proved import Proved, write_comparison
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import proof, proof_expected
from totara_bridge.staging.proof import InTotara, Line, total
from totara_bridge.staging.proof_expected import Count
from totara_bridge.staging.proof_part import Asked, By, Part

AUCKLAND = "Pacific/Auckland"


def lines(staging: Engine, asked: Asked, by: By = By.COURSE) -> list[Line]:
    with staging.connect() as transaction:
        return proof.prove(transaction, asked, by)


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Pacific/Auckland", "2026-01-31T10:30:00+00:00", date(2026, 1, 31)),  # 23:30
        ("Pacific/Auckland", "2026-01-31T11:30:00+00:00", date(2026, 2, 1)),  # 0:30
        ("America/New_York", "2026-03-08T04:30:00+00:00", date(2026, 3, 7)),  # 23:30, before a day of 23 hours
        ("America/New_York", "2026-03-09T03:30:00+00:00", date(2026, 3, 8)),  # 23:30 of that day
        ("America/New_York", "2026-11-02T04:30:00+00:00", date(2026, 11, 1)),  # 23:30 of a day of 25 hours
        ("America/Sao_Paulo", "2018-11-04T03:00:00+00:00", date(2018, 11, 4)),  # 1:00: clocks skipped midnight
        ("America/Sao_Paulo", "2018-11-04T02:59:59+00:00", date(2018, 11, 3)),
        ("America/Havana", "2026-11-01T04:30:00+00:00", date(2026, 11, 1)),  # 0:30, and once more an hour later
        ("America/Havana", "2026-11-01T05:30:00+00:00", date(2026, 11, 1)),
        ("Pacific/Auckland", "8999-12-31T12:00:00+00:00", date(9000, 1, 1)),
    ],
)
def test_days_begin_and_end_where_they_do_in_the_zone(staging: Engine, zone: str, at: str, day: date) -> None:
    proved = Proved(staging)
    first = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    midnights = [first + timedelta(days=days) for days in (-1, 0, 1, 2)]
    proved.instances(1, at=datetime.fromisoformat(at), seen=datetime(2018, 1, 1, tzinfo=UTC))
    proved.compared({(1, day): (1, 0, 0)}, at=datetime(2027, 1, 1, tzinfo=UTC))
    asked = Asked("oracle", zone=zone, against_totara=True)
    for since, before, counted in zip(midnights[:-1], midnights[1:], (0, 1, 0), strict=True):
        found = lines(staging, replace(asked, since=since, before=before))
        assert [(line.staged, line.totara, line.gap) for line in found] == [(1, InTotara(1), 0)] * counted
    assert [(line.key, line.closes) for line in lines(staging, asked, By.MONTH)] == [(day.replace(day=1), True)]
    with staging.connect() as transaction:
        assert proof_expected.days(transaction, asked, Count.NOT_STAGED, after=0, limit=9).rows == []


def test_the_last_hours_of_all_are_of_the_last_day_that_there_is(staging: Engine) -> None:
    proved = Proved(staging)
    proved.instances(1, at=datetime(9999, 12, 31, 23, tzinfo=UTC))
    proved.compared({(1, date(9999, 12, 31)): (1, 0, 0)}, at=datetime(2027, 1, 1, tzinfo=UTC))
    asked = Asked("oracle", zone=AUCKLAND, against_totara=True)
    assert [(line.key, line.closes) for line in lines(staging, asked, By.MONTH)] == [(date(9999, 12, 1), True)]
    with staging.connect() as transaction:
        assert proof_expected.days(transaction, asked, Count.NOT_STAGED, after=0, limit=9).rows == []


#: Of the captured rows, counted in the files that they come from: current and archived completions by course.
BY_COURSE = {
    "C001": 50, "C002": 40, "C003": 56, "C004": 51, "C005": 60, "C006": 53, "C007": 47, "C008": 41, "C009": 48,
    "C010": 45, "C011": 53, "C012": 53, "C013": 53, "C014": 53, "C015": 48, "C016": 57, "C017": 48, "C018": 50,
    "C019": 45, "C020": 53,
}  # fmt: skip

#: The same by month from October 2025 on, in Auckland.
BY_MONTH = [3, 33, 55, 78, 117, 157, 162, 135, 101, 84, 48, 28, 2, 1]

#: The same: of learners whom Totara had deleted.
OF_DELETED = 6


@pytest.fixture
def compare(bridge: Bridge) -> Callable[[], None]:
    """Count what the sandbox has, by course and day in Auckland, and write it down as a comparison does."""
    counting = text(
        f"""
        SELECT course, cast(to_timestamp(at) AT TIME ZONE '{AUCKLAND}' AS date) AS day, count(*) AS completed
        FROM (SELECT course, timecompleted AS at FROM ttr_course_completions WHERE status >= 50
              UNION ALL SELECT courseid, timecompleted FROM ttr_course_completion_history) completed
        GROUP BY 1, 2
        """
    )

    def count() -> None:
        bridge.later(hours=1)
        with bridge.totara.engine.connect() as totara:
            found = {(row.course, row.day): (row.completed, 0, 0) for row in totara.execute(counting)}
        write_comparison(bridge.staging, found, at=bridge.now)

    return count


def test_what_the_sandbox_has_is_all_there(bridge: Bridge, oracle: SandboxOracle, compare: Callable[[], None]) -> None:
    bridge.extract()
    bridge.backfill(narrowed=Route(courses=("C001", "C003")))
    bridge.push(oracle)
    bridge.backfill(narrowed=Route(courses=("C020",)))
    compare()
    asked = Asked("oracle", Route(not_courses=("C01*",)), zone=AUCKLAND, against_totara=True)
    by_course = lines(bridge.staging, asked)
    assert {line.course: line.totara for line in by_course} == {
        course: InTotara(count) for course, count in BY_COURSE.items()
    }
    assert all(line.closes for line in by_course)
    by_month = lines(bridge.staging, asked, By.MONTH)
    assert [line.totara for line in by_month] == [InTotara(count) for count in BY_MONTH]
    assert [line.gap for line in by_month] == [0] * 14
    everything = total(by_course)
    assert (everything.totara, everything.gap, everything.closes) == (InTotara(1004), 0, True)
    assert total(by_month).parts == everything.parts
    assert {part: count for part, count in everything.parts.items() if count} == {
        Part.DELIVERED: 50 + 56,
        Part.QUEUED: 53,
        Part.LEARNER_DELETED: OF_DELETED,  # of C002, C005, C008, C009, C014 and C018, one each
        Part.NOT_ROUTED: 45 + 4 * 53 - 1 + 48 + 57 + 48 + 50 - 1 + 45,
        Part.BASELINE: 40 + 51 + 60 + 53 + 47 + 41 + 48 - 4,
    }


def test_one_row_less_on_either_side_shows(bridge: Bridge, compare: Callable[[], None]) -> None:
    bridge.extract()
    asked = Asked("oracle", zone=AUCKLAND, against_totara=True)
    bridge.totara.delete_completion(*bridge.totara.pair_with(status=50, nth=7))
    compare()
    everything = total(lines(bridge.staging, asked))
    assert (everything.totara, everything.gap, everything.closes) == (InTotara(1003), -1, False)
    bridge.extract()
    compare()
    assert total(lines(bridge.staging, asked)).closes
    bridge.totara.complete(*bridge.totara.pair_with(status=25, nth=3))
    compare()
    everything = total(lines(bridge.staging, asked))
    assert (everything.totara, everything.not_staged, everything.closes) == (InTotara(1004), 1, False)
    bridge.extract()
    compare()
    assert total(lines(bridge.staging, asked)).closes
