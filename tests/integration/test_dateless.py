"""Completions whose date Totara does not say: instances like any other, found again whatever happens to them."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text

from tests.bridge import Bridge
from totara_bridge.extract.run import Extracted
from totara_bridge.staging.migrate import migrate
from totara_bridge.staging.revision import alembic_config
from totara_bridge.totara.query import ReadQuery

pytestmark = pytest.mark.staging("has_read")

Pair = tuple[int, int]
MOVED = 1_600_000_000


@pytest.fixture
def extracted(bridge: Bridge) -> Bridge:
    """A bridge that knows its Totara."""
    return bridge


@pytest.fixture
def dateless(extracted: Bridge) -> Pair:
    """A completion without a date that was just found."""
    pair = extracted.totara.pair_with(status=25)
    extracted.totara.complete_without_date(*pair)
    news = extracted.extract()
    assert (news.instances.new, news.queued + news.held) == (1, 1)
    extracted.later(minutes=1)
    return pair


def assert_nothing_changed(extracted: Extracted) -> None:
    assert not extracted.changed, extracted.counts()


def the_instance(bridge: Bridge, pair: Pair) -> dict[str, Any]:
    [instance] = bridge.instances(pair)
    return instance


def the_item(bridge: Bridge) -> dict[str, Any]:
    [item] = bridge.rows("SELECT * FROM bridge.export_queue")
    return item


def totara(bridge: Bridge, statement: str, **values: Any) -> None:
    """Something that happens in Totara's database itself."""
    with bridge.totara.engine.begin() as connection:
        connection.execute(text(statement), values)


@pytest.mark.parametrize(("note", "status"), [(None, "complete"), ("Prior certificate", "complete_rpl")])
def test_it_is_an_instance_without_a_date(extracted: Bridge, note: str | None, status: str) -> None:
    pair = extracted.totara.pair_with(status=25)
    extracted.totara.complete_without_date(*pair, note)
    news = extracted.extract()
    assert (news.instances.new, news.queued + news.held) == (1, 1)
    instance = the_instance(extracted, pair)
    assert (instance["time_completed"], instance["first_time_completed"]) == (None, None)
    assert (instance["status"], instance["revision"], instance["ordinal"]) == (status, 1, 0)
    assert '"timecompleted":null' in the_item(extracted)["payload"]
    assert_nothing_changed(extracted.extract())
    assert_nothing_changed(extracted.full_compare())


@pytest.mark.parametrize("code", [10, 25])
def test_a_date_makes_a_row_complete_whatever_its_code_says(extracted: Bridge, code: int) -> None:
    pair = extracted.totara.pair_with(status=50)
    before = the_instance(extracted, pair)
    user, course = pair
    totara(
        extracted,
        "UPDATE ttr_course_completions SET status = :code WHERE userid = :user AND course = :course",
        code=code,
        user=user,
        course=course,
    )
    assert_nothing_changed(extracted.full_compare())
    assert the_instance(extracted, pair) == before


def test_a_date_that_appears_is_the_next_revision(extracted: Bridge, dateless: Pair) -> None:
    before = the_instance(extracted, dateless)
    extracted.totara.edit_date(*dateless, at=MOVED)
    news = extracted.extract()
    assert (news.instances.revised, news.instances.new, news.replaced) == (1, 0, 1)
    after = the_instance(extracted, dateless)
    assert (after["revision"], after["record_key"]) == (2, before["record_key"])
    assert (int(after["time_completed"].timestamp()), after["first_time_completed"]) == (MOVED, None)
    item = the_item(extracted)
    assert (item["state"], item["revision"]) == ("queued", 2)
    assert '"timecompleted":"2020-09-13T12:26:40Z"' in item["payload"]
    assert_nothing_changed(extracted.full_compare())


def test_a_date_that_disappears_from_a_complete_row_is_no_loss(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=50)
    before = the_instance(extracted, pair)
    extracted.totara.complete_without_date(*pair)
    news = extracted.extract()
    assert (news.instances.revised, news.instances.lost, news.instances.new) == (1, 0, 0)
    after = the_instance(extracted, pair)
    assert (after["record_key"], after["revision"], after["ended_at"]) == (before["record_key"], 2, None)
    assert (after["time_completed"], after["first_time_completed"]) == (None, before["time_completed"])
    assert_nothing_changed(extracted.full_compare())


@pytest.mark.parametrize("loss", ["delete_completion", "regress"])
def test_one_that_is_complete_no_more_is_lost_and_its_item_cancelled(
    extracted: Bridge, dateless: Pair, loss: str
) -> None:
    getattr(extracted.totara, loss)(*dateless)
    news = extracted.extract()
    assert (news.instances.lost, news.cancelled, news.reported) == (1, 1, 0)
    assert the_instance(extracted, dateless)["ended_at"] is not None
    assert_nothing_changed(extracted.full_compare())


@pytest.mark.parametrize("at", [None, MOVED])
def test_completed_again_in_the_same_row_it_is_the_next_revision(
    extracted: Bridge, dateless: Pair, at: int | None
) -> None:
    extracted.totara.regress(*dateless)
    extracted.extract()
    if at is None:
        extracted.totara.complete_without_date(*dateless)
    else:
        extracted.totara.complete(*dateless, at=at)
    assert extracted.extract().instances.revised == 1
    instance = the_instance(extracted, dateless)
    assert (instance["revision"], instance["ended_at"]) == (2, None)


def test_a_row_that_was_made_anew_is_the_same_instance(extracted: Bridge, dateless: Pair) -> None:
    before = the_instance(extracted, dateless)
    user, course = dateless
    anew = "UPDATE ttr_course_completions SET id = id + 100000 WHERE userid = :user AND course = :course"
    totara(extracted, anew, user=user, course=course)
    news = extracted.full_compare()
    assert (news.instances.revised, news.instances.lost, news.instances.new) == (0, 0, 0)
    assert the_instance(extracted, dateless) == before | {"row_id": before["row_id"] + 100_000}


def test_a_row_that_was_made_anew_is_the_same_whatever_is_imported_into_the_history(
    extracted: Bridge, dateless: Pair
) -> None:
    before = the_instance(extracted, dateless)
    user, course = dateless
    anew = "UPDATE ttr_course_completions SET id = id + 100000 WHERE userid = :user AND course = :course"
    past = "INSERT INTO ttr_course_completion_history (courseid, userid, timecompleted) VALUES (:course, :user, :at)"
    totara(extracted, anew, user=user, course=course)
    totara(extracted, past, user=user, course=course, at=MOVED)
    news = extracted.full_compare()
    assert (news.instances.new, news.instances.revised, news.instances.lost) == (1, 0, 0)
    same, imported = extracted.instances(dateless)
    assert same == before | {"row_id": before["row_id"] + 100_000}
    assert int(imported["time_completed"].timestamp()) == MOVED


def test_a_row_that_was_made_anew_with_a_date_is_another_completion(extracted: Bridge, dateless: Pair) -> None:
    extracted.totara.delete_completion(*dateless)
    extracted.totara.recreate(*dateless)
    extracted.totara.complete(*dateless, at=MOVED)
    news = extracted.extract()
    assert (news.instances.lost, news.instances.new) == (1, 1)
    old, new = extracted.instances(dateless)
    assert old["record_key"] != new["record_key"]


def test_lost_long_ago_it_is_no_more_the_one_that_a_new_row_says(extracted: Bridge, dateless: Pair) -> None:
    extracted.totara.delete_completion(*dateless)
    assert extracted.extract().instances.lost == 1
    extracted.later(days=300)
    extracted.totara.recreate(*dateless)
    extracted.totara.complete_without_date(*dateless)
    news = extracted.extract()
    assert (news.instances.new, news.instances.revised, news.queued + news.held) == (1, 0, 1)
    lost, new = extracted.instances(dateless)
    assert (lost["ended_at"] is None, new["ended_at"], new["ordinal"]) == (False, None, 1)
    assert_nothing_changed(extracted.full_compare())


def test_lost_long_ago_it_is_no_more_the_one_that_is_archived(extracted: Bridge, dateless: Pair) -> None:
    extracted.totara.delete_completion(*dateless)
    extracted.extract()
    extracted.totara.recreate(*dateless)
    extracted.totara.complete_without_date(*dateless)
    extracted.totara.archive(*dateless)
    news = extracted.extract()
    assert (news.instances.new, news.instances.revised, news.queued + news.held) == (1, 0, 1)


def test_an_archived_one_that_was_lost_and_is_back_is_the_same(extracted: Bridge, dateless: Pair) -> None:
    history = extracted.totara.archive(*dateless)
    extracted.extract()
    away = "UPDATE ttr_course_completion_history SET userid = userid + :by WHERE id = :id"
    totara(extracted, away, id=history, by=1_000_000)
    assert extracted.full_compare(confirm_deletions=True).instances.lost == 1
    totara(extracted, away, id=history, by=-1_000_000)
    assert extracted.full_compare().instances.revised == 1
    assert the_instance(extracted, dateless)["ended_at"] is None


def recertify(bridge: Bridge, pair: Pair, *, each: Callable[[], object]) -> None:
    """The learner is to do the course again, and does; ``each`` runs after each step."""
    for step in (bridge.totara.archive, bridge.totara.recreate, bridge.totara.complete_without_date):
        step(*pair)
        each()


@pytest.mark.parametrize("between", [True, False], ids=["an extract between", "all at once"])
def test_recertified_it_is_two_instances(extracted: Bridge, dateless: Pair, between: bool) -> None:
    first = the_instance(extracted, dateless)
    recertify(extracted, dateless, each=extracted.extract if between else lambda: None)
    extracted.extract()
    old, new = extracted.instances(dateless)
    assert (old["record_key"], old["revision"], old["ended_at"]) == (first["record_key"], 1, None)
    assert old["archived_at"] is not None
    assert (new["archived_at"], new["time_completed"], new["ordinal"]) == (None, None, 1)
    assert new["record_key"] != old["record_key"]
    assert sum(extracted.states().values()) == 2
    assert_nothing_changed(extracted.extract())
    assert_nothing_changed(extracted.full_compare())


def test_recertified_again_and_again_each_time_is_one_instance(extracted: Bridge, dateless: Pair) -> None:
    recertify(extracted, dateless, each=lambda: None)
    recertify(extracted, dateless, each=lambda: None)
    extracted.extract()
    found = extracted.instances(dateless)
    assert [each["ordinal"] for each in found] == [0, 1, 2]
    assert len({each["record_key"] for each in found}) == 3
    assert [each["archived_at"] is None for each in found].count(True) == 1
    assert_nothing_changed(extracted.full_compare())


def test_dated_and_archived_between_two_extracts_it_is_the_same(extracted: Bridge, dateless: Pair) -> None:
    extracted.totara.edit_date(*dateless, at=MOVED)
    extracted.totara.archive(*dateless)
    news = extracted.extract()
    assert (news.instances.revised, news.instances.lost, news.instances.new) == (1, 0, 0)
    instance = the_instance(extracted, dateless)
    assert int(instance["time_completed"].timestamp()) == MOVED
    assert instance["archived_at"] is not None


def test_archived_and_then_dated_it_is_the_same(extracted: Bridge, dateless: Pair) -> None:
    history = extracted.totara.archive(*dateless)
    assert extracted.extract().instances.archived == 1
    extracted.totara.edit_history_date(history, MOVED)
    assert extracted.extract().instances.revised == 1
    assert int(the_instance(extracted, dateless)["time_completed"].timestamp()) == MOVED


def test_an_archived_completion_that_loses_its_date_is_no_loss(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=50)
    history = extracted.totara.archive(*pair)
    extracted.extract()
    totara(extracted, "UPDATE ttr_course_completion_history SET timecompleted = NULL WHERE id = :id", id=history)
    news = extracted.full_compare()
    assert (news.instances.revised, news.instances.lost) == (1, 0)
    assert the_instance(extracted, pair)["time_completed"] is None


@pytest.mark.staging("empty")
def test_completions_first_seen_archived_are_instances_too(bridge: Bridge) -> None:
    pair = bridge.totara.pair_with(status=25)
    bridge.totara.complete_without_date(*pair)
    recertify(bridge, pair, each=lambda: None)
    bridge.totara.archive(*pair)
    assert bridge.extract().instances.new == 1004 + 2
    found = bridge.instances(pair)
    assert [each["ordinal"] for each in found] == [0, 1]
    assert {each["time_completed"] for each in found} == {None}
    assert_nothing_changed(bridge.full_compare())


def test_an_impossible_date_is_no_loss_of_one_without_a_date(extracted: Bridge, dateless: Pair) -> None:
    before = the_instance(extracted, dateless)
    extracted.totara.sql_update_without_log(*dateless, at=1_700_000_000_000)
    news = extracted.full_compare()
    assert (news.set_aside, news.instances.lost, news.instances.revised) == (1, 0, 0)
    assert the_instance(extracted, dateless) == before


def test_the_row_goes_before_the_date_where_both_lead_to_a_lost_one(extracted: Bridge) -> None:
    pair = user, course = extracted.totara.pair_with(status=25)
    past = "INSERT INTO ttr_course_completion_history (courseid, userid, timecompleted) VALUES (:course, :user, :at)"
    totara(extracted, past, user=user, course=course, at=MOVED)
    extracted.totara.complete(*pair)
    extracted.full_compare()
    totara(extracted, "DELETE FROM ttr_course_completion_history WHERE userid = :user", user=user)
    extracted.totara.regress(*pair)
    assert extracted.full_compare().instances.lost == 2
    extracted.totara.complete(*pair, at=MOVED)
    assert extracted.extract().instances.revised == 1
    [alive] = [each for each in extracted.instances(pair) if each["ended_at"] is None]
    assert alive["row_id"] is not None
    assert (alive["revision"], int(alive["time_completed"].timestamp())) == (2, MOVED)
    assert int(alive["first_time_completed"].timestamp()) != MOVED


def test_shown_by_a_wider_query_it_is_past_and_no_news_with_it_are(bridge: Bridge) -> None:
    narrow = bridge.totara.pair_with(status=50)
    others = [bridge.totara.pair_with(status=25, nth=nth) for nth in range(0, 300, 20)]
    dateless, news = [pair for pair in others if pair[1] != narrow[1]][:2]
    bridge.totara.complete_without_date(*dateless)
    bridge.extract(query=ReadQuery(course_ids=(narrow[1],)))
    bridge.later(minutes=1)
    bridge.totara.complete(*news, at=int(time.time()) + 60)  # clearly after the read
    assert bridge.extract().queued == 1
    assert bridge.rows("SELECT instance_id AS id FROM bridge.export_queue") == [
        {"id": the_instance(bridge, news)["id"]}
    ]
    assert the_instance(bridge, dateless)["time_completed"] is None


def test_shown_alone_by_a_wider_query_it_is_past_and_a_backfill_finds_it(bridge: Bridge) -> None:
    narrow = ReadQuery(course_ids=tuple(bridge.totara.courses()))
    pair = bridge.totara.learners()[0], bridge.totara.new_course(criteria=1)
    bridge.totara.enrol(*pair)
    bridge.totara.complete_without_date(*pair)
    bridge.extract(query=narrow)
    bridge.later(minutes=1)
    news = bridge.extract()
    assert (news.full_compare, news.instances.new, news.queued, news.held) == (True, 1, 0, 0)
    bridge.backfill(since=f"{bridge.now:%Y-%m-%d}")
    assert bridge.rows("SELECT instance_id AS id FROM bridge.export_queue") == [
        {"id": the_instance(bridge, pair)["id"]}
    ]


@pytest.mark.staging("empty")
def test_found_by_the_first_extract_after_the_upgrade_that_stages_them_they_are_past(bridge: Bridge) -> None:
    dateless, dated, news = [bridge.totara.pair_with(status=25, nth=nth) for nth in (0, 20, 40)]
    bridge.totara.complete_without_date(*dateless)
    bridge.extract()
    url = bridge.staging.url.render_as_string(hide_password=False)
    with bridge.staging.begin() as transaction:  # revision 0001 staged no such instance
        transaction.execute(text("DELETE FROM bridge.completion_instance WHERE time_completed IS NULL"))
    command.downgrade(alembic_config(url), "0001")
    migrate(url)
    bridge.later(minutes=1)
    bridge.totara.complete(*news, at=int(time.time()) + 60)  # clearly after the read
    found = bridge.extract()
    assert (found.full_compare, found.instances.new, found.queued, found.held) == (True, 2, 1, 0)
    assert bridge.rows("SELECT instance_id AS id FROM bridge.export_queue") == [
        {"id": the_instance(bridge, news)["id"]}
    ]
    bridge.later(minutes=1)
    bridge.totara.complete_without_date(*dated)
    later = bridge.extract()
    assert (later.full_compare, later.queued + later.held) == (False, 1)
