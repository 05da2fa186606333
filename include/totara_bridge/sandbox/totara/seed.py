"""A small Totara site, row for row as recorded from a real 17.3 in which every learner is invented.

1 600 completions of 200 learners in 20 courses, 5 archived ones, 3 819 lines of the change log; user 202 is
deleted with 6 courses completed. Names are in many scripts. The site's criteria were not recorded: each
course gets the one it had (self completion), met by whoever completed the course otherwise than through RPL.
"""

import csv
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Integer, Numeric, Table, func, insert, literal, select

from totara_bridge.sandbox.totara.change_log import Status
from totara_bridge.sandbox.totara.schema import RELEASE, VERSION, Tables, tables

_CAPTURED = Path(__file__).parent / "captured"
_LOADED_AS_RECORDED = (
    "user",
    "cohort_members",
    "job_assignment",
    "org",
    "pos",
    "course",
    "course_categories",
    "enrol",
    "user_enrolments",
    "course_completions",
    "course_completion_history",
    "course_completion_log",
)
SELF_COMPLETION = 1  #: ``course_completion_criteria.criteriatype``


def seed(engine: Engine, prefix: str = "ttr_") -> None:
    """Fill the empty schema with the recorded rows, under their own ids."""
    site = tables(prefix)
    with engine.begin() as connection:
        for name in _LOADED_AS_RECORDED:
            table = getattr(site, name)
            connection.execute(insert(table), list(_recorded(name, table)))
        _seed_with_what_was_left_out(connection, site)
        _seed_criteria(connection, site)
        write_config(connection, site)
        move_sequences(connection, site)


def write_config(connection: Connection, site: Tables) -> None:
    """Say which Totara this is."""
    rows = [{"name": "release", "value": RELEASE}, {"name": "version", "value": VERSION}]
    connection.execute(insert(site.config), rows)


def move_sequences(connection: Connection, site: Tables) -> None:
    """Let the next row of each table get an id past the highest; MySQL and MariaDB do so by themselves."""
    if connection.dialect.name != "postgresql":
        return
    for table in site.metadata.sorted_tables:
        highest = connection.scalar(select(func.max(table.c.id)))
        if highest is not None:
            name = connection.dialect.identifier_preparer.format_table(table)
            sequence = func.pg_get_serial_sequence(name, "id")
            connection.execute(select(func.setval(sequence, highest)))


def _seed_with_what_was_left_out(connection: Connection, site: Tables) -> None:
    audiences = _recorded("cohort", site.cohort)
    connection.execute(insert(site.cohort), [{**row, "contextid": 1} for row in audiences])
    field = {"id": 1, "shortname": "costcentre", "name": "Cost centre", "datatype": "text"}
    connection.execute(insert(site.user_info_field), field)
    values = _recorded("user_info_data", site.user_info_data, left_out="shortname")
    connection.execute(insert(site.user_info_data), [{**row, "fieldid": 1} for row in values])


def _seed_criteria(connection: Connection, site: Tables) -> None:
    courses = (
        select(site.course.c.id, literal(SELF_COMPLETION))
        .where(site.course.c.enablecompletion == 1)
        .order_by(site.course.c.id)
    )
    criteria, met = site.course_completion_criteria, site.course_completion_crit_compl
    connection.execute(insert(criteria).from_select(["course", "criteriatype"], courses))
    current = site.course_completions
    completed = (
        select(current.c.userid, current.c.course, criteria.c.id, current.c.timecompleted)
        .join(criteria, criteria.c.course == current.c.course)
        .where(current.c.status == Status.COMPLETE)
        .order_by(current.c.id)
    )
    columns = ["userid", "course", "criteriaid", "timecompleted"]
    connection.execute(insert(met).from_select(columns, completed))


def _recorded(name: str, table: Table, left_out: str | None = None) -> Iterator[dict[str, Any]]:
    with (_CAPTURED / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        readers = [(key, _reader(table, key)) for key in header if key != left_out]
        kept = [index for index, key in enumerate(header) if key != left_out]
        for line in reader:
            yield {key: read(line[index]) for index, (key, read) in zip(kept, readers, strict=True)}


def _reader(table: Table, key: str) -> Callable[[str], Any]:
    """How a recorded field becomes a value: nothing is NULL where the column allows it, else empty text."""
    column = table.c[key]
    read: Callable[[str], Any] = str
    if isinstance(column.type, Integer):
        read = int
    elif isinstance(column.type, Numeric):
        read = Decimal
    if column.nullable:
        return lambda value: read(value) if value else None
    return read
