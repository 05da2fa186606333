"""A site that is read now by one source and now by another has each completion once, as exactly as any knows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from tests.bridge import DESTINATION, Bridge
from tests.told_source import BY_DAY, BY_SECOND, YES_OR_NO, Said, ToldSource, midnight
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.plan import Extracted
from totara_bridge.extract.run import extract_site
from totara_bridge.totara.source import Gives, SourceKind

AUCKLAND = ZoneInfo("Pacific/Auckland")

KINDS = {"web": YES_OR_NO, "day": BY_DAY}


def read(bridge: Bridge, said: Sequence[Said], gives: Gives = YES_OR_NO, **source: Any) -> Extracted:
    """Extract the site through a source that says this, twice: the second time finds nothing new."""
    kind = SourceKind.WEB_SERVICES if gives is YES_OR_NO else SourceKind.REPORT_QUERY
    told = ToldSource(said, gives, kind, **source)
    first = extract_site(bridge.staging, told, bridge.plan, now=bridge.now)
    again = extract_site(bridge.staging, told, bridge.plan, now=bridge.now)
    assert not again.changed, again.counts()
    return first


def instances(bridge: Bridge, user: int, course: int) -> list[dict[str, Any]]:
    return bridge.rows(
        """SELECT time_completed, status, row_id, revision, archived_at IS NOT NULL AS archived,
                  ended_at IS NOT NULL AS ended FROM bridge.completion_instance
           WHERE user_id = :user AND course_id = :course ORDER BY id""",
        user=user,
        course=course,
    )


def items(bridge: Bridge, user: int, course: int) -> int:
    [row] = bridge.rows(
        """SELECT count(*) AS items FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
           WHERE user_id = :user AND course_id = :course""",
        user=user,
        course=course,
    )
    return int(row["items"])


def staged(bridge: Bridge, user: int, course: int) -> dict[str, Any]:
    [row] = bridge.rows(
        """SELECT status, progress, grade, rpl, time_enrolled, time_started, time_completed, deleted_at, row_id
           FROM bridge.completion WHERE user_id = :user AND course_id = :course""",
        user=user,
        course=course,
    )
    return row


def everything(bridge: Bridge) -> list[list[dict[str, Any]]]:
    """All that is staged, but for what says when and by which source it was read."""
    return [
        bridge.rows(f"SELECT * FROM bridge.{table} ORDER BY {key}")
        for table, key in (
            ("learner", "user_id"), ("course", "course_id"), ("completion", "user_id, course_id"),
            ("completion_instance", "id"), ("export_queue", "id"),
        )
    ]  # fmt: skip


def totara_rows(bridge: Bridge) -> list[Any]:
    """The completions as Totara has them."""
    with bridge.totara.engine.connect() as connection:
        return list(connection.execute(select(bridge.totara.tables.course_completions)).mappings())


def as_said(bridge: Bridge, *, days: bool, zone: ZoneInfo) -> list[Said]:
    """What a source that knows less would say of the sandbox now."""
    rows = totara_rows(bridge)

    def day(row: Any) -> str | None:
        if not days or not row["timecompleted"]:
            return None
        return f"{datetime.fromtimestamp(row['timecompleted'], zone):%Y-%m-%d}"

    words = {10: "not_started", 25: "in_progress", 50: "complete", 75: "complete_rpl"}
    unsure = {"not_started": "not_started", "in_progress": "not_started"}
    return [
        Said(row["userid"], row["course"], status if days else unsure.get(status, "complete"), day(row))
        for row in rows
        for status in [words[row["status"]]]
    ]


@pytest.mark.parametrize(("days", "gives"), [(True, BY_DAY), (False, YES_OR_NO)])
def test_what_knows_less_changes_nothing_of_what_a_database_said(bridge: Bridge, days: bool, gives: Gives) -> None:
    bridge.extract()
    before = everything(bridge)
    said = as_said(bridge, days=days, zone=AUCKLAND)
    columns = gives.columns - {"grade", "rpl", "time_enrolled", "time_started"}
    read(bridge, said, replace(gives, columns=columns) if days else gives, zone=AUCKLAND, whole=True)
    assert everything(bridge) == before
    assert not bridge.extract().changed


@pytest.mark.parametrize(("days", "gives"), [(True, BY_DAY), (False, YES_OR_NO)])
def test_a_database_finds_each_completion_that_another_source_made(bridge: Bridge, days: bool, gives: Gives) -> None:
    said = as_said(bridge, days=days, zone=AUCKLAND)
    read(bridge, said, gives, zone=AUCKLAND)
    made = bridge.rows("SELECT user_id, course_id, record_key FROM bridge.completion_instance ORDER BY record_key")
    assert len(made) == sum(each.status.startswith("complete") for each in said) > 900
    extracted = bridge.extract()
    assert extracted.full_compare
    again = bridge.rows(
        """SELECT user_id, course_id, record_key FROM bridge.completion_instance
           WHERE archived_at IS NULL AND ended_at IS NULL ORDER BY record_key"""
    )
    assert again == made
    assert extracted.instances.new == 5, "its history, which no other source shows"
    assert extracted.instances.lost == 0
    assert extracted.instances.revised == (0 if days else len(made)), "a date is news where there was none"
    assert not bridge.extract().changed
    assert not bridge.full_compare().changed
    exact = {(row["userid"], row["course"]): row for row in totara_rows(bridge)}
    for row in bridge.rows("SELECT * FROM bridge.completion_instance WHERE archived_at IS NULL"):
        there = exact[row["user_id"], row["course_id"]]
        assert (row["row_id"], row["time_completed_until"]) == (there["id"], None)
        assert row["time_completed"] == datetime.fromtimestamp(there["timecompleted"], UTC)


def test_a_completion_without_a_date_gets_one_once_a_report_shows_the_day(bridge: Bridge) -> None:
    read(bridge, [Said(3, 4)])
    read(bridge, [Said(3, 4, day="2026-03-08")], BY_DAY)
    [row] = instances(bridge, 3, 4)
    assert (row["time_completed"], row["revision"]) == (midnight("2026-03-08"), 2)
    read(bridge, [Said(3, 4)])
    assert instances(bridge, 3, 4) == [row]


def test_exact_times_refine_days_without_a_revision(bridge: Bridge) -> None:
    read(bridge, [Said(3, 4, day="2026-03-08")], BY_DAY, zone=AUCKLAND)
    at = int(datetime(2026, 3, 8, 23, 30, tzinfo=AUCKLAND).timestamp())
    read(bridge, [Said(3, 4, at=at)], BY_SECOND)
    [row] = instances(bridge, 3, 4)
    assert (int(row["time_completed"].timestamp()), row["revision"]) == (at, 1)


@pytest.mark.parametrize("day", ["2026-04-05", "2026-09-27"])  # of 25 hours and of 23
@pytest.mark.parametrize("clock", ["00:00", "23:30", "23:59"])
def test_a_day_is_as_long_as_it_is_in_its_zone(bridge: Bridge, day: str, clock: str) -> None:
    pair = bridge.totara.pair_with(status=25)
    at = datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=AUCKLAND)
    bridge.totara.complete(*pair, at=int(at.timestamp()))
    bridge.extract()
    [exact] = instances(bridge, *pair)
    read(bridge, [Said(*pair, day=day)], BY_DAY, zone=AUCKLAND)
    assert instances(bridge, *pair) == [exact]


def test_another_day_is_another_completion_and_the_first_is_archived(bridge: Bridge) -> None:
    read(bridge, [Said(3, 4, day="2025-03-08")], BY_DAY)
    read(bridge, [Said(3, 4, day="2026-03-08")], BY_DAY)
    assert [(row["time_completed"], row["archived"], row["ended"]) for row in instances(bridge, 3, 4)] == [
        (midnight("2025-03-08"), True, False), (midnight("2026-03-08"), False, False),
    ]  # fmt: skip
    assert items(bridge, 3, 4) == 1, "the first read is the baseline"
    read(bridge, [Said(3, 4, day="2025-03-08")], BY_DAY)
    assert [(row["archived"], row["ended"]) for row in instances(bridge, 3, 4)] == [(False, False), (True, False)]
    assert items(bridge, 3, 4) == 1, "a report of an earlier day makes nothing new"


def test_a_source_that_says_yes_or_no_finds_a_second_completion(bridge: Bridge) -> None:
    read(bridge, [Said(3, 4)])
    read(bridge, [Said(3, 4, status="not_started")])
    [row] = instances(bridge, 3, 4)
    assert (row["archived"], row["ended"]) == (True, False), "who knows no history takes nothing for lost"
    read(bridge, [Said(3, 4)])
    assert [row["archived"] for row in instances(bridge, 3, 4)] == [True, False]
    assert items(bridge, 3, 4) == 1


@pytest.mark.parametrize(("name", "sees"), [("web", [True, False, True]), ("day", ["2024-01-31", None, "2025-01-31"])])
def test_a_database_finds_its_history_in_what_another_source_archived(
    bridge: Bridge, name: str, sees: list[Any]
) -> None:
    gives = KINDS[name]
    pair = bridge.totara.pair_with(status=25)
    user, course = pair
    at = [int(datetime(year, 1, 31, 12, tzinfo=UTC).timestamp()) for year in (2024, 2025)]
    for each in sees:
        day = each if isinstance(each, str) else None
        said = Said(user, course, "complete" if each else "not_started", day)
        read(bridge, [said], gives)
    bridge.totara.complete(user, course, at[0])
    bridge.totara.archive(user, course)
    bridge.totara.recreate(user, course)
    bridge.totara.complete(user, course, at[1])
    keys = "SELECT record_key FROM bridge.completion_instance WHERE user_id = :user AND course_id = :course ORDER BY id"
    before = bridge.rows(keys, user=user, course=course)
    bridge.extract()
    assert bridge.rows(keys, user=user, course=course) == before
    assert [
        (int(row["time_completed"].timestamp()), row["archived"], row["ended"])
        for row in instances(bridge, user, course)
    ] == [(at[0], True, False), (at[1], False, False)]
    assert not bridge.full_compare().changed


def test_what_a_whole_report_does_not_show_is_deleted_and_never_withdrawn(bridge: Bridge) -> None:
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, withdrawals=True)])
    read(bridge, [], BY_DAY, whole=True)
    read(bridge, [Said(3, 4, day="2025-03-08"), Said(5, 4, day="2025-03-08")], BY_DAY, whole=True)
    assert (items(bridge, 3, 4), items(bridge, 5, 4)) == (1, 1)
    read(bridge, [Said(5, 4, day="2025-03-08")], BY_DAY, whole=True)
    assert staged(bridge, 3, 4)["deleted_at"] is not None
    [row] = instances(bridge, 3, 4)
    assert (row["archived"], row["ended"]) == (True, False)
    assert bridge.states() == {"queued": 2}


def test_what_a_part_of_a_report_does_not_show_stays(bridge: Bridge) -> None:
    read(bridge, [Said(3, 4, day="2025-03-08"), Said(5, 4, day="2025-03-08")], BY_DAY)
    read(bridge, [Said(5, 4, day="2025-03-08")], BY_DAY)
    assert staged(bridge, 3, 4)["deleted_at"] is None
    assert [row["archived"] for row in instances(bridge, 3, 4)] == [False]


def test_a_row_of_which_nothing_is_understood_deletes_nothing(bridge: Bridge) -> None:
    read(bridge, [Said(3, 4, day="2025-03-08"), Said(5, 4, day="2025-03-08")], BY_DAY, whole=True)
    bad = [("report.csv", 7, 0, 0, "its user_id is no number")]
    done = read(bridge, [Said(5, 4, day="2025-03-08")], BY_DAY, whole=True, bad=bad)
    assert done.set_aside == 1
    assert staged(bridge, 3, 4)["deleted_at"] is None
    assert bridge.rows("SELECT feed, row_id, user_id, reason FROM bridge.set_aside") == [
        {"feed": "report.csv", "row_id": 7, "user_id": 0, "reason": "its user_id is no number"}
    ]


def test_a_row_that_was_not_understood_deletes_not_its_own_pair(bridge: Bridge) -> None:
    both = [Said(3, 4, day="2025-03-08"), Said(5, 4, day="2025-03-08"), Said(7, 4, day="2025-03-08")]
    read(bridge, both, BY_DAY, whole=True)
    bad = [("report.csv", 7, 3, 4, "its status is unknown")]
    read(bridge, both[1:2], BY_DAY, whole=True, bad=bad)
    assert [staged(bridge, user, 4)["deleted_at"] is None for user in (3, 5, 7)] == [True, True, False]


def test_of_two_rows_of_a_learner_and_a_course_the_later_counts(bridge: Bridge) -> None:
    said = [Said(3, 4, day="2025-03-08"), Said(3, 4, day="2025-03-09"), Said(5, 4), Said(5, 4)]
    done = read(bridge, said, BY_DAY)
    assert done.set_aside == 1
    assert staged(bridge, 3, 4)["time_completed"] == midnight("2025-03-09")
    [aside] = bridge.rows("SELECT feed, row_id, user_id, reason FROM bridge.set_aside")
    assert aside == {
        "feed": "completion", "row_id": 2, "user_id": 3,
        "reason": "row 3, which comes later, says something else of this learner and course",
    }  # fmt: skip


def test_what_a_source_does_not_say_of_a_learner_is_as_another_said_it(bridge: Bridge) -> None:
    bridge.extract()
    user, course = bridge.totara.pair_with(status=50)
    known = bridge.rows("SELECT * FROM bridge.learner WHERE user_id = :user", user=user)
    read(bridge, [Said(user, course)])
    assert bridge.rows("SELECT * FROM bridge.learner WHERE user_id = :user", user=user) == known
    read(bridge, [Said(user, course, username="renamed")])
    [now] = bridge.rows("SELECT * FROM bridge.learner WHERE user_id = :user", user=user)
    assert (now["username"], now["email"]) == ("renamed", known[0]["email"])
    read(bridge, [Said(9_999, course, username="new")])
    [new] = bridge.rows("SELECT username, email, id_number FROM bridge.learner WHERE user_id = 9999")
    assert new == {"username": "new", "email": "", "id_number": ""}


def test_what_is_new_to_a_source_without_dates_is_not_taken_for_past(bridge: Bridge) -> None:
    bridge.extract()
    user, course = bridge.totara.pair_with(status=25)
    done = read(bridge, [Said(user, course)])
    assert (done.queued, done.held) == (0, 1), "the built-in template requires a date"
    assert staged(bridge, user, course)["progress"] == 100


def test_a_past_that_a_report_shows_first_is_not_queued(bridge: Bridge) -> None:
    bridge.extract()
    pairs = [bridge.totara.pair_with(status=25, nth=n) for n in range(2)]
    today = f"{bridge.now:%Y-%m-%d}"
    said = [Said(*pairs[0], day="2020-01-31"), Said(*pairs[1], day=today)]
    source = ToldSource(said, BY_SECOND, SourceKind.REPORT_QUERY)
    later = int(bridge.now.timestamp()) + 3600
    source.said = [Said(*pairs[0], at=1_580_000_000), Said(*pairs[1], at=later)]
    done = extract_site(bridge.staging, source, bridge.plan, now=bridge.now)
    assert (done.instances.new, done.queued) == (2, 1)
