"""Schedules tick once where clocks change, by Airflow's own timetable and by the bridge's own reckoning alike."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import DataInterval, TimeRestriction, Timetable
from pydantic import TypeAdapter

from totara_bridge.config import BridgeConfig, Extract, Site
from totara_bridge.config.schedule import Schedule, next_tick
from totara_bridge.extract.full_compare import due
from totara_bridge.orchestration.timetable import timetable
from totara_bridge.staging.site import Watermark

BERLIN, AUCKLAND, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Auckland"), ZoneInfo("UTC")


def airflows(line: str, zone: ZoneInfo) -> Timetable:
    """The timetable as the scheduler reads it from a serialised DAG."""
    return decode_timetable(encode_timetable(timetable(line, zone)))


def ticks(line: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """When Airflow begins runs."""
    schedule, last = airflows(line, zone), pendulum.instance(start)
    found: list[datetime] = []
    while last < end:
        run = schedule.next_dagrun_info(
            last_automated_data_interval=DataInterval.exact(last),
            restriction=TimeRestriction(earliest=None, latest=None, catchup=True),
        )
        assert run is not None
        last = run.run_after
        found.append(datetime.fromtimestamp(last.timestamp(), UTC))
    return found


@pytest.mark.parametrize("zone", [BERLIN, AUCKLAND, UTC_ZONE])
def test_half_past_two_comes_once_on_each_day_of_the_year(zone: ZoneInfo) -> None:
    year = ticks("30 2 * * *", zone, datetime(2026, 1, 1, tzinfo=zone), datetime(2026, 12, 31, tzinfo=zone))
    days = [tick.astimezone(zone).date() for tick in year]
    assert len(days) == len(set(days)) == 365
    strange = [wall for tick in year if (wall := tick.astimezone(zone)).time() != time(2, 30)]
    assert [wall.time() for wall in strange] == [time(3, 30)] * (zone is not UTC_ZONE)  # a time that is left out


@pytest.mark.parametrize("zone", [BERLIN, AUCKLAND])
def test_every_hour_is_every_hour_while_clocks_change(zone: ZoneInfo) -> None:
    for month in (3, 4, 9, 10):
        start = datetime(2026, month, 1, tzinfo=UTC)
        found = ticks("0 * * * *", zone, start, start + timedelta(days=30))
        assert {after - before for before, after in pairwise(found)} == {timedelta(hours=1)}


LINES = ["0 * * * *", "*/15 * * * *", "30 2 * * *", "*/20 1-3 * * *", "0 */6 * * *", "0 6 * * mon-fri", "5 0 1 * *"]


@pytest.mark.parametrize("zone", [BERLIN, AUCKLAND, UTC_ZONE])
@pytest.mark.parametrize("line", LINES)
def test_a_sites_own_schedule_ticks_as_airflow_does(line: str, zone: ZoneInfo) -> None:
    for month, day in ((3, 26), (4, 2), (9, 24), (10, 22)):  # days before clocks change
        last = datetime(2026, month, day, 0, 7, 13, tzinfo=UTC)
        for tick in ticks(line, zone, last, last + timedelta(days=5)):
            assert next_tick(line, zone, last) == tick, (line, last)
            last = tick


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("hourly", "0 * * * *"),
        ("daily", "0 0 * * *"),
        (" weekly ", "0 0 * * 0"),
        ("0  6 * *\tmon-fri", "0 6 * * mon-fri"),
        ("0 0 L * *", "0 0 L * *"),
        ("0 0 * * sun#2", "0 0 * * sun#2"),
        ("*/7 1,2 1-5/2 mar,apr *", "*/7 1,2 1-5/2 mar,apr *"),
    ],
)
def test_what_is_accepted_airflow_can_read(written: str, meant: str) -> None:
    line = TypeAdapter(Schedule).validate_python(written)
    assert line == meant
    schedule = airflows(line, UTC_ZONE)
    schedule.validate()
    assert schedule.summary == meant


# the turns of a site


NOW = datetime(2026, 5, 4, 9, 0, 20, tzinfo=UTC)  # a Monday


def turn(**rhythm: str) -> datetime:
    """When a site that was read now is read next, if there is a run every quarter of an hour."""
    site = Site.model_validate({"code": "aa", "connection": "totara", **rhythm})
    config = BridgeConfig(sites=(site,), destinations=(), extract=Extract(schedule="*/15 * * * *"), timezone=BERLIN)
    return config.next_turn("aa", NOW)


def test_a_site_is_read_by_the_first_run_at_or_after_its_turn() -> None:
    assert turn() == NOW.replace(minute=15, second=0)
    assert turn(every="PT1H") == NOW.replace(hour=10, minute=15, second=0)
    assert turn(schedule="hourly") == NOW.replace(hour=10, second=0)
    assert turn(schedule="5 6 * * *") == datetime(2026, 5, 5, 4, 15, tzinfo=UTC)  # six in Berlin
    assert turn(schedule="weekly") == datetime(2026, 5, 9, 22, tzinfo=UTC)


# the time of the full compare


def compare_due(compared: datetime, now: datetime, zone: ZoneInfo) -> bool:
    before = Watermark(log_id=1, read_at=0, extracted_at=compared, compared_at=compared, query="{}", source="database")
    return due(before, newest_log_id=1, at=time(2, 30, tzinfo=zone), now=now)


@pytest.mark.parametrize("zone", [BERLIN, AUCKLAND, UTC_ZONE])
def test_a_full_compare_is_due_once_a_day_by_the_wall_clock(zone: ZoneInfo) -> None:
    for month in (3, 4, 9, 10):
        now = compared = datetime(2026, month, 1, tzinfo=zone).astimezone(UTC)
        done = []
        for _ in range(30 * 24 * 4):
            now += timedelta(minutes=15)
            if compare_due(compared, now, zone):
                compared = now
                done.append(now.astimezone(zone))
        assert len({each.date() for each in done}) == len(done) >= 30
        assert {each.time() for each in done} <= {time(2, 30), time(3, 30)}
