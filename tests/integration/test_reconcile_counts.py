"""How much Totara has by a reconcile: by course and day, with what is not staged and why; and what is not compared."""

from dataclasses import replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from tests.bridge import SITE, Bridge
from tests.life import World
from tests.reconciled import all_else, differences, numbers, reconcile
from tests.told_source import BY_DAY, YES_OR_NO, Said, ToldSource
from totara_bridge import erase
from totara_bridge.completion import Crawled
from totara_bridge.extract.run import extract_site
from totara_bridge.reconcile import afresh
from totara_bridge.staging import crawl, loaded_file
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.source import Gives, SourceKind

NONE = (0, 0, 0, 0)
#: In Auckland it was the next day.
EVENING = 1_767_180_600  # 2025-12-31 11:30 UTC


def counts(bridge: Bridge, course: int | None = None) -> list[tuple[date, int, int, int]]:
    """Day, completed, erased and set aside."""
    rows = bridge.rows(
        """SELECT day, completed, erased, set_aside FROM bridge.reconciled_count
           WHERE course_id = coalesce(cast(:course AS bigint), course_id) ORDER BY day""",
        course=course,
    )
    return [tuple(row.values()) for row in rows]


def totara_counts(bridge: Bridge, zone: str) -> dict[tuple[int, date], int]:
    """By Totara's own tables, which the bridge has no part in."""
    statement = """
        SELECT course, cast(to_timestamp(at) AT TIME ZONE :zone AS date) AS day, count(*) AS n
        FROM (SELECT course, timecompleted AS at FROM ttr_course_completions WHERE status IN (50, 75)
              UNION ALL SELECT courseid, timecompleted FROM ttr_course_completion_history) t GROUP BY 1, 2
    """
    with bridge.totara.engine.connect() as connection:
        return {(row.course, row.day): row.n for row in connection.execute(text(statement), {"zone": zone})}


@pytest.fixture
def course(bridge: Bridge) -> int:
    """A course in which two learners are enrolled, and which nobody has completed."""
    made = bridge.totara.new_course()
    for user in (3, 4):
        bridge.totara.enrol(user, made)
    return made


def extract(bridge: Bridge) -> None:
    """Extract, so long after all that happened that the next extract will not read it again."""
    bridge.extract()
    with bridge.totara.engine.begin() as connection:
        connection.execute(text("UPDATE ttr_course_completion_log SET timemodified = timemodified - 86400"))
    bridge.later(hours=1)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_what_totara_has_is_counted_by_course_and_day_of_the_zone(bridge: Bridge, course: int, zone: str) -> None:
    bridge.totara.complete(3, course, at=EVENING)
    extract(bridge)
    assert numbers(reconcile(bridge, zone=zone)) == NONE
    counted = bridge.rows("SELECT course_id, day, completed FROM bridge.reconciled_count")
    assert {(row["course_id"], row["day"]): row["completed"] for row in counted} == totara_counts(bridge, zone)
    assert counts(bridge, course)[0][0] == (date(2026, 1, 1) if zone == "Pacific/Auckland" else date(2025, 12, 31))


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
def test_the_last_second_that_there_is_has_a_day_that_python_knows(bridge: Bridge, course: int, zone: str) -> None:
    bridge.totara.complete(3, course, at=253_402_300_799)
    extract(bridge)
    reconcile(bridge, zone=zone)
    assert counts(bridge, course) == [(date(9999, 12, 31), 1, 0, 0)]


def test_one_without_a_date_counts_on_the_day_when_it_was_first_seen(bridge: Bridge, course: int) -> None:
    bridge.totara.complete_without_date(3, course)
    seen = bridge.now.date()
    extract(bridge)
    bridge.later(days=9)
    with bridge.totara.engine.begin() as connection:  # and one that was never seen on the day of the reconcile
        connection.execute(
            text("UPDATE ttr_course_completions SET status = 50 WHERE userid = 4 AND course = :course"),
            {"course": course},
        )
    assert numbers(reconcile(bridge)) == (1, 0, 0, 0)
    assert counts(bridge, course) == [(seen, 1, 0, 0), (bridge.now.date(), 1, 0, 0)]


def test_what_was_archived_counts_on_its_own_day(bridge: Bridge, course: int) -> None:
    bridge.totara.complete(3, course, at=EVENING)
    bridge.totara.archive(3, course)
    bridge.totara.recreate(3, course)
    bridge.totara.complete(3, course, at=EVENING + 86_400 * 20)
    extract(bridge)
    assert numbers(reconcile(bridge)) == NONE
    assert counts(bridge, course) == [(date(2025, 12, 31), 1, 0, 0), (date(2026, 1, 20), 1, 0, 0)]


def test_an_erased_learner_is_counted_and_never_a_difference(bridge: Bridge, course: int) -> None:
    bridge.totara.complete(3, course, at=EVENING)
    bridge.totara.complete(4, course, at=EVENING)
    extract(bridge)
    erase.erase(bridge.staging, site=SITE, user_id=3, by="ann", dry_run=False, now=bridge.now)
    found = reconcile(bridge)
    assert numbers(found) == NONE
    assert counts(bridge, course) == [(date(2025, 12, 31), 2, 1, 0)]
    [staged] = bridge.rows("SELECT count(*) AS n FROM bridge.completion_instance WHERE ended_at IS NULL")
    assert staged["n"] == found.totals["completed"] - found.totals["erased"]


def test_an_erased_learners_rows_that_cannot_be_true_count_as_erased(bridge: Bridge, course: int) -> None:
    bridge.totara.complete(3, course, at=EVENING)
    extract(bridge)
    erase.erase(bridge.staging, site=SITE, user_id=3, by="ann", dry_run=False, now=bridge.now)
    bridge.totara.sql_update_without_log(3, course, at=10**13)
    assert numbers(reconcile(bridge)) == NONE
    assert counts(bridge, course) == [(bridge.now.date(), 1, 1, 0)]


def test_erasing_takes_a_difference_along(bridge: Bridge, course: int) -> None:
    bridge.totara.complete(3, course, at=EVENING)
    extract(bridge)
    bridge.totara.sql_update_without_log(3, course, at=EVENING + 5)
    reconcile(bridge)
    assert [row["user_id"] for row in differences(bridge)] == [3]
    erase.erase(bridge.staging, site=SITE, user_id=3, by="ann", dry_run=False, now=bridge.now)
    assert differences(bridge) == []


def test_what_cannot_be_true_is_counted_as_set_aside_on_the_day_when_it_was_seen(bridge: Bridge, course: int) -> None:
    bridge.totara.complete(3, course)
    bridge.totara.sql_update_without_log(3, course, at=10**13)
    seen = bridge.now.date()
    extract(bridge)
    bridge.later(days=3)
    found = reconcile(bridge)
    assert (numbers(found), found.totals["set_aside"]) == (NONE, 1)
    assert counts(bridge, course) == [(seen, 1, 0, 1)]


def test_what_became_impossible_after_it_was_staged_counts_as_staged(bridge: Bridge, course: int) -> None:
    bridge.totara.complete(3, course, at=EVENING)
    extract(bridge)
    bridge.totara.sql_update_without_log(3, course, at=10**13)
    assert numbers(reconcile(bridge)) == NONE
    assert counts(bridge, course) == [(date(2025, 12, 31), 1, 0, 0)]


def test_what_the_query_leaves_out_is_not_compared_and_counts_as_it_was_read(bridge: Bridge, course: int) -> None:
    audience = bridge.totara.new_audience("staff", (3, 4))
    query = ReadQuery(audience_idnumbers=("staff",))
    bridge.connection = replace(bridge.connection, query=query)
    for user in (3, 4):
        bridge.totara.complete(user, course, at=EVENING)
    extract(bridge)
    bridge.totara.leave_audience(3, audience)
    with bridge.totara.engine.begin() as connection:  # also not that it is otherwise there now
        connection.execute(
            text("UPDATE ttr_course_completions SET timecompleted = 5 WHERE userid = 3 AND course = :course"),
            {"course": course},
        )
    found = reconcile(bridge)
    assert numbers(found) == NONE
    assert counts(bridge, course) == [(date(2025, 12, 31), 2, 0, 0)]
    [made] = bridge.rows("SELECT query FROM bridge.reconciliation")
    assert made["query"] == query.model_dump_json()


def test_to_whom_everything_has_happened_nothing_differs(world: World) -> None:
    world.bridge.later(hours=1)
    before = all_else(world.bridge)
    found = reconcile(world.bridge)
    assert numbers(found)[1:3] == (0, 0)
    assert all_else(world.bridge) == before


def told(bridge: Bridge, said: list[Said], gives: Gives, **source: Any) -> ToldSource:
    """A source that says this, extracted."""
    kind = SourceKind.WEB_SERVICES if gives is YES_OR_NO else SourceKind.REPORT_QUERY
    made = ToldSource(said, gives, kind, **source)
    extract_site(bridge.staging, made, bridge.plan, now=bridge.now)
    bridge.later(hours=1)
    return made


@pytest.mark.parametrize(("gives", "day"), [(YES_OR_NO, None), (BY_DAY, "2026-03-08")])
@pytest.mark.parametrize("whole", [False, True])
def test_a_source_that_knows_less_is_compared_in_what_it_says(
    bridge: Bridge, gives: Gives, day: str | None, whole: bool
) -> None:
    said = [Said(user, 9, day=day) for user in (3, 4, 5)] + [Said(6, 9, "not_started")]
    seen = bridge.now.date()
    source = told(bridge, said, gives, whole=whole, zone=ZoneInfo("Europe/Berlin"))
    before = all_else(bridge)
    bridge.later(days=2)
    assert numbers(reconcile(bridge, source=source)) == NONE
    assert counts(bridge) == [(date(2026, 3, 7) if day else seen, 3, 0, 0)]
    source.said = [*said[1:], Said(7, 9, day=day)]
    missing, extra, different, pending = numbers(reconcile(bridge, source=source))
    assert (missing, extra + different, pending) == (1, int(whole), 0)
    assert all_else(bridge) == before


def test_who_goes_on_learning_while_a_source_without_a_log_is_read_is_no_difference(bridge: Bridge) -> None:
    source = told(bridge, [Said(3, 9, "not_started"), Said(4, 9)], BY_DAY)
    source.said = [Said(3, 9, "in_progress"), Said(4, 9), Said(5, 9, "in_progress")]
    assert numbers(reconcile(bridge, source=source)) == NONE


def test_what_was_completed_after_the_last_extract_is_pending_without_a_log_too(bridge: Bridge) -> None:
    source = told(bridge, [Said(3, 9, "not_started")], BY_DAY)
    source.said = [Said(3, 9, day="2026-09-22")]  # Totara's clock stood at the day before
    assert numbers(reconcile(bridge, source=source)) == (0, 0, 0, 1)


def test_the_day_of_the_last_extract_is_not_over_at_that(bridge: Bridge) -> None:
    source = told(bridge, [Said(3, 9, "not_started"), Said(4, 9, "not_started")], BY_DAY)
    source.said = [
        Said(3, 9, day="2026-09-21"),
        Said(4, 9, day="2026-09-20"),
    ]  # Totara's clock stood at 13:33 of the 21st
    assert numbers(reconcile(bridge, source=source)) == (1, 0, 0, 1)
    assert [row[1] for row in counts(bridge)] == [1], "what is pending counts as it was staged"


def test_what_could_not_be_understood_is_not_gone(bridge: Bridge) -> None:
    source = told(bridge, [Said(3, 9, day="2026-03-08"), Said(4, 9, day="2026-03-08")], BY_DAY, whole=True)
    source.said = source.said[:1]
    source.bad = [("completions.csv", 3, 4, 9, "the status is no word that is known")]
    assert numbers(reconcile(bridge, source=source)) == NONE
    assert [row[1:] for row in counts(bridge)] == [(2, 0, 0)]


def test_of_files_the_one_that_was_read_last_is_read_again(bridge: Bridge) -> None:
    for digest in ("first", "last"):
        bridge.later(days=1)
        with bridge.staging.begin() as transaction:
            loaded_file.write(transaction, SITE, name=f"{digest}.csv", digest=digest, size=7, rows=1, now=bridge.now)
    kept = afresh(bridge.staging, SITE)
    assert [kept.is_loaded(digest) for digest in ("first", "last", "new")] == [True, False, False]
    assert not afresh(bridge.staging, "uk").is_loaded("last")


def test_a_crawl_asks_about_everybody_and_leaves_the_book_as_it_is(bridge: Bridge) -> None:
    with bridge.staging.begin() as transaction:
        crawl.write(transaction, SITE, 9, {3: Crawled(True, 100, 5)})
    before = all_else(bridge)
    book = afresh(bridge.staging, SITE).crawl_book
    assert book.begin(7) == 7
    assert book.found(9) == {}
    heard = {4: Crawled(True, 100, 8), 2**40: Crawled(False, None, 8), 6: Crawled(False, 0, 8)}
    book.write(9, {4: heard[4]})
    book.write(9, {**heard, 5: Crawled(False, 33, 8)})
    book.forget(9, [5])
    assert book.found(9) == heard
    book.end()
    assert book.found(9) == heard
    assert book.begin(20) == 20
    assert book.found(9) == {}
    assert all_else(bridge) == before
