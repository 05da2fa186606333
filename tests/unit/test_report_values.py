"""Cells of a report mean what they show: every moment lies in the day that a report shows for it, in any zone."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totara_bridge.completion import Status
from totara_bridge.sandbox.totara.http.report_words import MONTHS, STATUS_WORDS, Language, day, percentage
from totara_bridge.totara.report import Report
from totara_bridge.totara.report_values import day_of, grade_of, status_of

BERLIN = ZoneInfo("Europe/Berlin")
ENGLISH = Report()
#: With summer time that begins at midnight, half hours, and dates far apart.
ZONES = (
    "UTC", "Europe/Berlin", "America/Santiago", "America/Havana", "Africa/Cairo", "Asia/Beirut", "America/Asuncion",
    "America/Sao_Paulo", "Atlantic/Azores", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
)  # fmt: skip


def _at(text: str, zone: ZoneInfo) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


@given(
    moment=st.integers(
        int(datetime(2013, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2035, 1, 1, tzinfo=UTC).timestamp())
    ),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    language=st.sampled_from(["en", "de", "fr"]),
)
def test_a_moment_lies_in_the_day_that_is_shown(moment: int, zone: ZoneInfo, language: Language) -> None:
    shown = day(moment, zone, language)
    span = day_of(shown, Report(months=MONTHS[language]), zone)
    assert span is not None
    assert span[0] <= moment < span[1]
    for second in (span[0], span[1] - 1):
        assert day(second, zone, language) == shown
    for second in (span[0] - 1, span[1]):
        assert day(second, zone, language) != shown


@pytest.mark.parametrize(
    ("shown", "hours"), [("2026-03-29", 23), ("2026-03-30", 24), ("2026-10-25", 25), ("2026-10-26", 24)]
)
def test_days_on_which_clocks_are_set(shown: str, hours: int) -> None:
    span = day_of(shown, ENGLISH, BERLIN)
    assert span is not None
    assert span[1] - span[0] == hours * 3600
    last_half_hour = _at(f"{shown}T23:30:00", BERLIN)
    assert span[1] - last_half_hour == 1800


def test_a_day_that_begins_at_one_o_clock() -> None:
    span = day_of("6 Sep 2026", ENGLISH, ZoneInfo("America/Santiago"))
    assert span is not None
    assert datetime.fromtimestamp(span[0], ZoneInfo("America/Santiago")).hour == 1
    assert span[1] - span[0] == 23 * 3600


def test_a_day_that_a_zone_skipped() -> None:
    with pytest.raises(ValueError, match="there was no day"):
        day_of("30 Dec 2011", ENGLISH, ZoneInfo("Pacific/Apia"))


@pytest.mark.parametrize(
    "text",
    ["10 Nov 2025", "10 November 2025", "10. Nov. 2025", "Nov 10, 2025", "10-nov-2025", "2025-11-10", "10.11.2025",
     " 10  Nov 2025 ", "10\xa0Nov\xa02025", "2025年11月10日"],
)  # fmt: skip
def test_ways_to_write_a_day(text: str) -> None:
    start = _at("2025-11-10T00:00:00", BERLIN)
    assert day_of(text, ENGLISH, BERLIN) == (start, start + 86_400)


def test_a_month_in_the_reports_own_words() -> None:
    names = ["enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre"]
    report = Report(months=(*names, "noviembre", "diciembre"))
    assert day_of("10 de noviembre de 2025", report, BERLIN) == day_of("10 Nov 2025", ENGLISH, BERLIN)
    assert day_of("1 ene 2026", report, BERLIN) == day_of("1 Jan 2026", ENGLISH, BERLIN)
    assert day_of("5 Aug 2026", report, BERLIN) == day_of("5 Aug 2026", ENGLISH, BERLIN), "English is known as well"


@pytest.mark.parametrize("text", ["", "-", "  ", " - "])
def test_no_day_and_no_grade(text: str) -> None:
    assert day_of(text, ENGLISH, BERLIN) is None
    assert grade_of(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("11/10/2025", "which number"),
        ("31 Feb 2026", "there is no day"),
        ("10 Ju 2025", "not read as a day"),
        ("10 Nov", "not read as a day"),
        ("10 Nov 25", "not read as a day"),
        ("10 Nov Dec 2025", "not read as a day"),
        ("10 Nov 2025 23:30", "not read as a day"),
        ("Anna Garcia", "not read as a day"),
        ("31 Dec 9999", "out of reach"),
        ("0000-01-01", "there is no day"),
    ],
)
def test_what_is_no_day(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        day_of(text, ENGLISH, BERLIN)


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_words_of_a_status(language: Language) -> None:
    meanings = {10: Status.NOT_STARTED, 25: Status.IN_PROGRESS, 50: Status.COMPLETE, 75: Status.COMPLETE_RPL}
    words = {STATUS_WORDS[language][code]: status for code, status in meanings.items()}
    report = Report(words={} if language == "en" else words)
    for said, status in words.items():
        assert status_of(said, report) is status
        assert status_of(f" {said.upper()} ", report) is status


def test_the_reports_own_words_come_first() -> None:
    report = Report(words={"Complete": Status.COMPLETE_RPL, "Done": Status.COMPLETE})
    assert status_of("complete", report) is Status.COMPLETE_RPL
    assert status_of("done", report) is Status.COMPLETE
    assert status_of("In progress", report) is Status.IN_PROGRESS
    assert status_of("75", report) is Status.COMPLETE_RPL


@pytest.mark.parametrize("words", ["Abgeschlossen", "", "-", "x" * 500])
def test_an_unknown_status(words: str) -> None:
    with pytest.raises(ValueError, match="is not known: say what it means") as refused:
        status_of(words, ENGLISH)
    assert len(str(refused.value)) < 300


@given(st.decimals(0, 999, places=1), st.sampled_from(["en", "de"]))
def test_a_grade_is_read_as_it_is_shown(grade: Decimal, language: Language) -> None:
    assert grade_of(percentage(grade, language)) == grade


@pytest.mark.parametrize(("text", "grade"), [("55", "55"), ("55,0 %", "55.0"), ("55.5\xa0%", "55.5")])
def test_ways_to_write_a_grade(text: str, grade: str) -> None:
    assert grade_of(text) == Decimal(grade)


@pytest.mark.parametrize("text", ["A+", "Pass", "-5%", "1e5", "NaN", "1.000,5"])
def test_what_is_no_grade(text: str) -> None:
    with pytest.raises(ValueError, match="is no percentage"):
        grade_of(text)
