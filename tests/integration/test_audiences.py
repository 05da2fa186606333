"""Who is in the audiences that routes name is staged, kept up, and read no more than needed."""

import logging
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, Bridge
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import Route
from totara_bridge.totara.query import ReadQuery

MEMBERS = (3, 4, 5)


def name(bridge: Bridge, *audiences: str) -> None:
    """Let the destination's route name these audiences."""
    route = Route(audiences=audiences) if audiences else Route()
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, route=route)])


def members(bridge: Bridge, audience: str = "staff") -> set[int]:
    """Who is in an audience, as staged."""
    rows = bridge.rows("SELECT user_id FROM bridge.audience_member WHERE audience = :audience", audience=audience)
    return {row["user_id"] for row in rows}


def complete_a_course(bridge: Bridge, user: int) -> None:
    """The user enrols in a new course and completes it."""
    course = bridge.totara.new_course()
    bridge.totara.enrol(user, course)
    bridge.totara.complete(user, course)


@pytest.fixture
def staff(bridge: Bridge) -> int:
    """An audience that the route names, read by the first extract; beside it one that nobody names."""
    audience = bridge.totara.new_audience("staff", MEMBERS)
    bridge.totara.new_audience("others", MEMBERS)
    name(bridge, "staff")
    bridge.extract()
    bridge.later(minutes=1)
    return audience


def test_only_the_audiences_that_a_route_names_are_staged(bridge: Bridge, staff: int) -> None:
    assert (members(bridge), members(bridge, "others")) == (set(MEMBERS), set())


def test_who_joined_or_left_is_known_when_he_completes(bridge: Bridge, staff: int) -> None:
    bridge.totara.join_audience(6, staff)
    bridge.totara.leave_audience(3, staff)
    for user in (3, 4, 6, 7):
        complete_a_course(bridge, user)
    assert bridge.extract().queued == 2
    assert members(bridge) == {4, 5, 6}
    queued = bridge.rows(
        "SELECT user_id FROM bridge.completion_instance i JOIN bridge.export_queue q ON q.instance_id = i.id ORDER BY 1"
    )
    assert [row["user_id"] for row in queued] == [4, 6]


def test_an_incremental_run_reads_the_members_among_its_learners_only(bridge: Bridge, staff: int) -> None:
    bridge.totara.join_audience(6, staff)
    bridge.totara.leave_audience(3, staff)
    complete_a_course(bridge, 4)
    assert not bridge.extract().full_compare
    assert members(bridge) == set(MEMBERS), "nothing in the change log tells of an audience"
    bridge.full_compare()
    assert members(bridge) == {4, 5, 6}


def test_a_newly_named_audience_is_read_whole_by_the_next_extract(bridge: Bridge, staff: int) -> None:
    bridge.totara.new_audience("new", [8, 9])
    bridge.totara.join_audience(6, staff)
    name(bridge, "staff", "new")
    assert not bridge.extract().full_compare
    assert members(bridge, "new") == {8, 9}
    assert members(bridge) == set(MEMBERS), "the known one is not read whole again"
    complete_a_course(bridge, 9)
    assert bridge.extract().queued == 1


def test_an_audience_that_gets_its_first_members_is_read_whole(bridge: Bridge) -> None:
    empty = bridge.totara.new_audience("staff")
    name(bridge, "staff")
    bridge.extract()
    bridge.later(minutes=1)
    for user in MEMBERS:
        bridge.totara.join_audience(user, empty)
    bridge.extract()
    assert members(bridge) == set(MEMBERS)


def test_an_audience_that_is_named_no_more_is_forgotten_and_read_whole_when_named_again(
    bridge: Bridge, staff: int
) -> None:
    name(bridge)
    bridge.extract()
    assert members(bridge) == set()
    bridge.totara.join_audience(6, staff)
    bridge.totara.leave_audience(3, staff)
    name(bridge, "staff")
    bridge.extract()
    assert members(bridge) == {4, 5, 6}


def test_an_audience_that_totara_has_not_is_warned_of_and_nobody_is_in_it(
    bridge: Bridge, staff: int, caplog: pytest.LogCaptureFixture
) -> None:
    name(bridge, "staf")
    with caplog.at_level(logging.WARNING, logger="totara_bridge"):
        complete_a_course(bridge, 4)
        assert bridge.extract().queued == 0
    [warning] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.startswith("The route of a destination names the audience staf, which the Totara of site sbx does ")
    caplog.clear()
    bridge.totara.new_audience("staf", MEMBERS)
    bridge.extract()
    assert members(bridge, "staf") == set(MEMBERS)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_audience_that_is_deleted_in_totara_has_no_members_any_more(bridge: Bridge, staff: int) -> None:
    with bridge.totara.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM ttr_cohort WHERE idnumber = 'staff'")
    bridge.extract()
    assert members(bridge) == set()


def test_two_audiences_with_one_id_number_are_one(bridge: Bridge, staff: int) -> None:
    bridge.totara.new_audience("staff", [5, 6])
    bridge.full_compare()
    assert members(bridge) == {*MEMBERS, 6}


@pytest.mark.parametrize("audience", ["100%", "100%%", "a%s", "50\\x", "it's", ":all"])
def test_an_id_number_is_read_to_the_letter(bridge: Bridge, audience: str) -> None:
    bridge.totara.new_audience(audience, MEMBERS)
    name(bridge, audience)
    bridge.extract()
    assert members(bridge, audience) == set(MEMBERS)
    user, _ = bridge.totara.pair_with(status=50)
    bridge.totara.new_audience(f"{audience}!", [user])
    [staged] = bridge.rows("SELECT count(*) AS completions FROM bridge.completion WHERE user_id = :user", user=user)
    with bridge.totara.engine.begin() as connection:
        connection.execute(text("UPDATE ttr_user SET idnumber = :it WHERE id = :id"), {"it": audience, "id": user})
    for query in (ReadQuery(audience_idnumbers=(f"{audience}!",)), ReadQuery(learner_idnumbers=(audience,))):
        assert bridge.full_compare(query=query).read == staged["completions"]


def test_two_destinations_share_an_audience_of_both_routes(bridge: Bridge, staff: int) -> None:
    bridge.totara.new_audience("board", [9])
    routes = Route(audiences=("staff",)), Route(audiences=("board", "staff")), Route(audiences=("board",))
    bridge.plan = replace(bridge.plan, destinations=[Wants(f"to_{n}", route=each) for n, each in enumerate(routes)])
    bridge.extract()
    complete_a_course(bridge, 9)
    bridge.extract()
    assert [row["destination"] for row in bridge.rows("SELECT destination FROM bridge.export_queue ORDER BY 1")] == [
        "to_1",
        "to_2",
    ]


def test_the_category_path_follows_the_course(bridge: Bridge) -> None:
    bridge.extract()
    above = bridge.totara.new_category()
    below = bridge.totara.new_category(parent=above)
    course = bridge.totara.courses()[0]
    bridge.totara.move_course(course, category=below)
    bridge.full_compare()
    [row] = bridge.rows("SELECT category_id, category_path FROM bridge.course WHERE course_id = :id", id=course)
    assert row == {"category_id": below, "category_path": f"/{above}/{below}"}
    paths = bridge.rows("SELECT DISTINCT category_path FROM bridge.course WHERE course_id <> :id", id=course)
    assert paths == [{"category_path": "/1"}]
