"""A schedule of bridge.toml as Airflow's timetable."""

from zoneinfo import ZoneInfo

from airflow.sdk import CronTriggerTimetable


def timetable(line: str, zone: ZoneInfo) -> CronTriggerTimetable:
    """Runs begin at each tick of the line, by the wall clock of the zone; ticks that were missed are not caught up."""
    return CronTriggerTimetable(line, timezone=zone.key)
