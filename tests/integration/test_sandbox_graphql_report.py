"""The report query of a sandbox switched to 19.1: rows as a report shows them, live, with the traps of its resolver."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from tests.graphql_asking import Asking
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.change_log import Status
from totara_bridge.sandbox.totara.http.graphql import SavedSearch
from totara_bridge.sandbox.totara.http.server import SandboxTotara

NOW = 1_800_000_000
RECORDED = json.loads((Path(__file__).parents[1] / "recorded" / "graphql" / "report_lab_completions.json").read_text())
QUERY = """query($input: totara_reportbuilder_get_report_input!) { totara_reportbuilder_get_report(input: $input) {
  report_metadata { report_id title abstract description records_per_page }
  report_pagination { next_cursor total_pages }
  columns { key label }
  rows { data }
} }"""
COMPLETED = "course_completion_completeddate"
STATUS = "course_completion_status"


@pytest.fixture
def asking(totara: Engine) -> Iterator[Asking]:
    with SandboxTotara(totara, clock=lambda: float(NOW)) as sandbox, Asking(sandbox) as client:
        client.switches.release = (19, 1)
        yield client


def _report(asking: Asking, **given: Any) -> dict[str, Any]:
    report: dict[str, Any] = asking.data(QUERY, input={"report_id": 1, **given})["totara_reportbuilder_get_report"]
    return report


def _rows(asking: Asking, **given: Any) -> list[dict[str, str]]:
    report = _report(asking, **given)
    keys = [each["key"] for each in report["columns"]]
    return [dict(zip(keys, row["data"], strict=True)) for row in report["rows"]]


def _all_pairs(asking: Asking, **given: Any) -> list[tuple[str, str]]:
    """User and course of every row, page by page."""
    pairs, page = list[tuple[str, str]](), 1
    while rows := _rows(asking, page=page, **given):
        pairs += [(row["user_id"], row["course_id"]) for row in rows]
        page += 1
    return pairs


def _as(formatter: str, target: str, column: str = COMPLETED) -> list[dict[str, str]]:
    return [{"column": column, "formatter": formatter, "target_format": target}]


def test_columns_and_rows_are_those_of_the_recorded_export(asking: Asking) -> None:
    asking.switches.report_dates = "text"
    report = _report(asking)
    assert [each["key"] for each in report["columns"]] == RECORDED["columns"]
    shown = [row["data"] for row in report["rows"]]
    assert len(RECORDED["rows"]) == 29
    assert shown[:29] == RECORDED["rows"]


def test_it_says_what_it_is(asking: Asking) -> None:
    report = _report(asking)
    assert report["report_metadata"] == {
        "report_id": "1",
        "title": "Lab completions",
        "abstract": "",
        "description": "",
        "records_per_page": 40,
    }
    assert report["report_pagination"] == {"next_cursor": None, "total_pages": None}
    assert report["columns"][7] == {"key": STATUS, "label": "Completion status"}


def test_pages_are_counted_only_if_asked(asking: Asking) -> None:
    def pagination(page: int) -> dict[str, Any]:
        report = _report(asking, page=page, display_report_pagination=True)
        return dict(report["report_pagination"])

    assert pagination(1) == {"next_cursor": 2, "total_pages": 40}
    assert pagination(40) == {"next_cursor": None, "total_pages": 40}
    assert pagination(41) == {"next_cursor": None, "total_pages": 40}


def test_in_its_own_order_every_row_comes_once(asking: Asking) -> None:
    asking.switches.reports[1].records_per_page = 300
    pairs = _all_pairs(asking)
    assert len(pairs) == len(set(pairs)) == 1600


def test_sorted_by_a_column_with_equal_values_rows_come_twice_or_never(asking: Asking) -> None:
    asking.switches.reports[1].records_per_page = 300
    pairs = _all_pairs(asking, sort_by={"column": "course_id", "direction": "ASC"})
    assert len(pairs) == 1600
    assert len(set(pairs)) < 1600
    asking.switches.unstable_ties = False
    assert len(set(_all_pairs(asking, sort_by={"column": "course_id", "direction": "ASC"}))) == 1600


def test_a_sort_goes_down_unless_said(asking: Asking) -> None:
    assert _rows(asking, sort_by={"column": "course_id"})[0]["course_id"] == "21"
    assert _rows(asking, sort_by={"column": "course_id", "direction": "ASC"})[0]["course_id"] == "2"


def test_a_row_that_goes_meanwhile_moves_those_behind_it(asking: Asking, totara: Engine) -> None:
    first = _rows(asking)
    expected = _rows(asking, page=2)
    TotaraActs(totara).delete_completion(int(first[0]["user_id"]), int(first[0]["course_id"]))
    assert _rows(asking, page=2)[:-1] == expected[1:]


def test_a_completion_shows_in_the_next_answer(asking: Asking, totara: Engine) -> None:
    acts = TotaraActs(totara, clock=lambda: NOW)
    user, course = acts.pair_with(Status.IN_PROGRESS)
    acts.complete(user, course, at=NOW - 5)
    asking.switches.saved_searches[4] = SavedSearch(completed_since=NOW - 5)
    (row,) = _rows(asking, saved_search_id=4)
    assert (row["user_id"], row["course_id"], row[STATUS]) == (str(user), str(course), "Complete")
    assert row[COMPLETED] == str(NOW - 5)


def test_a_saved_search_narrows_rows_and_pages(asking: Asking, totara: Engine) -> None:
    asking.switches.saved_searches[7] = SavedSearch(statuses=frozenset({Status.COMPLETE_RPL}))
    current = asking.site.tables.course_completions
    there = asking.site.rows(select(func.count().label("n")).where(current.c.status == Status.COMPLETE_RPL))[0]["n"]
    report = _report(asking, saved_search_id=7, display_report_pagination=True)
    assert report["report_pagination"]["total_pages"] == there / 40 == 3
    assert {row["data"][7] for row in report["rows"]} == {"Complete via rpl"}


@pytest.mark.parametrize("target", ["ISO8601", "iso8601", "TIMESTAMP"])
def test_dates_in_a_custom_format_are_exact_where_the_column_has_them_exact(asking: Asking, target: str) -> None:
    shown = _rows(asking, custom_formats=_as("DATE", target))[1][COMPLETED]
    exact = _rows(asking)[1][COMPLETED]
    assert exact == "1773197673"
    assert shown == (exact if target == "TIMESTAMP" else "2026-03-11T02:54:33+0000")


def test_dates_that_show_as_text_are_midnight_in_a_custom_format(asking: Asking) -> None:
    asking.switches.report_dates = "text"
    assert _rows(asking)[1][COMPLETED] == "11 Mar 2026"
    assert _rows(asking, custom_formats=_as("DATE", "ISO8601"))[1][COMPLETED] == "2026-03-11T00:00:00+0000"
    asking.switches.zone = "Pacific/Auckland"
    assert _rows(asking, custom_formats=_as("DATE", "ISO8601"))[1][COMPLETED] == "2026-03-11T00:00:00+1300"


def test_an_empty_date_becomes_the_present_in_a_custom_format(asking: Asking) -> None:
    first = _rows(asking, custom_formats=_as("DATE", "TIMESTAMP"))[0]
    assert first[STATUS] == "Not yet started"
    assert first[COMPLETED] == str(NOW)
    assert _rows(asking)[0][COMPLETED] == ""
    asking.switches.empty_dates_become_now = False
    assert _rows(asking, custom_formats=_as("DATE", "TIMESTAMP"))[0][COMPLETED] == ""


@pytest.mark.parametrize(("formatter", "target"), [("STRING", "RAW"), ("TEXT", "PLAIN"), ("TEXTAREA", "HTML")])
def test_a_custom_format_of_the_status_is_made_of_its_words(asking: Asking, formatter: str, target: str) -> None:
    assert _rows(asking, custom_formats=_as(formatter, target, STATUS))[2][STATUS] == "Complete via rpl"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", ("Abschlussdatum", "Abgeschlossen durch Anerkennung", "25 Jan. 2026", "55,0%")),
        ("fr", ("Date d'achèvement", "Terminé par reconnaissance", "25 janv. 2026", "55,0%")),
    ],
)
def test_words_follow_the_language_and_keys_do_not(asking: Asking, language: Any, words: tuple[str, ...]) -> None:
    asking.switches.language = language
    asking.switches.report_dates = "text"
    report = _report(asking)
    assert [each["key"] for each in report["columns"]] == RECORDED["columns"]
    row = _rows(asking)[2]
    shown = (row[STATUS], row[COMPLETED], row["course_completion_grade"])
    assert (report["columns"][10]["label"], *shown) == words
    error = asking.error(QUERY, input={"report_id": 1, "custom_formats": _as("DATE", "ISO8601")})
    assert "setTimestamp()" in error["debugMessage"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"report_id": 9}, "Cannot find report with ID 9"),
        ({"saved_search_id": 145}, "Cannot find saved search with ID 145"),
        ({"saved_search_id": 2}, "Provided saved search (2) is not a shared search and does not belong to this user."),
        ({"saved_search_id": 3}, "Provided saved search ID (3) does not belong to report 1"),
        ({"sort_by": {"column": "id; DROP"}}, "Invalid sort column: id; DROP"),
        ({"custom_formats": _as("WORD", "RAW")}, "Invalid custom format formatter provided: WORD"),
        ({"custom_formats": _as("TEXT", "")}, "No target_format has been provided for the formatter TEXT"),
        ({"custom_formats": _as("TEXT", "plain", "")}, "No column has been provided for the formatter TEXT"),
        (
            {"custom_formats": _as("TEXT", "plain", "x")},
            'Unable to resolve a column with the name "x" on the report',
        ),
        (
            {"custom_formats": _as("TEXT", "ISO8601")},
            "Invalid format (ISO8601) given for the formatter of the type TEXT. "
            "Please check that you have the correct formatter for the type of data you want to modify.",
        ),
    ],
)
def test_what_cannot_be_given_is_an_internal_error_with_its_reason(
    asking: Asking, given: dict[str, Any], said: str
) -> None:
    asking.switches.saved_searches |= {2: SavedSearch(shared=False), 3: SavedSearch(report_id=5)}
    error = asking.error(QUERY, input={"report_id": 1, **given})
    assert error["debugMessage"] == said
    assert error["message"] == "Internal server error"
    assert error["path"] == ["totara_reportbuilder_get_report"]


def test_a_report_may_be_there_and_not_for_the_service_account(asking: Asking) -> None:
    asking.switches.reports[1].allowed = False
    error = asking.error(QUERY, input={"report_id": 1})
    assert error["debugMessage"] == "You do not have permission to view this report"


def test_a_report_may_lack_a_column(asking: Asking) -> None:
    asking.switches.reports[1].columns = ("user_id", "course_id")
    report = _report(asking)
    assert report["columns"] == [{"key": "user_id", "label": "User ID"}, {"key": "course_id", "label": "Course ID"}]
    assert report["rows"][0]["data"] == ["40", "2"]


def test_the_report_costs_fifty_and_one_for_each_row(asking: Asking) -> None:
    asking.switches.maximum_complexity = 50 + 1 + 40 + 2
    query = "{ totara_reportbuilder_get_report(input: {report_id: 1}) { rows { data } } }"
    assert len(asking.data(query)["totara_reportbuilder_get_report"]["rows"]) == 40
    asking.switches.reports[1].records_per_page = 41
    answer = asking.ask(query).json()
    assert answer["errors"][0]["extensions"]["category"] == "query_complexity"
