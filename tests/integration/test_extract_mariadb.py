"""The same Totara on MariaDB, with another table prefix, is extracted to the same rows."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text

from tests.bridge import DESTINATION, Bridge
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import Route
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.totara.query import ReadQuery

PREFIX = "mdl_"


@pytest.fixture(scope="session")
def mariadb_template(mariadb: URL) -> URL:
    """The captured rows in a database of their own."""
    admin = create_engine(mariadb, poolclass=NullPool)
    with admin.begin() as connection:
        connection.execute(text("CREATE DATABASE totara CHARACTER SET utf8mb4"))
    admin.dispose()
    return mariadb.set(database="totara")


@pytest.fixture
def totara_on_mariadb(mariadb_template: URL) -> Iterator[Engine]:
    """A sandbox Totara on MariaDB with the captured rows."""
    engine = create_engine(mariadb_template)
    schema.drop(engine, PREFIX)
    schema.create(engine, PREFIX)
    seed(engine, PREFIX)
    yield engine
    engine.dispose()


STAGED = """
    SELECT user_id, course_id, row_id, status, progress, grade, rpl, time_enrolled, time_started, time_completed
    FROM bridge.completion ORDER BY user_id, course_id
"""
NAMED = (  # but for when they were merged
    "SELECT (to_jsonb(l) - 'changed_at' - 'change_seq' - 'deleted_at')::text AS learner, l.deleted_at IS NULL AS alive"
    " FROM bridge.learner l ORDER BY user_id",
    "SELECT (to_jsonb(k) - 'changed_at' - 'change_seq')::text AS course FROM bridge.course k ORDER BY course_id",
)
KEYS = "SELECT record_key, status, archived_at IS NULL AS current FROM bridge.completion_instance ORDER BY record_key"


def test_the_same_totara_gives_the_same_rows(
    bridge: Bridge, copy_of: Callable[[str], Engine], staging_template: str, totara_on_mariadb: Engine
) -> None:
    other = Bridge(copy_of(staging_template), totara_on_mariadb, prefix=PREFIX)
    other.now = bridge.now
    assert other.extract().counts() == bridge.extract().counts()
    for statement in (STAGED, KEYS, *NAMED):
        assert other.rows(statement) == bridge.rows(statement)
    assert not other.full_compare().changed


def test_changes_are_followed(staging: Engine, totara_on_mariadb: Engine) -> None:
    bridge = Bridge(staging, totara_on_mariadb, prefix=PREFIX)
    bridge.extract()
    bridge.later(minutes=1)
    totara = bridge.totara
    completed, again = totara.pair_with(status=25), totara.pair_with(status=50)
    edited, deleted = totara.pair_with(status=50, nth=5), totara.pair_with(status=50, nth=9)
    totara.complete(*completed)
    totara.archive(*again)
    totara.recreate(*again)
    totara.complete(*again)
    totara.edit_date(*edited, at=1_600_000_000)
    totara.delete_completion(*deleted)
    news = bridge.extract()
    assert not news.full_compare
    assert (news.queued, news.instances.new, news.instances.archived) == (2, 2, 1)
    assert (news.instances.revised, news.instances.lost) == (1, 1)
    learner = totara.user(3)["idnumber"]
    only = bridge.full_compare(query=ReadQuery(learner_idnumbers=(learner,)))
    assert only.read == len(bridge.rows("SELECT FROM bridge.completion WHERE user_id = 3 AND deleted_at IS NULL"))
    assert only.completions.deleted == 0


def test_audiences_and_categories_are_read(staging: Engine, totara_on_mariadb: Engine) -> None:
    bridge = Bridge(staging, totara_on_mariadb, prefix=PREFIX)
    audience = bridge.totara.new_audience("staff", [3, 4])
    bridge.totara.new_audience("STAFFROOM", [5])
    bridge.totara.new_audience("Staff", [5])
    names = ("staff", "staffroom")  # to the letter, as on PostgreSQL; MariaDB by itself finds all three
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, route=Route(audiences=names))])
    above = bridge.totara.new_category()
    bridge.totara.move_course(bridge.totara.courses()[0], category=bridge.totara.new_category(parent=above))
    bridge.extract()
    bridge.later(minutes=1)
    paths = bridge.rows("SELECT DISTINCT category_path FROM bridge.course ORDER BY 1")
    assert [row["category_path"] for row in paths] == ["/1", f"/{above}/{above + 1}"]
    course = bridge.totara.new_course()
    bridge.totara.leave_audience(3, audience)
    for user in (3, 4, 5):
        bridge.totara.enrol(user, course)
        bridge.totara.complete(user, course)
    assert bridge.extract().queued == 1
    assert bridge.rows("SELECT user_id, audience FROM bridge.audience_member") == [{"user_id": 4, "audience": "staff"}]


def test_audiences_that_differ_in_case_only_are_two(staging: Engine, totara_on_mariadb: Engine) -> None:
    bridge = Bridge(staging, totara_on_mariadb, prefix=PREFIX)
    names = ("STAFF", "staff")
    for each in names:
        bridge.totara.new_audience(each, [3])
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, route=Route(audiences=names))])
    bridge.extract()
    found = bridge.rows("SELECT user_id, audience FROM bridge.audience_member")
    assert {(row["user_id"], row["audience"]) for row in found} == {(3, each) for each in names}
