"""The proof adds up to Totara's own numbers, each site at its own moment, or says by how much it does not."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.proved import APRIL, COUNTS, FEBRUARY, IN_TOTARA, JANUARY, MARCH, ROUTE, Proved
from totara_bridge.staging import proof, proof_expected
from totara_bridge.staging.proof import InTotara, Line, total
from totara_bridge.staging.proof_expected import Count
from totara_bridge.staging.proof_part import Asked, By, Part

AUCKLAND = "Pacific/Auckland"
ASKED = Asked("oracle", ROUTE, zone=AUCKLAND, against_totara=True)


@pytest.fixture
def proved(staging: Engine) -> Proved:
    """An empty staging with a site."""
    return Proved(staging)


def lines(staging: Engine, asked: Asked = ASKED, by: By = By.COURSE) -> list[Line]:
    with staging.connect() as transaction:
        return proof.prove(transaction, asked, by)


def everything(proved: Proved, asked: Asked = ASKED) -> Line:
    """All lines as one."""
    return total(lines(proved.staging, asked))


def by_day(
    staging: Engine, count: Count, asked: Asked = ASKED, *, course: tuple[str, int] | None = None, limit: int = 50
) -> list[tuple[Any, ...]]:
    """All pages of a count's list: site, course, day, how many."""
    found: list[tuple[Any, ...]] = []
    after: int | None = 0
    with staging.connect() as transaction:
        while after is not None:
            page = proof_expected.days(transaction, asked, count, course=course, after=after, limit=limit)
            assert len(page.rows) <= limit
            found += [(row.site, row.course_id, row.day, row.count) for row in page.rows]
            after = page.after
    return found


def listed(staging: Engine, part: Part | None, asked: Asked = ASKED) -> list[int]:
    """The instances of a part."""
    with staging.connect() as transaction:
        return [row.id for row in proof.page(transaction, asked, part, after=0, limit=2_000).rows]


def test_totaras_number_is_the_sum_of_all_parts(proved: Proved) -> None:
    made = proved.of_every_part()
    proved.compared()
    off, first = lines(proved.staging)
    assert (off.key, off.totara, off.parts[Part.NOT_ROUTED]) == (("sbx", 9), InTotara(11), 11)
    assert (first.key, first.totara, first.staged) == (("sbx", 1), InTotara(79), 79)
    line = total([first, off])
    assert (line.parts, line.totara, line.closes) == (COUNTS, InTotara(90), True)
    assert (line.not_staged, line.unaccounted, line.gap) == (0, 0, 0)
    assert {part: listed(proved.staging, part) for part in Part} == made
    assert by_day(proved.staging, Count.IN_TOTARA) == [("sbx", *key, count) for key, (count, _, _) in IN_TOTARA.items()]
    assert by_day(proved.staging, Count.NOT_STAGED) == []


def test_what_is_not_staged_is_counted_by_month_and_listed_by_day(proved: Proved) -> None:
    proved.of_every_part()
    erased = {(1, date(2026, 2, 16)): (53, 3, 2), (7, date(2026, 3, 1)): (4, 4, 0)}
    proved.compared({**IN_TOTARA, **erased})
    january, february, march = lines(proved.staging, by=By.MONTH)
    assert (january.key, january.totara) == (date(2026, 1, 1), InTotara(31))
    assert (february.key, february.totara, february.staged) == (date(2026, 2, 1), InTotara(64, 3, 2), 59)
    assert (march.key, march.totara, march.staged) == (date(2026, 3, 1), InTotara(4, 4, 0), 0)
    assert all(line.closes for line in (january, february, march))
    assert by_day(proved.staging, Count.ERASED) == [
        ("sbx", 1, date(2026, 2, 16), 3),
        ("sbx", 7, date(2026, 3, 1), 4),
    ]
    assert by_day(proved.staging, Count.ERASED, limit=1) == by_day(proved.staging, Count.ERASED)
    assert by_day(proved.staging, Count.ERASED, course=("sbx", 7)) == [("sbx", 7, date(2026, 3, 1), 4)]
    assert by_day(proved.staging, Count.SET_ASIDE) == [("sbx", 1, date(2026, 2, 16), 2)]
    only_february = replace(ASKED, since=_midnight(2, 1), before=_midnight(3, 1))
    assert by_day(proved.staging, Count.ERASED, only_february) == [("sbx", 1, date(2026, 2, 16), 3)]
    assert [line.key for line in lines(proved.staging, only_february, By.MONTH)] == [date(2026, 2, 1)]


def _midnight(month: int, day: int) -> datetime:
    """In Auckland's summer."""
    return datetime(2026, month, day, tzinfo=UTC) - timedelta(hours=13)


@pytest.mark.parametrize("part", [Part.QUEUED, Part.HELD])
def test_an_item_that_is_gone_is_a_gap_of_one(proved: Proved, part: Part) -> None:
    made = proved.of_every_part()
    proved.compared()
    gone = made[part][0]
    proved.sql("DELETE FROM bridge.export_queue WHERE instance_id = :gone", gone=gone)
    line = everything(proved)
    assert (line.gap, line.unaccounted, line.not_staged, line.closes) == (1, 1, 0, False)
    assert listed(proved.staging, None) == [gone]


def test_a_staged_completion_that_is_gone_is_a_gap_of_one(proved: Proved) -> None:
    made = proved.of_every_part()
    proved.compared()
    proved.sql("DELETE FROM bridge.completion_instance WHERE id = :gone", gone=made[Part.BASELINE][0])
    line = everything(proved)
    assert (line.gap, line.unaccounted, line.not_staged, line.closes) == (1, 0, 1, False)
    assert by_day(proved.staging, Count.NOT_STAGED) == [("sbx", 1, date(2026, 1, 16), 1)]


def test_one_less_in_totara_is_a_gap_below_zero(proved: Proved) -> None:
    proved.of_every_part()
    proved.compared({**IN_TOTARA, (9, date(2026, 2, 16)): (10, 0, 0)})
    off, first = lines(proved.staging)
    assert (off.gap, off.not_staged, off.closes, first.closes) == (-1, -1, False, True)
    assert by_day(proved.staging, Count.NOT_STAGED) == [("sbx", 9, date(2026, 2, 16), -1)]


def test_two_faults_that_make_up_for_each_other_are_two_faults(proved: Proved) -> None:
    made = proved.of_every_part()
    proved.compared({**IN_TOTARA, (1, date(2026, 1, 16)): (30, 0, 0)})
    proved.sql("DELETE FROM bridge.delivery WHERE instance_id = :gone", gone=made[Part.DELIVERED][0])
    line = everything(proved)
    assert (line.gap, line.unaccounted, line.not_staged, line.closes) == (0, 1, -1, False)


def test_a_course_that_was_never_staged_and_one_that_totara_does_not_have(proved: Proved) -> None:
    proved.instances(2, course=1)
    proved.compared({(2, date(2026, 1, 16)): (5, 0, 0)})
    first, second = lines(proved.staging)
    assert (first.key, first.course, first.totara, first.gap) == (("sbx", 1), "SAFE-1", InTotara(), -2)
    assert (second.key, second.course, second.staged, second.gap) == (("sbx", 2), "SAFE-2", 0, 5)


def test_each_site_is_taken_at_its_own_moment(proved: Proved) -> None:
    known = proved.instances(1), proved.instances(2, site="two")
    proved.instances(4, seen=MARCH + timedelta(seconds=1))  # found since
    later = proved.instances(8, site="two", seen=MARCH + timedelta(seconds=1))
    proved.instances(16, columns={"ended_at": "timestamptz '2026-03-01'"})  # lost before
    lost = proved.instances(32, columns={"ended_at": "timestamptz '2026-04-01'"})  # lost since
    proved.instances(64, site="never")  # not compared
    proved.compared({(1, date(2026, 1, 16)): (33, 0, 0)})
    proved.compared({(1, date(2026, 1, 16)): (10, 0, 0)}, site="two", at=APRIL)
    first, second = lines(proved.staging)
    assert (first.key, first.staged, first.parts[Part.BASELINE], first.parts[Part.LOST]) == (("sbx", 1), 33, 1, 32)
    assert (second.key, second.staged, first.closes, second.closes) == (("two", 1), 10, True, True)
    assert listed(proved.staging, Part.BASELINE) == [*known[0], *known[1], *later]
    assert listed(proved.staging, Part.LOST) == lost
    with proved.staging.connect() as transaction:
        sbx, two = proof_expected.comparisons(transaction, ASKED)
        assert proof_expected.sites_compared(transaction) == {"sbx", "two"}
    assert (sbx.site, sbx.made_at, sbx.made_by, sbx.found_since, sbx.lost_before) == ("sbx", MARCH, "ann", 4, 16)
    assert (two.site, two.made_at, two.found_since, two.lost_before) == ("two", APRIL, 0, 0)


def test_the_last_comparison_is_the_one_that_counts(proved: Proved) -> None:
    proved.instances(3)
    proved.compared({(1, date(2026, 1, 16)): (7, 0, 0)}, at=APRIL, pending=5)
    proved.compared({(1, date(2026, 1, 16)): (3, 0, 0)}, query='{"course_ids": [7]}', pending=2)
    assert everything(proved).closes
    with proved.staging.connect() as transaction:
        [comparison] = proof_expected.comparisons(transaction, ASKED)
    assert (comparison.made_at, comparison.query, comparison.pending) == (MARCH, '{"course_ids": [7]}', 2)


def test_who_was_erased_before_is_totaras_count_and_who_was_since_is_staged(proved: Proved) -> None:
    before, since = proved.instances(2, columns=_erased(FEBRUARY)), proved.instances(3, columns=_erased(APRIL))
    for them, at in ((before, FEBRUARY), (since, APRIL)):
        proved.sql(
            "INSERT INTO bridge.erased_learner (site, user_id, erased_at, erased_by) "
            "SELECT 'sbx', unnest(cast(:them AS bigint[])), :at, 'ann'",
            them=them, at=at,
        )  # fmt: skip
    proved.sql("UPDATE bridge.completion_instance SET time_completed = NULL, first_seen_at = ended_at")
    proved.compared({(1, date(2026, 1, 16)): (5, 2, 0)})
    line = everything(proved)
    assert (line.totara, line.parts[Part.ERASED], line.gap, line.closes) == (InTotara(5, 2), 3, 0, True)
    assert listed(proved.staging, Part.ERASED) == since
    january, april = lines(proved.staging, by=By.MONTH)  # their dates are gone
    assert (january.key, january.gap, april.key, april.gap) == (date(2026, 1, 1), 3, date(2026, 4, 1), -3)
    with proved.staging.connect() as transaction:
        [comparison] = proof_expected.comparisons(transaction, ASKED)
    assert (comparison.erased_since, comparison.found_since, comparison.lost_before) == (3, 0, 0)


def _erased(at: datetime) -> dict[str, str]:
    return {"ended_at": f"timestamptz '{at.isoformat()}'"}


def test_what_was_edited_since_counts_by_the_date_that_it_has_now(proved: Proved) -> None:
    proved.instances(2, at=FEBRUARY, columns={"revised_at": "timestamptz '2026-04-01'"})
    proved.compared({(1, date(2026, 1, 16)): (2, 0, 0)})
    assert everything(proved).closes
    assert [line.gap for line in lines(proved.staging, by=By.MONTH)] == [2, -2]
    assert [row[2:] for row in by_day(proved.staging, Count.NOT_STAGED)] == [
        (date(2026, 1, 16), 2),
        (date(2026, 2, 16), -2),
    ]
    with proved.staging.connect() as transaction:
        [comparison] = proof_expected.comparisons(transaction, ASKED)
        [none] = proof_expected.comparisons(transaction, replace(ASKED, before=JANUARY))
    assert (comparison.revised_since, none.revised_since) == (2, 0)


def test_without_a_date_it_counts_by_the_day_on_which_it_was_first_seen(proved: Proved) -> None:
    proved.instances(2, at=None, seen=FEBRUARY)
    proved.compared({(1, date(2026, 2, 16)): (2, 0, 0)})
    [line] = lines(proved.staging, by=By.MONTH)
    assert (line.key, line.closes) == (date(2026, 2, 1), True)
