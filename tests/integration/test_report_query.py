"""A Totara read through a report over its API, into real staging: what it gives, what it refuses, what it says."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from tests.asked_totara import Meanwhile, as_19_1, connection_to
from tests.bridge import Bridge
from tests.forked import Forked
from tests.killed_extract import KilledExtract, by_report, extract
from totara_bridge.completion import Status
from totara_bridge.errors import BridgeError, ConfigurationInvalid, TotaraRefused
from totara_bridge.extract.plan import Extracted
from totara_bridge.extract.run import extract_site
from totara_bridge.sandbox.totara.http.graphql import PATH, GraphqlSwitches, SavedSearch
from totara_bridge.sandbox.totara.http.report_words import MONTHS, STATUS_WORDS
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.site import Fault
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.report import Report
from totara_bridge.totara.report_query import ReportQuerySource, check
from totara_bridge.totara.source import Dates

LONDON = ZoneInfo("Europe/London")
STATUSES = (Status.NOT_STARTED, Status.IN_PROGRESS, Status.COMPLETE, Status.COMPLETE_RPL)


@pytest.fixture
def sandbox(totara: Engine) -> Iterator[SandboxTotara]:
    with SandboxTotara(totara) as running:
        as_19_1(running, records_per_page=700)
        yield running


@pytest.fixture
def switches(sandbox: SandboxTotara) -> GraphqlSwitches:
    return as_19_1(sandbox, records_per_page=700)


@pytest.fixture
def bridge(staging: Engine, totara: Engine) -> Bridge:
    return Bridge(staging, totara)


@pytest.fixture
def by_database(copy_of: Any, staging_template: str, totara: Engine) -> Bridge:
    """Another staging, that reads the same Totara through its database."""
    return Bridge(copy_of(staging_template), totara)


@pytest.fixture
def connection(sandbox: SandboxTotara) -> TotaraConnection:
    return connection_to(sandbox, zone=LONDON)


def read(bridge: Bridge, connection: TotaraConnection, **changes: Any) -> Extracted:
    plan = replace(bridge.plan, **changes)
    return extract_site(bridge.staging, ReportQuerySource(connection), plan, now=bridge.now)


def completions(bridge: Bridge) -> list[dict[str, Any]]:
    """What is staged; a report shows grades with one decimal."""
    return bridge.rows(
        """SELECT user_id, course_id, status, round(grade, 1) AS grade, rpl, time_enrolled, time_started, time_completed
           FROM bridge.completion WHERE deleted_at IS NULL ORDER BY user_id, course_id"""
    )


def instances(bridge: Bridge) -> list[dict[str, Any]]:
    return bridge.rows(
        """SELECT user_id, course_id, status, time_completed, time_completed_until FROM bridge.completion_instance
           WHERE archived_at IS NULL AND ended_at IS NULL ORDER BY user_id, course_id"""
    )


def courses(bridge: Bridge) -> list[dict[str, Any]]:
    return bridge.rows("SELECT course_id, short_name, id_number FROM bridge.course ORDER BY course_id")


def learners(bridge: Bridge) -> list[dict[str, Any]]:
    return bridge.rows("SELECT * FROM bridge.learner ORDER BY user_id")


def only(*columns: str, of: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{column: row[column] for column in columns} for row in of]


def test_a_report_with_exact_dates_stages_what_the_database_has(
    bridge: Bridge, by_database: Bridge, connection: TotaraConnection
) -> None:
    extracted = read(bridge, connection)
    by_database.extract()
    assert (extracted.read, extracted.set_aside) == (1_600, 0)
    assert completions(bridge) == completions(by_database)
    assert instances(bridge) == instances(by_database)
    # one course has archived completions only, and those no report shows
    in_report = {row["course_id"] for row in completions(bridge)}
    assert courses(bridge) == [row for row in courses(by_database) if row["course_id"] in in_report]


def test_learners_have_what_the_report_shows_and_the_rest_from_the_api(
    bridge: Bridge, by_database: Bridge, connection: TotaraConnection
) -> None:
    read(bridge, connection)
    by_database.extract()
    columns = ("user_id", "username", "id_number", "email", "first_name", "last_name", "suspended")
    theirs = {row["user_id"]: row for row in only(*columns, "deleted_at", of=learners(by_database))}
    ours = only(*columns, "deleted_at", of=learners(bridge))
    assert len(ours) > 190
    for row in ours:
        # Totara tells nobody when; nor do the names of who is deleted show anywhere but in the database
        known = theirs[row["user_id"]]
        if known["deleted_at"] is None:
            assert row == known
        else:
            assert row["deleted_at"] is not None
            assert row["first_name"] == ""


def test_where_learners_may_not_be_read_by_the_api_the_report_is_read_all_the_same(
    bridge: Bridge, connection: TotaraConnection, sandbox: SandboxTotara, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"message": "Internal server error", "debugMessage": "no permission", "path": ["core_user_users"]}
    body = json.dumps({"errors": [said]})
    refusal = Fault(status=200, body=body, content_type="application/json", path=PATH)
    sandbox.site.faults = meanwhile = Meanwhile()
    meanwhile.acts[7] = lambda: meanwhile.put([refusal])  # after two readings of three pages
    with caplog.at_level(logging.WARNING):
        assert read(bridge, connection).read == 1_600
    assert "What the report does not show of learners is not known" in caplog.text
    people = {row["username"]: row for row in learners(bridge)}
    assert people["u0040"]["email"] == "u0040@example.com"
    assert people["u0040"]["first_name"] == ""


def test_run_twice_it_finds_nothing_new(bridge: Bridge, connection: TotaraConnection) -> None:
    read(bridge, connection)
    again = read(bridge, connection, force_full_compare=True)
    assert not again.changed, again.counts()


def test_what_happens_shows_in_the_next_extract(bridge: Bridge, connection: TotaraConnection) -> None:
    read(bridge, connection)
    pair = bridge.totara.pair_with(status=25)
    bridge.totara.complete(*pair, at=1_790_000_000)
    news = read(bridge, connection)
    assert news.queued == 1
    (instance,) = [row for row in instances(bridge) if (row["user_id"], row["course_id"]) == pair]
    assert instance["time_completed"].timestamp() == 1_790_000_000


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_a_report_in_days_and_in_another_language(
    bridge: Bridge, by_database: Bridge, connection: TotaraConnection, switches: GraphqlSwitches, language: Any
) -> None:
    switches.report_dates, switches.language = "text", language
    words = dict(zip(STATUS_WORDS[language].values(), STATUSES, strict=True))
    report = Report(id=1) if language == "en" else Report(id=1, words=words, months=MONTHS[language])
    extracted = read(bridge, replace(connection, report=report))
    by_database.extract()
    assert (extracted.read, extracted.set_aside) == (1_600, 0)
    exact = instances(by_database)
    by_day = instances(bridge)
    pair = ("user_id", "course_id", "status")
    assert only(*pair, of=by_day) == only(*pair, of=exact)
    for ours, theirs in zip(by_day, exact, strict=True):
        if theirs["time_completed"] is None:
            assert ours["time_completed"] is None
        else:
            assert ours["time_completed"] <= theirs["time_completed"] < ours["time_completed_until"]
            assert ours["time_completed"].astimezone(LONDON).time().isoformat() == "00:00:00"
    # of when it began only the day is known, which is no moment
    assert all(row["time_enrolled"] is None for row in completions(bridge))
    assert not read(bridge, replace(connection, report=report), force_full_compare=True).changed


@pytest.mark.parametrize("dates", ["timestamp", "text"])
def test_a_site_that_was_read_through_its_database_has_no_second_instance(
    bridge: Bridge, connection: TotaraConnection, switches: GraphqlSwitches, dates: Any
) -> None:
    switches.report_dates = dates
    bridge.extract()
    before, staged = instances(bridge), completions(bridge)
    extracted = read(bridge, connection)
    assert instances(bridge) == before
    assert completions(bridge) == staged
    assert (extracted.queued, extracted.instances.new) == (0, 0)
    bridge.later(days=1)
    assert bridge.full_compare().queued == 0
    assert instances(bridge) == before


def test_words_that_are_not_known_are_set_aside_with_the_place(
    bridge: Bridge, connection: TotaraConnection, switches: GraphqlSwitches
) -> None:
    switches.language = "de"
    german = dict(zip(STATUS_WORDS["de"].values(), STATUSES, strict=True))
    del german["Abgeschlossen"]
    extracted = read(bridge, replace(connection, report=Report(id=1, words=german)))
    assert (extracted.read, extracted.set_aside) == (1_600 - 879, 879)
    row = bridge.rows("SELECT * FROM bridge.set_aside ORDER BY feed, row_id LIMIT 1")[0]
    assert row["feed"] == "report 1, page 1"
    assert 1 <= row["row_id"] <= 700
    assert row["user_id"] > 0
    assert 'the status "Abgeschlossen" is not known: say what it means under words' in row["reason"]


def test_where_nothing_is_understood_nothing_is_read(
    bridge: Bridge, connection: TotaraConnection, switches: GraphqlSwitches
) -> None:
    switches.language = "fr"
    with pytest.raises(TotaraRefused, match=r"Not one of the 1600 rows .*\(row 1 of page 1: the status"):
        read(bridge, connection)
    assert completions(bridge) == []


def test_a_saved_search_narrows_and_takes_nothing_away(
    bridge: Bridge, connection: TotaraConnection, switches: GraphqlSwitches
) -> None:
    read(bridge, connection)
    before = completions(bridge)
    switches.saved_searches[5] = SavedSearch(completed_since=1_790_000_000)
    narrowed = read(bridge, replace(connection, report=Report(id=1, saved_search=5)), force_full_compare=True)
    assert 0 < narrowed.read < 1_600
    assert completions(bridge) == before


def test_only_a_report_that_shows_all_says_what_is_gone(bridge: Bridge, connection: TotaraConnection) -> None:
    read(bridge, connection)
    gone = bridge.totara.pair_with(status=25)
    bridge.totara.delete_completion(*gone)
    assert read(bridge, connection, force_full_compare=True).completions.deleted == 0
    whole = replace(connection, report=Report(id=1, whole=True))
    assert read(bridge, whole, force_full_compare=True).completions.deleted == 1
    assert gone not in {(row["user_id"], row["course_id"]) for row in completions(bridge)}


@pytest.mark.parametrize("statement", [0, 3, 25])
def test_killed_half_way_it_has_done_nothing_and_the_next_run_does_it(
    bridge: Bridge, connection: TotaraConnection, statement: int
) -> None:
    url = bridge.staging.url.render_as_string(hide_password=False)
    forked = Forked(extract, KilledExtract(url, connection, bridge.plan, bridge.now, statement, by_report))
    try:
        assert forked.wait() == -9
    finally:
        forked.close()
    assert completions(bridge) == []
    assert bridge.rows("SELECT * FROM bridge.watermark") == []
    assert read(bridge, connection).read == 1_600


def test_a_totara_without_the_query(bridge: Bridge, connection: TotaraConnection, switches: GraphqlSwitches) -> None:
    switches.release = (17, 3)
    for ask in (lambda: read(bridge, connection), lambda: check(connection)):
        with pytest.raises(TotaraRefused, match=r"came with Totara 19\.1.*choose another \"Source\""):
            ask()


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (Report(id=7), "has no such report \\(Cannot find report with ID 7\\)"),
        (Report(id=2), "does not let the API client's service account see it"),
        (Report(id=1, saved_search=9), "does not use that saved search \\(Cannot find saved search with ID 9\\)"),
        (Report(id=1, saved_search=8), "not a shared search.*have whoever made it share it"),
        (Report(id=1, saved_search=6), "does not belong to report 1"),
    ],
)
@pytest.mark.parametrize("debug", [True, False])
def test_a_report_or_search_that_cannot_be_had(
    connection: TotaraConnection, switches: GraphqlSwitches, report: Report, words: str, debug: bool
) -> None:
    switches.response_debug = debug
    switches.reports[2] = replace(switches.reports[1], allowed=False)
    switches.saved_searches |= {8: SavedSearch(shared=False), 6: SavedSearch(report_id=2)}
    with pytest.raises(BridgeError, match=words if debug else "response debug to Normal"):
        check(replace(connection, report=report))


def test_columns_that_lack_are_named_with_those_that_are_there(
    bridge: Bridge, connection: TotaraConnection, switches: GraphqlSwitches
) -> None:
    switches.reports[1].columns = ("user_username", "course_id", "course_completion_completeddate")
    for ask in (lambda: read(bridge, connection), lambda: check(connection)):
        with pytest.raises(TotaraRefused) as raised:
            ask()
        said = str(raised.value)
        assert 'lacks what is needed: user_id ("user_id"), status ("course_completion_status")' in said
        assert "its columns are user_username, course_id, course_completion_completeddate" in said


def test_few_columns_are_enough_and_what_lacks_is_not_invented(
    bridge: Bridge, connection: TotaraConnection, switches: GraphqlSwitches
) -> None:
    switches.reports[1].columns = ("course_completion_status", "course_id", "user_id")
    assert "no dates (add the completion date to the report), username and id_number and email" in check(connection)
    with ReportQuerySource(connection).snapshot() as snapshot:
        assert snapshot.gives.dates is Dates.NONE
        assert not snapshot.gives.columns & {"time_completed", "time_completed_until", "grade", "rpl", "progress"}
    assert read(bridge, connection).read == 1_600
    assert all(row["time_completed"] is None for row in instances(bridge))


def test_columns_are_known_by_headings_too(
    connection: TotaraConnection, switches: GraphqlSwitches, bridge: Bridge
) -> None:
    switches.language = "de"
    words = dict(zip(STATUS_WORDS["de"].values(), STATUSES, strict=True))
    called = {"status": "Abschlussstatus", "time_completed": "abschlussdatum", "grade": "course_completion_grade"}
    report = Report.model_validate({"id": 1, "words": words, "columns": called})
    assert read(bridge, replace(connection, report=report)).set_aside == 0
    nowhere = Report.model_validate({"id": 1, "columns": {"grade": "Note"}})
    with pytest.raises(TotaraRefused, match=r'lacks what is needed: grade \("Note"\)'):
        check(replace(connection, report=nowhere))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (ReadQuery(category_ids=(1,)), "has category_ids, which a report of completions does not show"),
        (ReadQuery(audience_idnumbers=("staff",)), "has audience_idnumbers, which"),
    ],
)
def test_a_query_that_no_report_can_apply(connection: TotaraConnection, query: ReadQuery, words: str) -> None:
    limited = replace(connection, query=query)
    with pytest.raises(ConfigurationInvalid, match=words):
        check(limited)
    with pytest.raises(ConfigurationInvalid, match=words), ReportQuerySource(limited).snapshot():
        pass


@pytest.mark.parametrize(
    "query", [ReadQuery(course_ids=(2, 5)), ReadQuery(learner_idnumbers=("EMP00038", "EMP00040", "nobody"))]
)
def test_a_query_that_a_report_can_apply(
    bridge: Bridge, by_database: Bridge, connection: TotaraConnection, query: ReadQuery
) -> None:
    read(bridge, replace(connection, query=query))
    by_database.extract(query=query)
    assert completions(bridge) == completions(by_database)
    assert completions(bridge)
    who = {row["user_id"] for row in completions(bridge)}
    assert {row["user_id"] for row in learners(bridge)} == who


def test_audiences_that_routes_name_are_refused(connection: TotaraConnection) -> None:
    with ReportQuerySource(connection).snapshot() as snapshot:
        assert snapshot.audiences(()) == frozenset()
        with pytest.raises(ConfigurationInvalid, match='names the audience "staff"'):
            snapshot.audiences(("staff",))


def test_the_test_of_a_connection_says_what_is_there(
    connection: TotaraConnection, switches: GraphqlSwitches, sandbox: SandboxTotara
) -> None:
    sandbox.site.faults = meanwhile = Meanwhile()
    assert check(connection) == (
        'Totara\'s report "Lab completions": 3 pages of 700 completions, each read at least twice (more records per '
        "page take less time), dates to the second, first_name and last_name of learners from the API."
    )
    assert meanwhile.asked == 1
    switches.report_dates = "text"
    switches.reports[1].records_per_page = 2_000
    assert check(connection) == (
        'Totara\'s report "Lab completions": 1600 completions on one page, dates by day, first_name and last_name of '
        "learners from the API."
    )


def test_a_page_that_is_too_complex_says_what_to_do(connection: TotaraConnection, switches: GraphqlSwitches) -> None:
    switches.maximum_complexity = 500
    with pytest.raises(TotaraRefused, match="lower the records per page of the report"):
        check(connection)


def test_nothing_is_kept_of_the_rows_but_in_a_file_without_a_name(connection: TotaraConnection) -> None:
    with ReportQuerySource(connection).snapshot() as snapshot:
        lines = b"".join(snapshot.completions(None)).splitlines()
        assert lines == b"".join(snapshot.completions(None)).splitlines()
        assert [int(line.split(b"\t")[0]) for line in lines] == list(range(1, 1_601))
        assert list(snapshot.refused()) == []
        assert (snapshot.fingerprint, snapshot.newest_log_id, snapshot.change_log) == (None, 0, False)
        assert snapshot.clock > 1_700_000_000
