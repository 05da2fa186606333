"""A schedule of the report builder writes its CSV files as recorded on a real 17.3: values as a person reads them.

By ``copy()``: bit by bit at its final place, over the file of the same day; and no file at all when there are no rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from totara_bridge.sandbox.totara.http.report_rows import DATE_COLUMNS, RECORDED_COLUMNS, Narrowed, rows
from totara_bridge.sandbox.totara.http.report_words import Language, day, label, percentage, status_words
from totara_bridge.sandbox.totara.schema import Tables, tables

#: What makes PHP's ``fputcsv`` put a value in quotation marks.
_QUOTED_FOR = frozenset(' ,"\\\t\r\n')


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A scheduled report and how its owner sees it."""

    id: int = 1
    report: str = "Lab completions"
    owner: str = "admin"
    language: Language = "en"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    columns: Sequence[str] = RECORDED_COLUMNS
    headings: bool = False  #: headings in the owner's language instead of the columns' keys
    narrowed: Narrowed = field(default_factory=Narrowed)


class ReportBuilder:
    """Writes the reports of one sandbox Totara below a folder."""

    def __init__(self, engine: Engine, folder: Path, *, prefix: str = "ttr_") -> None:
        """:param folder: where the site exports its files to; each owner has one in it."""
        self._engine = engine
        self._folder = folder
        self._tables = tables(prefix)

    def write(self, schedule: Schedule, now: datetime) -> Path | None:
        """Write the day's file anew; none: the report is empty."""
        content = exported(self._engine, self._tables, schedule)
        if content is None:
            return None
        path = self._path(schedule, now)
        path.write_bytes(content)
        return path

    @contextmanager
    def half_written(self, schedule: Schedule, now: datetime, *, share: float = 0.5) -> Iterator[Path]:
        """The day's file while a part of it is still missing, which comes when the block ends.

        :raises LookupError: the report is empty.
        """
        content = exported(self._engine, self._tables, schedule)
        if content is None:
            raise LookupError(f"The report {schedule.report} is empty, so no file is written.")
        path, cut = self._path(schedule, now), int(len(content) * share)
        with path.open("wb") as file:
            file.write(content[:cut])
            file.flush()
            yield path
            file.write(content[cut:])

    def _path(self, schedule: Schedule, now: datetime) -> Path:
        folder = self._folder / schedule.owner
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{schedule.report.replace(' ', '_')}_{now.astimezone(schedule.zone):%d%m%Y}_{schedule.id}.csv"


def exported(engine: Engine, site: Tables, schedule: Schedule) -> bytes | None:
    """What stands in the file; none: the report is empty."""
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(rows(site, schedule.narrowed)).mappings()]
    if not found:
        return None
    header = [label(key, schedule.language) if schedule.headings else key for key in schedule.columns]
    lines = [header, *([_shown(row, key, schedule) for key in schedule.columns] for row in found)]
    return "".join(map(csv_line, lines)).encode()


def _shown(row: Mapping[str, Any], key: str, schedule: Schedule) -> str:
    value = row[key]
    if key == "course_completion_status":
        return status_words(value, schedule.language)
    if key in DATE_COLUMNS:
        return day(value, schedule.zone, schedule.language)
    if key == "course_completion_grade":
        return percentage(value, schedule.language)
    return "" if value is None else str(value)


def csv_line(values: Sequence[str]) -> str:
    """Values as PHP's ``fputcsv`` writes them."""
    return ",".join(map(_quoted, values)) + "\n"


def _quoted(value: str) -> str:
    """As PHP does it: a quotation mark after a backslash is not doubled."""
    if not _QUOTED_FOR.intersection(value):
        return value
    doubled, escaped = "", False
    for character in value:
        doubled += '""' if character == '"' and not escaped else character
        escaped = character == "\\"
    return f'"{doubled}"'
