"""When something is due: hourly, daily, weekly, or a line of cron's five fields, in one time zone for all."""

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter
from pydantic import AfterValidator, BeforeValidator

_WORDS = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 0"}

#: From where it is tried whether a schedule ever comes.
_SOME_DAY = datetime(2026, 1, 1)  # noqa: DTZ001  the wall clock's


def next_tick(line: str, zone: ZoneInfo, after: datetime) -> datetime:
    """The first time after ``after`` that a schedule names; the same as Airflow's own timetables find.

    Where clocks are set forward a time that is left out comes an hour later; where they are set back, one that comes
    twice counts the second time, and a schedule of every hour goes on by the hour.
    """
    wall = after.astimezone(zone).replace(tzinfo=None)
    schedule = croniter(line, wall)
    tick: datetime = schedule.get_next(datetime)
    if schedule.expanded[1] == ["*"]:  # every hour
        return after.astimezone(UTC) + (tick - wall)
    return max(tick.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def _cron_line(given: str) -> str:
    """The line of five fields that is meant.

    :raises ValueError: it is none, or names no time that ever comes.
    """
    line = " ".join(_WORDS.get(given.strip(), given).split())
    # croniter's own letters for a time by chance: each process would find another
    by_chance = any(part[:1] in {"h", "r"} for part in line.lower().replace(",", " ").split())
    if len(line.split()) != 5 or by_chance:
        raise ValueError(_NO_SCHEDULE.format(given))
    try:
        croniter(line, _SOME_DAY).get_next(datetime)
    except CroniterBadDateError as error:
        raise ValueError(f"{given!r} names a time that never comes: correct the day or the month") from error
    except CroniterBadCronError as error:
        raise ValueError(_NO_SCHEDULE.format(given)) from error
    return line


_NO_SCHEDULE = (
    "{!r} is no schedule: write hourly, daily, weekly, or a cron line of five fields, such as 0 6 * * mon-fri "
    "for six o'clock on working days"
)


def _zone(given: object) -> object:
    """The zone of that name.

    :raises ValueError: there is none.
    """
    if not isinstance(given, str):
        return given
    try:
        return ZoneInfo(given)
    except (KeyError, ValueError, OSError) as error:  # unknown; no name; a folder of names
        raise ValueError(f"there is no time zone {given!r}: write a name such as UTC or Pacific/Auckland") from error


#: A cron line of five fields, however it was written.
Schedule = Annotated[str, AfterValidator(_cron_line)]

#: A time zone by its name in the IANA database.
Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]
