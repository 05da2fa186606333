"""A site that is read through its report's files is staged as from its database, as far as a report can say it."""

import csv
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text

from tests.bridge import Bridge
from tests.exporting import Exports, extract_in_a_process, worded
from tests.forked import Forked
from totara_bridge.errors import ConfigurationInvalid, TotaraUnavailable
from totara_bridge.sandbox.totara.http.report_rows import Narrowed
from totara_bridge.sandbox.totara.http.report_words import Language
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.report_file import ReportFileSource

#: What a report says exactly of a completion.
SAID = "SELECT user_id, course_id, status, grade, rpl FROM bridge.completion ORDER BY user_id, course_id"
NAMED = "SELECT user_id, username, id_number, email, deleted_at IS NULL AS there FROM bridge.learner ORDER BY user_id"
COURSES = "SELECT course_id, short_name, id_number FROM bridge.course ORDER BY course_id"
SPANS = """
    SELECT user_id, course_id, time_completed, time_completed_until FROM bridge.completion_instance
    WHERE archived_at IS NULL ORDER BY user_id, course_id
"""
ALL = "SELECT * FROM bridge.{} ORDER BY 1, 2, 3"


@pytest.fixture
def exports(bridge: Bridge, tmp_path: Path) -> Exports:
    """The captured Totara, and a folder without a file."""
    return Exports(bridge, tmp_path)


@pytest.fixture
def by_database(copy_of: Callable[[str], Engine], staging_template: str, bridge: Bridge) -> Bridge:
    """Another staging database of the same Totara, which is read as it is."""
    return Bridge(copy_of(staging_template), bridge.totara.engine)


def test_the_same_rows_as_from_the_database(exports: Exports, by_database: Bridge) -> None:
    exports.write()
    first = exports.extract()
    by_database.extract()
    assert (first.read, first.set_aside, first.instances.new) == (1600, 0, 999)
    assert exports.bridge.rows(SAID) == by_database.rows(SAID)
    learners = {row["user_id"]: row for row in by_database.rows(NAMED)}
    for row in exports.bridge.rows(NAMED):
        known = learners[row["user_id"]]
        assert row == (known if row["there"] else known | {"username": row["username"]})
    assert exports.bridge.rows(COURSES) == [row for row in by_database.rows(COURSES) if row["course_id"] > 1]
    pairs = zip(exports.bridge.rows(SPANS), by_database.rows(SPANS), strict=True)
    for day, exact in pairs:
        assert (day["user_id"], day["course_id"]) == (exact["user_id"], exact["course_id"])
        assert day["time_completed"] <= exact["time_completed"] < day["time_completed_until"]


@pytest.mark.parametrize("database_first", [True, False])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Auckland"])
def test_read_by_both_each_completion_is_one_instance(exports: Exports, database_first: bool, zone: str) -> None:
    bridge, local = exports.bridge, ZoneInfo(zone)
    moments = ["2026-03-29T23:30", "2026-03-29T00:00", "2026-10-25T23:30", "2026-10-25T02:30", "2026-04-05T23:59:59",
               "2025-12-31T23:30", "2026-01-01T00:00"]  # fmt: skip
    for number, moment in enumerate(moments):
        at = datetime.fromisoformat(moment).replace(tzinfo=local)
        bridge.totara.edit_date(*bridge.totara.pair_with(status=50, nth=number), at=int(at.timestamp()))
    exports.write(zone=local)

    def by_file() -> Any:
        return exports.extract(zone=local)

    def by_database() -> Any:
        return bridge.extract(force_full_compare=True)

    one, other = (by_database, by_file) if database_first else (by_file, by_database)
    one()
    keys = {row["record_key"] for row in bridge.rows("SELECT record_key FROM bridge.completion_instance")}
    bridge.later(minutes=1)
    two = other()
    now = bridge.rows("SELECT * FROM bridge.completion_instance WHERE archived_at IS NULL AND history_id IS NULL")
    archived = 0 if database_first else 5
    assert (two.instances.new, two.instances.revised, two.instances.lost) == (archived, 0, 0)
    assert two.queued == 0
    assert len(now) == 999
    assert {row["record_key"] for row in now} <= keys
    assert not any(row["time_completed_until"] for row in now), "the database knows the second, and it is kept"
    bridge.later(minutes=1)
    assert not one().changed


@pytest.mark.parametrize("language", ["de", "fr"])
def test_a_report_in_another_language(exports: Exports, by_database: Bridge, language: Language) -> None:
    exports.write(language=language)
    exports.extract(report=worded(exports.connection.report.place, language))
    by_database.extract()
    assert exports.bridge.rows(SAID) == by_database.rows(SAID)
    assert exports.set_aside() == []


def test_run_twice(exports: Exports) -> None:
    exports.write()
    exports.extract()
    before = [exports.bridge.rows(ALL.format(table)) for table in ("completion", "completion_instance", "loaded_file")]
    exports.bridge.later(hours=1)
    again = exports.extract()
    assert (again.read, again.changed) == (0, False)
    after = [exports.bridge.rows(ALL.format(table)) for table in ("completion", "completion_instance", "loaded_file")]
    assert after == before


def test_a_new_file_brings_what_changed(exports: Exports) -> None:
    exports.write()
    exports.extract()
    totara = exports.bridge.totara
    completed, regressed = totara.pair_with(status=25), totara.pair_with(status=50)
    totara.complete(*completed)
    totara.regress(*regressed)
    exports.bridge.later(days=1)
    exports.write()
    news = exports.extract()
    assert (news.queued, news.instances.new, news.completions.changed) == (1, 1, 2)
    assert len(exports.loaded()) == 2


def test_the_file_of_the_day_is_written_anew(exports: Exports) -> None:
    path = exports.write()
    exports.extract()
    exports.bridge.totara.complete(*exports.bridge.totara.pair_with(status=25))
    assert exports.write() == path
    assert exports.extract().queued == 1
    assert path is not None
    assert exports.loaded() == [f"admin/{path.name}"] * 2


def test_files_are_read_oldest_first_and_one_in_a_run(exports: Exports) -> None:
    totara, source = exports.bridge.totara, exports.source()
    for name in ("c.csv", "b.csv", "a.csv"):
        written = exports.write()
        assert written is not None
        exports.put(name, written.read_bytes())
        written.unlink()
        totara.complete(*totara.pair_with(status=25))
    more = []
    for _ in range(4):
        with source.snapshot() as snapshot:
            more.append(snapshot.more)
        exports.bridge.later(minutes=1)
        exports.extract()
    assert more == [True, True, False, False]
    assert exports.loaded() == ["admin/c.csv", "admin/b.csv", "admin/a.csv"]


def test_the_same_bytes_under_another_name(exports: Exports) -> None:
    path = exports.write()
    exports.extract()
    assert path is not None
    exports.put("copy.csv", path.read_bytes())
    assert exports.extract().read == 0
    assert len(exports.loaded()) == 1


def test_killed_half_way(exports: Exports, wait_until: Callable[[Callable[[], bool]], None]) -> None:
    exports.write()
    staging = exports.bridge.staging
    url = staging.url.render_as_string(hide_password=False)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'bridge.loaded_file'::regclass")
    with staging.connect() as blocking:
        blocking.execute(text("LOCK TABLE bridge.loaded_file IN SHARE MODE"))
        run = Forked(extract_in_a_process, (url, exports.connection.report.place))

        def at_its_end() -> bool:
            with staging.connect() as looking:
                return bool(looking.scalar(waiting))

        try:
            wait_until(at_its_end)
            assert run.kill()
        finally:
            run.close()
    assert exports.loaded() == []
    assert exports.bridge.rows(SAID) == []
    assert exports.extract().read == 1600
    assert len(exports.loaded()) == 1


def test_no_file_says_nothing(exports: Exports) -> None:
    exports.write()
    exports.extract(report=worded(exports.connection.report.place, "en", whole=True))
    for path in exports.folder.rglob("*.csv"):
        path.unlink()
    assert exports.write(narrowed=Narrowed(statuses=frozenset({99}))) is None
    gone = exports.extract(report=worded(exports.connection.report.place, "en", whole=True))
    assert (gone.read, gone.completions.deleted, gone.instances.lost) == (0, 0, 0)


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_in_no_row_is_gone_only_from_a_whole_report(exports: Exports, whole: bool) -> None:
    report = worded(exports.connection.report.place, "en", whole=whole)
    exports.write()
    exports.extract(report=report)
    pair = exports.bridge.totara.pair_with(status=50)
    exports.bridge.totara.delete_completion(*pair)
    exports.write()
    assert exports.extract(report=report).completions.deleted == int(whole)


def test_a_header_alone_takes_nothing_away(exports: Exports) -> None:
    report = worded(exports.connection.report.place, "en", whole=True)
    path = exports.write()
    assert path is not None
    exports.extract(report=report)
    exports.put("empty.csv", path.read_text().split("\n", 1)[0] + "\n")
    assert exports.extract(report=report).completions.deleted == 0
    assert len(exports.loaded()) == 2


def test_a_query_limits_what_is_read(exports: Exports) -> None:
    path = exports.write()
    assert path is not None
    totara = exports.bridge.totara
    user, course = totara.pair_with(status=50)
    number = totara.user(user)["idnumber"]
    site = list(csv.DictReader(path.read_text().splitlines()))
    for query, wanted in (
        (ReadQuery(course_ids=(course, 3)), [row for row in site if row["course_id"] in (str(course), "3")]),
        (ReadQuery(learner_idnumbers=(number,)), [row for row in site if row["user_idnumber"] == number]),
        (ReadQuery(course_ids=(course,), learner_idnumbers=(number,)), [None]),
    ):
        with exports.source(query=query).snapshot() as snapshot:
            lines = b"".join(snapshot.completions(None)).splitlines()
            assert snapshot.limited
            assert len(b"".join(snapshot.present_pairs(None)).splitlines()) == 1600
        assert len(lines) == len(wanted) > 0
    assert exports.extract(query=ReadQuery(course_ids=(course,))).read > 0


@pytest.mark.parametrize("query", [ReadQuery(category_ids=(1,)), ReadQuery(audience_idnumbers=("A1",))])
def test_a_query_that_no_report_can_follow(exports: Exports, query: ReadQuery) -> None:
    name = "category_ids" if query.category_ids else "audience_idnumbers"
    with pytest.raises(ConfigurationInvalid, match=name), exports.source(query=query).snapshot():
        pass


def test_a_route_that_names_audiences(exports: Exports) -> None:
    exports.write()
    with exports.source().snapshot() as snapshot:
        assert snapshot.audiences([]) == frozenset()
        with pytest.raises(ConfigurationInvalid, match="names the audiences A1, B2"):
            snapshot.audiences(["A1", "B2"])


def test_what_was_there_before_the_first_file_is_not_sent(exports: Exports) -> None:
    exports.extract()
    exports.bridge.later(days=1)
    exports.write()
    assert exports.extract().queued == 0


def test_the_past_is_what_all_files_show_that_are_there_at_first(exports: Exports) -> None:
    totara = exports.bridge.totara
    for name in ("a.csv", "b.csv"):
        written = exports.write()
        assert written is not None
        exports.put(name, written.read_bytes())
        written.unlink()
        totara.complete(*totara.pair_with(status=25))
    first, second = exports.extract(), exports.extract()
    assert (first.more, first.baseline, first.queued) == (True, (), 0)
    assert (second.more, second.baseline, second.queued) == (False, ("oracle",), 0)
    exports.write()
    assert exports.extract().queued == 1


def test_written_while_it_is_read(exports: Exports) -> None:
    path = exports.write()
    assert path is not None

    def write_now(digest: str) -> bool:
        path.write_bytes(path.read_bytes().replace(b"In progress", b"Complete", 1))
        return exports.is_loaded(digest)

    source = ReportFileSource(exports.connection, write_now)
    with source.snapshot() as snapshot, pytest.raises(TotaraUnavailable, match="was written while it was read"):
        b"".join(snapshot.completions(None))
    assert exports.loaded() == []
    exports.settle(path)
    assert exports.extract().read == 1600
