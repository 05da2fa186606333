"""A Totara of any release is read on any server, under any prefix and in any schema, by looking at what it has."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, event, text

from tests.bridge import DESTINATION, Bridge
from totara_bridge.errors import TotaraRefused
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import Route
from totara_bridge.sandbox.totara import schema, seed
from totara_bridge.sandbox.totara.schema_shape import Shape, reshape
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.database.source import DatabaseSnapshot
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.source import EVERYTHING

_CAPTURED = Path(seed.__file__).parent / "captured"
_NUMBERS = count(1)
_PREFIXES = {Shape.TOTARA_12: "mdl_", Shape.TOTARA_17: "", Shape.TOTARA_19: "ttr_", Shape.LEAST: "lms_"}

#: Of the recorded site: completions of each status.
STATUSES = {"not_started": 285, "in_progress": 316, "complete": 879, "complete_rpl": 120}
_WORDS = {"10": "not_started", "25": "in_progress", "50": "complete", "75": "complete_rpl"}
_HISTORY_ROWS = 5


@dataclass
class Server:
    """A database server that Totaras are in."""

    url: URL

    def database(self) -> Engine:
        """A new, empty database; no connection to it stays open."""
        name = f"shape_{next(_NUMBERS)}"
        admin = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return create_engine(self.url.set(database=name), poolclass=NullPool)

    def totara(self, prefix: str = "ttr_", shape: Shape = Shape.TOTARA_17) -> Engine:
        """A Totara of this shape with the recorded rows."""
        engine = self.database()
        schema.create(engine, prefix)
        seed.seed(engine, prefix)
        reshape(engine, shape, prefix)
        return engine


@pytest.fixture(params=["tcp_postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    """Both kinds of server that a Totara may have."""
    return Server(request.getfixturevalue(request.param))


def run(engine: Engine, *statements: str) -> None:
    """Something that happens in Totara's database itself."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def recorded(name: str) -> Iterator[dict[str, str]]:
    with (_CAPTURED / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def moment(seconds: str) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if int(seconds or 0) else None


def expected(shape: Shape) -> list[dict[str, Any]]:
    """What the recorded rows say, as far as the shape has a place for it."""
    least = shape is Shape.LEAST
    rows = []
    for row in recorded("course_completions"):
        complete = row["status"] in ("50", "75")
        rows.append(
            {
                "user_id": int(row["userid"]),
                "course_id": int(row["course"]),
                "row_id": int(row["id"]),
                "status": _WORDS[row["status"]],
                "progress": 100 if complete else None if least else 0,
                "grade": None if least or not row["rplgrade"] else Decimal(row["rplgrade"]),
                "rpl": None if least else row["rpl"] or None,
                "time_enrolled": None if least else moment(row["timeenrolled"]),
                "time_started": None if least else moment(row["timestarted"]),
                "time_completed": moment(row["timecompleted"]),
            }
        )
    return sorted(rows, key=lambda row: (row["user_id"], row["course_id"]))


def staged(bridge: Bridge) -> list[dict[str, Any]]:
    return bridge.rows(
        """SELECT user_id, course_id, row_id, status, progress, grade, rpl, time_enrolled, time_started, time_completed
           FROM bridge.completion WHERE deleted_at IS NULL ORDER BY user_id, course_id"""
    )


def number(bridge: Bridge, what: str) -> int:
    return int(bridge.rows(f"SELECT count(*) AS n FROM bridge.{what}")[0]["n"])


@pytest.mark.parametrize("shape", list(Shape))
def test_each_shape_is_staged_alike_but_for_what_it_lacks(server: Server, staging: Engine, shape: Shape) -> None:
    bridge = Bridge(staging, server.totara(_PREFIXES[shape], shape), prefix=_PREFIXES[shape])
    least = shape is Shape.LEAST
    first = bridge.extract()
    assert (first.read, first.set_aside) == (1600, 0)
    assert staged(bridge) == expected(shape)
    found = {
        row["status"]: row["n"] for row in bridge.rows("SELECT status, count(*) n FROM bridge.completion GROUP BY 1")
    }
    assert found == STATUSES
    assert number(bridge, "completion_instance") == 999 + (0 if least else _HISTORY_ROWS)
    assert number(bridge, "completion_instance WHERE archived_at IS NOT NULL") == (0 if least else _HISTORY_ROWS)
    assert number(bridge, "learner WHERE suspended") == (0 if least else 1)
    assert number(bridge, "course WHERE NOT visible") == (0 if least else 1)
    assert number(bridge, "course WHERE category_path = '/1'") == (0 if least else 20)
    assert number(bridge, "course") == 20
    bridge.later(minutes=1)
    again = bridge.extract()
    assert (again.full_compare, again.changed) == (least, False)
    assert not bridge.full_compare().changed


def test_without_a_change_log_every_extract_sees_everything(server: Server, staging: Engine) -> None:
    bridge = Bridge(staging, server.totara(shape=Shape.LEAST))
    bridge.extract()
    for instant in (1_700_000_000, 1_700_086_400):
        bridge.later(minutes=1)
        run(
            bridge.totara.engine,
            f"UPDATE ttr_course_completions SET status = 50, timecompleted = {instant} WHERE status = 25 LIMIT 1"
            if bridge.totara.engine.dialect.name == "mysql"
            else f"""UPDATE ttr_course_completions SET status = 50, timecompleted = {instant}
                     WHERE id = (SELECT min(id) FROM ttr_course_completions WHERE status = 25)""",
        )
        news = bridge.extract()
        assert (news.full_compare, news.queued, news.instances.new) == (True, 1, 1)
    assert bridge.states() == {"queued": 2}


def test_without_a_history_nothing_archived_is_a_loss(server: Server, staging: Engine) -> None:
    bridge = Bridge(staging, server.totara(shape=Shape.LEAST))
    bridge.extract()
    run(bridge.totara.engine, "DELETE FROM ttr_course_completions WHERE status = 75 AND id % 5 = 0")
    bridge.later(minutes=1)
    news = bridge.extract()
    assert news.instances.archived > 0
    assert news.instances.lost == 0


def test_without_audiences_a_route_that_names_one_has_no_members(server: Server, staging: Engine) -> None:
    bridge = Bridge(staging, server.totara(shape=Shape.LEAST))
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, route=Route(audiences=("staff",)))])
    bridge.extract()
    assert bridge.rows("SELECT FROM bridge.audience_member") == []
    with pytest.raises(TotaraRefused, match="lacks the tables ttr_cohort, ttr_cohort_members"):
        bridge.extract(query=ReadQuery(audience_idnumbers=("staff",)))


def test_only_courses_are_read_and_not_workspaces(server: Server, staging: Engine) -> None:
    totara = server.totara()
    bridge = Bridge(staging, totara)
    workspace, course = bridge.totara.new_course(containertype="container_workspace"), bridge.totara.new_course()
    for each in (workspace, course):
        bridge.totara.enrol(3, each)
        bridge.totara.complete(3, each)
        bridge.totara.archive(3, each)
        bridge.totara.recreate(3, each)
    assert bridge.extract().read == 1601
    assert bridge.rows(f"SELECT course_id FROM bridge.course WHERE course_id >= {workspace}") == [{"course_id": course}]
    assert len(bridge.instances((3, course))) == 1
    assert bridge.instances((3, workspace)) == []
    bridge.later(minutes=1)
    for each in (workspace, course):
        bridge.totara.complete(3, each)
    assert bridge.extract().queued == 1


def test_a_completion_that_outlives_its_course_is_read(server: Server, staging: Engine) -> None:
    bridge = Bridge(staging, server.totara())
    run(bridge.totara.engine, "DELETE FROM ttr_course WHERE id = 2")
    assert bridge.extract().read == 1600


@pytest.mark.parametrize("shape", [Shape.TOTARA_17, Shape.TOTARA_12])
def test_a_site_that_is_upgraded_has_nothing_new(server: Server, staging: Engine, shape: Shape) -> None:
    bridge = Bridge(staging, server.totara(shape=shape))
    bridge.extract()
    bridge.later(minutes=1)
    if shape is Shape.TOTARA_17:
        reshape(bridge.totara.engine, Shape.TOTARA_19)
    else:
        run(
            bridge.totara.engine,
            "ALTER TABLE ttr_course ADD COLUMN containertype varchar(255) NOT NULL DEFAULT 'container_course'",
        )
    assert not bridge.full_compare().changed


def test_tables_in_other_letters_of_case_are_found(server: Server, staging: Engine) -> None:
    bridge = Bridge(staging, server.totara("MDL_"), prefix="MDL_")
    bridge.connection = replace(bridge.connection, table_prefix="mdl_")
    bridge.extract()
    assert staged(bridge) == expected(Shape.TOTARA_17)


def test_of_two_alike_the_table_as_it_is_written_is_read(server: Server, staging: Engine) -> None:
    totara = server.totara("ttr_")
    schema.create(totara, "TTR_")
    assert Bridge(staging, totara).extract().read == 1600


@dataclass
class Elsewhere:
    """A Totara in a schema of its own, beside another in the usual one."""

    totara: Engine
    connection: TotaraConnection


@pytest.fixture
def elsewhere(tcp_postgres: URL) -> Elsewhere:
    """On PostgreSQL; the usual schema holds the tables of a Moodle, which has some of the same names."""
    plain = Server(tcp_postgres).database()
    run(plain, "CREATE SCHEMA lms")
    url = plain.url.update_query_dict({"options": "-csearch_path=lms,public"})
    totara = create_engine(url, poolclass=NullPool)
    schema.create(totara)
    seed.seed(totara)
    run(plain, "CREATE TABLE public.ttr_course_completions (id bigint, userid bigint)")
    return Elsewhere(totara, TotaraConnection(url=url))


def test_the_search_path_leads_to_the_schema(elsewhere: Elsewhere, staging: Engine) -> None:
    bridge = Bridge(staging, elsewhere.totara)
    bridge.connection = elsewhere.connection
    bridge.extract()
    assert staged(bridge) == expected(Shape.TOTARA_17)


def test_views_are_read_as_tables_are(server: Server, staging: Engine) -> None:
    totara = server.totara("real_")
    names = [name.removeprefix("real_") for name in schema.tables("real_").metadata.tables]
    run(totara, *(f"CREATE VIEW ttr_{name} AS SELECT * FROM real_{name}" for name in names))
    bridge = Bridge(staging, totara, prefix="ttr_")
    bridge.extract()
    assert staged(bridge) == expected(Shape.TOTARA_17)


def opened(totara: Engine, look: Callable[[DatabaseSnapshot], Any]) -> Any:
    with DatabaseSource(TotaraConnection(url=totara.url)).snapshot() as snapshot:
        return look(snapshot)


def test_a_snapshot_says_what_it_cannot_give(server: Server) -> None:
    whole, least = server.totara(), server.totara(shape=Shape.LEAST)
    assert opened(whole, lambda snapshot: (snapshot.change_log, snapshot.gives)) == (True, EVERYTHING)
    change_log, gives = opened(least, lambda snapshot: (snapshot.change_log, snapshot.gives))
    assert (change_log, gives.history, gives.row_ids, gives.statuses) == (False, False, True, True)
    assert EVERYTHING.columns - gives.columns == {"rpl", "grade", "time_enrolled", "time_started"}


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["DROP TABLE ttr_course"], "the tables ttr_course "),
        (["DROP TABLE ttr_user", "DROP TABLE ttr_course"], "the tables ttr_user, ttr_course "),
        (["ALTER TABLE ttr_course_completions DROP COLUMN status"], "the columns ttr_course_completions.status "),
        (
            ["DROP TABLE ttr_user", "ALTER TABLE ttr_course DROP COLUMN idnumber"],
            "the tables ttr_user and the columns ttr_course.idnumber ",
        ),
        (["ALTER TABLE ttr_course_completion_history DROP COLUMN timecompleted"], "ttr_course_completion_history.time"),
    ],
)
def test_what_is_lacking_is_named_before_anything_is_read(server: Server, statements: list[str], named: str) -> None:
    totara = server.database()
    schema.create(totara)
    run(totara, *statements)
    with pytest.raises(TotaraRefused) as caught:
        opened(totara, lambda snapshot: snapshot)
    assert named in str(caught.value)
    assert "name the database of a Totara that is fully installed" in str(caught.value)


def asked_on_opening(totara: Engine) -> list[str]:
    """What the database is asked before anything is read."""
    asked: list[str] = []
    engine = create_engine(totara.url, poolclass=NullPool)
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with engine.connect() as database:
        DatabaseSnapshot(database, TotaraConnection(url=totara.url))
    return asked


def test_all_that_there_is_takes_one_question(server: Server) -> None:
    """But on MySQL, which hides what may not be read: there each thing that is absent takes one more."""
    catalogue, *others = asked_on_opening(server.totara())
    assert "pg_attribute" in catalogue or "information_schema.columns" in catalogue
    assert len(others) == 3, "the site, its clock, its change log"
