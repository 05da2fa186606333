"""Whatever is asked of the feed between whatever changes, a page is what lies beyond its cursor, in order.

The server is another one after each restart: a cursor knows all that it needs.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, text
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.staging_roles import PULL, as_role
from tests.web.merging import Said, merge
from tests.web.puller import Puller
from tests.web.serving import serving
from totara_bridge import erase
from totara_bridge.completion import Status
from totara_bridge.staging import setting, site
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.service import Service

Row = dict[str, Any]

SITES, LEARNERS, COURSES = ("north", "south"), (1, 2, 3), (1, 2)
SITE = st.sampled_from(SITES)
WHICH = st.integers(0, 3)
SAID: st.SearchStrategy[Said] = st.one_of(
    st.none(),
    st.tuples(st.just(Status.IN_PROGRESS), st.none()),
    st.tuples(st.just(Status.COMPLETE), st.sampled_from([1_600_000_000, 1_700_000_000])),
)
CHANGES = st.dictionaries(st.tuples(st.sampled_from(LEARNERS), st.sampled_from(COURSES)), SAID, min_size=1)

#: What can be asked for, and which rows it takes.
FILTERS: dict[tuple[str, str], Callable[[Row], bool]] = {
    ("site", "north"): lambda row: row["site"] == "north",
    ("userid", "2"): lambda row: row["user_id"] == 2,
    ("courseid", "1"): lambda row: row["course_id"] == 1,
    ("status", "complete"): lambda row: row["status"] == "complete",
    ("status", "in_progress,complete_rpl"): lambda row: row["status"] == "in_progress",
    ("completed_since", "2022-01-01"): lambda row: row["time_completed"] and row["time_completed"].year >= 2022,
    ("completed_until", "2022-01-01"): lambda row: row["time_completed"] and row["time_completed"].year < 2022,
    ("acknowledged", "false"): lambda row: not row["acknowledged"],
    ("acknowledged", "true"): lambda row: row["acknowledged"],
}
#: The filters by what an erasure blanks.
LOST = ("status", "completed_since", "completed_until")

ASKED = st.lists(st.sampled_from(sorted(FILTERS)), max_size=3, unique_by=lambda each: each[0]).map(dict)


@dataclass
class Follower:
    """Somebody who follows what they asked for."""

    asked: dict[str, str]
    with_deleted: bool  #: from the beginning; with a cursor always
    cursor: str | None = None
    after: int = 0  #: all changes up to this one are known to them, or are not for them
    seen: dict[str, int] = field(default_factory=dict)

    def wants(self, row: Row) -> bool:
        """Whether the row is for them."""
        there = self.with_deleted or self.cursor is not None or row["deleted_at"] is None
        # of who is erased nobody knows any more what it was: whoever follows is told
        erased = self.cursor is not None and row["row_id"] == 0
        return there and all(FILTERS[each](row) or (erased and each[0] in LOST) for each in self.asked.items())


class Feed(RuleBasedStateMachine):
    """Rows are merged, deleted, erased and acknowledged; followers ask for a page when they like."""

    staging: Engine
    servers: ClassVar[list[Puller]]

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime.now(UTC)
        self.followers: list[Follower] = []
        self.asks = self.servers[0]

    @initialize()
    def begin(self) -> None:
        with self.staging.begin() as transaction:
            transaction.execute(_EMPTY)

    @rule(site=SITE, said=CHANGES, seconds=st.integers(-2, 2))
    def extract(self, site: str, said: dict[tuple[int, int], Said], seconds: int) -> None:
        merge(self.staging, site=site, said=said, now=self.now + timedelta(seconds=seconds))

    @rule(site=SITE, learner=st.sampled_from(LEARNERS))
    def forget(self, site: str, learner: int) -> None:
        erase.erase(self.staging, site=site, user_id=learner, by="ann", dry_run=False, now=self.now)

    @rule(asked=ASKED, with_deleted=st.booleans())
    def begin_to_follow(self, asked: dict[str, str], with_deleted: bool) -> None:
        self.followers = [*self.followers[-3:], Follower(asked, with_deleted)]

    @rule()
    def restart(self) -> None:
        self.servers.reverse()
        self.asks = self.servers[0]

    @precondition(lambda self: self.followers)
    @rule(which=WHICH, limit=st.sampled_from([None, 1, 2, 5]))
    def ask(self, which: int, limit: int | None) -> None:
        follower = self.followers[which % len(self.followers)]
        asked: dict[str, Any] = {"cursor": follower.cursor} if follower.cursor else dict(follower.asked)
        if follower.with_deleted and not follower.cursor:
            asked["since"] = "1970-01-01"
        page = self.asks.fetch(limit=limit, **asked)
        rows = self.rows()
        beyond = [row for row in rows if row["change_seq"] > follower.after and follower.wants(row)]
        expected = [(row["id"], row["change_seq"], row["deleted_at"] is not None) for row in beyond]
        assert [(item["id"], item["version"], item["deleted"]) for item in page["items"]] == expected[:limit]
        assert page["more"] or len(page["items"]) == len(expected)
        for item in page["items"]:
            assert item["version"] > follower.seen.get(item["id"], 0)
            follower.seen[item["id"]] = item["version"]
        newest = max((row["change_seq"] for row in rows), default=0)
        follower.after = page["items"][-1]["version"] if page["more"] and page["items"] else newest
        follower.cursor = page["cursor"]

    @precondition(lambda self: any(each.seen for each in self.followers))
    @rule(which=WHICH, versioned=st.booleans())
    def acknowledge(self, which: int, versioned: bool) -> None:
        known = [each for each in self.followers if each.seen]
        said = [
            {"id": name, "status": "processed"} | ({"version": version} if versioned else {})
            for name, version in known[which % len(known)].seen.items()
        ]
        assert self.asks.post("/acknowledgements", said).status_code == 200

    @invariant()
    def later_changes_are_of_a_later_time(self) -> None:
        times = [row["changed_at"] for row in self.rows()]
        assert times == sorted(times)

    def rows(self) -> list[Row]:
        with self.staging.connect() as connection:
            return [dict(row) for row in connection.execute(_ROWS).mappings()]


@pytest.fixture
def servers(staging: Engine, token: str) -> Iterator[list[Puller]]:
    """Two servers over one database, each with somebody who asks it."""
    with staging.begin() as transaction:
        for code in SITES:
            site.recognise(transaction, site=code, connection=code, fingerprint=1, now=datetime.now(UTC))
        setting.write(transaction, name="pull_per_minute", value=10_000_000, by="ann", now=datetime.now(UTC))
    with ExitStack() as running:
        asking = []
        for _ in range(2):
            app = Starlette(routes=[Mount(PREFIX, pull_app(Service(as_role(staging, PULL), threads=4)))])
            asking.append(running.enter_context(Puller(running.enter_context(serving(app)) + PREFIX, token)))
        yield asking


def test_a_page_is_what_lies_beyond_its_cursor(staging: Engine, servers: list[Puller]) -> None:
    machine = type("OverThese", (Feed,), {"staging": staging, "servers": servers})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


_EMPTY = text("TRUNCATE bridge.completion, bridge.erased_learner, bridge.acknowledgement, bridge.audit_log")

_ROWS = text(
    """
    SELECT c.*, c.site || '-' || c.user_id || '-' || c.course_id AS id,
           EXISTS (SELECT FROM bridge.acknowledgement a
                   WHERE a.caller = 'warehouse' AND a.change_seq = c.change_seq
                     AND (a.site, a.user_id, a.course_id) = (c.site, c.user_id, c.course_id)) AS acknowledged
    FROM bridge.completion c ORDER BY c.change_seq
    """
)
