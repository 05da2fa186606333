"""Each criterion of a route decides the same in enqueue, in a backfill and in its count."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from sqlalchemy import create_engine

from tests.bridge import Bridge
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import EVERYTHING, Route
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging.migrate import migrate

ABOVE, BELOW = 5, 6  #: the ids of the two categories that are made here
STAFF = range(3, 60)

#: Of each criterion: routes that the completion is on, and routes that it is off.
CASES: dict[str, tuple[list[Route], list[Route]]] = {
    "sites": ([Route(sites=("sbx",)), Route(sites=("other", "sbx"))], [Route(sites=("other",))]),
    "categories": (
        [Route(categories=(ABOVE,)), Route(categories=(BELOW,)), Route(categories=(1, ABOVE))],
        [Route(categories=(1,)), Route(categories=(2, 3, 4, 56))],
    ),
    "courses": (
        [Route(courses=("safety-100%_?",)), Route(courses=("X", "SÉC*")), Route(courses=("*",))],
        [Route(courses=("SAFETY_100*",)), Route(courses=("SAFETY-100",)), Route(courses=("%",))],
    ),
    "not_courses": (
        [Route(not_courses=("SAFETY_100*", "C0*")), Route(not_courses=("???",))],
        [Route(not_courses=("*-100%*",)), Route(not_courses=("X", "séc-*"))],
    ),
    "audiences": (
        [Route(audiences=("staff",)), Route(audiences=("empty", "staff"))],
        [Route(audiences=("empty",)), Route(audiences=("Staff",))],
    ),
    "learners": (
        [Route(learners=("JO.DOE",)), Route(learners=("*@example.com",)), Route(learners=("nobody", "EMP-7?"))],
        [Route(learners=("*@example.org",)), Route(learners=("jo_doe",))],
    ),
    "not_learners": (
        [Route(not_learners=("test*", "*@example.org"))],
        [Route(not_learners=("jo*",)), Route(not_learners=("x", "JO@*")), Route(not_learners=("emp-7*",))],
    ),
    "statuses": (
        [Route(statuses=("complete",)), Route(statuses=("complete_rpl", "complete"))],
        [Route(statuses=("complete_rpl",))],
    ),
    "all together": (
        [Route(sites=("sbx",), categories=(ABOVE,), audiences=("staff",), not_learners=("test*",))],
        [Route(sites=("sbx",), categories=(ABOVE,), audiences=("staff",), not_learners=("jo*",))],
    ),
}
ROUTES = [(name, on, route) for name, both in CASES.items() for on, routes in zip((True, False), both, strict=True)
          for route in routes]  # fmt: skip


@dataclass(frozen=True)
class Routed:
    """A bridge with a destination for each route, after one completion that each decided on."""

    bridge: Bridge
    pair: tuple[int, int]

    def queued(self, destination: str) -> list[tuple[int, int]]:
        """The pairs in the queue of a destination."""
        rows = self.bridge.rows(
            """SELECT i.user_id, i.course_id FROM bridge.export_queue q
               JOIN bridge.completion_instance i ON i.id = q.instance_id
               WHERE q.destination = :destination ORDER BY i.id""",
            destination=destination,
        )
        return [(row["user_id"], row["course_id"]) for row in rows]


@pytest.fixture(scope="module")
def routed(new_database: Callable[[str], str]) -> Iterator[Routed]:
    """All destinations have their baseline; then one learner completes one course."""
    staging, totara = (
        create_engine(new_database(word).replace("postgresql://", "postgresql+psycopg://", 1))
        for word in ("routes_staging", "routes_totara")
    )
    migrate(staging.url.render_as_string(hide_password=False))
    schema.create(totara)
    seed(totara)
    bridge = Bridge(staging, totara)
    assert bridge.totara.new_category() == ABOVE
    assert bridge.totara.new_category(parent=ABOVE) == BELOW
    user = bridge.totara.new_user(username="jo.doe", email="jo@example.com", idnumber="EMP-77")
    course = bridge.totara.new_course(category=BELOW, shortname="Safety-100%_A", idnumber="séc-1")
    bridge.totara.new_audience("staff", [user, *STAFF])
    bridge.totara.new_audience("empty")
    bridge.totara.enrol(user, course)
    destinations = [Wants(code(number), route=route) for number, (_, _, route) in enumerate(ROUTES)]
    bridge.plan = replace(bridge.plan, destinations=[*destinations, Wants("all")])
    bridge.extract()
    bridge.later(minutes=1)
    bridge.totara.complete(user, course)
    bridge.extract()
    yield Routed(bridge, (user, course))
    staging.dispose()
    totara.dispose()


def code(number: int) -> str:
    """The destination with this route."""
    return f"to_{number}"


@pytest.mark.parametrize("number", range(len(ROUTES)), ids=[f"{name}: {route}" for name, _, route in ROUTES])
def test_a_route_decides_what_is_queued(routed: Routed, number: int) -> None:
    _, on, _ = ROUTES[number]
    assert routed.queued("all") == [routed.pair]
    assert routed.queued(code(number)) == ([routed.pair] if on else [])


@pytest.mark.parametrize("number", range(len(ROUTES)), ids=[f"{name}: {route}" for name, _, route in ROUTES])
def test_a_backfill_queues_what_it_counts_and_what_is_on_the_route(routed: Routed, number: int) -> None:
    _, on, route = ROUTES[number]
    expected = [pair for pair in completed(routed.bridge) if fits(routed.bridge, route, pair)]
    found = routed.bridge.backfill(dry_run=True, destination=code(number)).found
    assert found.lacking + found.queued == len(expected)
    assert routed.bridge.backfill(destination=code(number)).queued == found.lacking
    assert sorted(routed.queued(code(number))) == sorted(pair for pair, _ in expected)
    assert (routed.pair in routed.queued(code(number))) is on


@pytest.mark.parametrize("edited", [False, True])
def test_what_was_staged_off_the_route_is_queued_by_a_backfill_or_an_edit(bridge: Bridge, edited: bool) -> None:
    pair = bridge.totara.pair_with(status=25)
    narrow, wide = (Wants("oracle", route=route) for route in (Route(statuses=("complete_rpl",)), EVERYTHING))
    bridge.plan = replace(bridge.plan, destinations=[narrow])
    bridge.extract()
    begun = bridge.now.date()  # midnight may come while it is staged
    bridge.later(minutes=1)
    bridge.totara.complete(*pair)
    assert bridge.extract().queued == 0
    bridge.plan = replace(bridge.plan, destinations=[wide])
    assert bridge.full_compare().queued == 0
    if edited:
        bridge.later(minutes=1)
        bridge.totara.edit_date(*pair, at=1_600_000_000)
        assert bridge.extract().queued == 1
    else:
        assert bridge.backfill(since=str(begun)).queued == 1


def completed(bridge: Bridge) -> Sequence[tuple[tuple[int, int], str]]:
    """Pair and status of what Totara has as completed, learners that were deleted before apart."""
    with bridge.totara.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            """SELECT c.userid, c.course, CASE c.status WHEN 75 THEN 'complete_rpl' ELSE 'complete' END
               FROM ttr_course_completions c JOIN ttr_user u ON u.id = c.userid
               WHERE c.timecompleted > 0 AND u.deleted = 0
               UNION ALL SELECT h.userid, h.courseid, 'complete' FROM ttr_course_completion_history h"""
        )
        return [((row[0], row[1]), row[2]) for row in rows]


def fits(bridge: Bridge, route: Route, found: tuple[tuple[int, int], str]) -> bool:
    """What the criteria mean, said once more without SQL."""
    (user_id, course_id), status = found
    user, course = rows_of(bridge, "user")[user_id], rows_of(bridge, "course")[course_id]
    path = {course["category"], ABOVE} if course["category"] == BELOW else {course["category"]}
    named, called = (user["username"], user["email"], user["idnumber"]), (course["shortname"], course["idnumber"])
    member = {"staff"} if user_id in STAFF or user["username"] == "jo.doe" else set()
    return all(
        (
            not route.sites or "sbx" in route.sites,
            not route.categories or path & set(route.categories),
            not route.courses or any_fits(route.courses, called),
            not any_fits(route.not_courses, called),
            not route.audiences or member & set(route.audiences),
            not route.learners or any_fits(route.learners, named),
            not any_fits(route.not_learners, named),
            not route.statuses or status in route.statuses,
        )
    )


def any_fits(patterns: Sequence[str], values: Sequence[str]) -> bool:
    """Whether any pattern is any value."""
    expressions = [re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in patterns]
    return any(re.fullmatch(each, value, re.IGNORECASE | re.DOTALL) for each in expressions for value in values)


@cache
def rows_of(bridge: Bridge, table: str) -> dict[int, Any]:
    """The rows of a table of Totara's, by id."""
    with bridge.totara.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"SELECT * FROM ttr_{table}").mappings()
        return {row["id"]: dict(row) for row in rows}
