"""A row of a queried report as what it means: moments, days in whose zone, people, and what cannot be."""

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from totara_bridge.completion import COMPLETION_COLUMNS
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report import ColumnName, Report
from totara_bridge.totara.report_query.reading import Row
from totara_bridge.totara.report_query.rows import Person, RowReader, is_exact
from totara_bridge.totara.report_row import RowRefused
from totara_bridge.totara.source import SourceKind

COLUMNS: tuple[ColumnName, ...] = (
    "user_id", "course_id", "status", "time_completed", "time_started", "grade", "rpl", "progress", "time_zone",
    "username", "id_number", "email", "short_name", "course_id_number", "full_name",
)  # fmt: skip
NEW_YORK = TotaraConnection(source=SourceKind.REPORT_QUERY, report=Report(id=1), zone=ZoneInfo("America/New_York"))
USUAL = {"user_id": "3", "course_id": "2", "status": "Complete"}


def reader(connection: TotaraConnection = NEW_YORK) -> RowReader:
    return RowReader({name: place for place, name in enumerate(COLUMNS)}, connection)


def row(**said: str) -> Row:
    return Row(1, 1, [(USUAL | said).get(name, "") for name in COLUMNS])


def completion(connection: TotaraConnection = NEW_YORK, **said: str) -> dict[str, Any]:
    line = reader(connection).completion(row(**said), 7).decode().rstrip("\n").split("\t")
    return {name: None if value == "\\N" else value for name, value in zip(COMPLETION_COLUMNS, line, strict=True)}


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [
        ("1762732800", 1_762_732_800),
        ("2025-11-10T00:00:00+0000", 1_762_732_800),
        ("2025-11-09T19:00:00-05:00", 1_762_732_800),
        ("2025-11-10T00:00:00Z", 1_762_732_800),
        ("2025-11-09 19:00", 1_762_732_800),
        ("2025-11-09 19:00:00", 1_762_732_800),
    ],
)
def test_a_moment_is_exact(shown: str, seconds: int) -> None:
    assert is_exact(shown)
    said = completion(time_completed=shown)
    assert (said["time_completed"], said["time_completed_until"]) == (str(seconds), None)


@pytest.mark.parametrize(
    ("shown", "progress"), [("55%", "55"), ("100", "100"), ("101", None), ("-", None), ("\u0665\u0665%", None)]
)
def test_progress_is_a_number_that_a_database_takes(shown: str, progress: str | None) -> None:
    assert completion(progress=shown)["progress"] == progress


@pytest.mark.parametrize("shown", ["", "-", "0"])
def test_nothing_is_no_date_and_says_nothing_of_how_exact_dates_are(shown: str) -> None:
    assert is_exact(shown)
    said = completion(time_completed=shown, time_started=shown, grade=shown, rpl="", progress=shown)
    assert (said["time_completed"], said["time_completed_until"], said["time_started"]) == (None, None, None)
    assert (said["grade"], said["rpl"]) == (None, None)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("10 Nov 2025", 24), ("2 Nov 2025", 25), ("8 Mar 2026", 23), ("2026-03-08", 23)],
    ids=["a usual day", "clocks go back", "clocks go forward", "in numbers"],
)
def test_a_day_is_as_long_as_it_was_there(day: str, hours: int) -> None:
    assert not is_exact(day)
    said = completion(time_completed=day)
    assert int(said["time_completed_until"]) - int(said["time_completed"]) == hours * 3_600


def test_of_the_day_when_it_began_nothing_is_made_up() -> None:
    assert completion(time_started="10 Nov 2025")["time_started"] is None
    assert completion(time_started="1762732800")["time_started"] == "1762732800"


@pytest.mark.parametrize(
    ("zone", "first"),
    [("Pacific/Auckland", 1_762_686_000), ("99", 1_762_750_800), ("", 1_762_750_800), ("-", 1_762_750_800)],
)
def test_the_day_is_the_learners_where_that_is_set(zone: str, first: int) -> None:
    learners = replace(NEW_YORK, days_of="learner")
    assert completion(learners, time_completed="10 Nov 2025", time_zone=zone)["time_completed"] == str(first)
    assert completion(time_completed="10 Nov 2025", time_zone=zone)["time_completed"] == str(1_762_750_800)


@pytest.mark.parametrize(
    ("status", "grade", "given"), [("Complete via rpl", "55.0%", "55.0"), ("Complete", "55.0%", None)]
)
def test_a_grade_is_that_of_recognised_learning(status: str, grade: str, given: str | None) -> None:
    assert completion(status=status, grade=grade)["grade"] == given


@pytest.mark.parametrize(
    ("said", "words", "pair"),
    [
        ({"user_id": "Zoë"}, "the learner's id is no number", (0, 0)),
        ({"course_id": "0"}, "the course's id is no number", (0, 0)),
        ({"status": "Done"}, 'the status "Done" is not known', (3, 2)),
        ({"time_completed": "someday"}, '"someday" is not read as a day', (3, 2)),
        ({"time_completed": "2025-02-30T10:00:00"}, 'there is no moment "2025-02-30T10:00:00"', (3, 2)),
        ({"time_completed": "12345"}, "which number", (3, 2)),
        ({"status": "75", "grade": "A+"}, 'the grade "A+" is no percentage', (3, 2)),
        ({"time_zone": "Mars/Phobos", "time_completed": "10 Nov 2025"}, 'the time zone "Mars/Phobos"', (3, 2)),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(said: dict[str, str], words: str, pair: tuple[int, int]) -> None:
    with pytest.raises(RowRefused) as raised:
        completion(replace(NEW_YORK, days_of="learner"), **said)
    assert words in str(raised.value)
    assert "Zoë" not in str(raised.value)
    assert raised.value.pair == pair


def test_a_hidden_address_is_none() -> None:
    assert reader().person(row(email="Email is private")).email is None
    assert reader().person(row(email="a@example.com")).email == "a@example.com"
    assert reader().person(row(email="")).email == ""


def test_who_is_deleted_shows() -> None:
    assert reader().person(row(username="deleted_9f")).deleted
    assert reader().person(row(username="deleted_9f", email="a@example.com")).deleted is None
    assert Person(None, None, None, None, None).deleted is None


def test_a_course_that_is_gone_stays_as_it_was() -> None:
    assert reader().course(row()) == b"2\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n"
    assert reader().course(row(short_name="C1")) == b"2\t\\N\t\\N\tC1\t\t\\N\t\\N\n"
