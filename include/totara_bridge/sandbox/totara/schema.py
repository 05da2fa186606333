"""The tables of a Totara 17.3 that learning data is read from, portable to PostgreSQL, MySQL and MariaDB.

Columns, lengths, defaults, unique keys and indexes were read off a real site (PostgreSQL, prefix ``ttr_``).
Of ``enrol``, and of ``course_categories``, ``job_assignment``, ``org``, ``pos``, ``user_info_*`` and ``config``,
whose definition was not recorded, only the columns needed here exist. No foreign keys: rows of deleted users and
courses may stay.
"""

import functools
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Engine, Index, MetaData, PrimaryKeyConstraint, Table

from totara_bridge.sandbox.totara import schema_courses, schema_people

#: What the recorded site says of itself in ``config``.
RELEASE = "17.3 (Build: 20230130)"
VERSION = "2022110800.03"


@dataclass(frozen=True)
class Tables:
    """Every table, by Totara's name without the prefix."""

    metadata: MetaData
    user: Table
    user_info_field: Table
    user_info_data: Table
    cohort: Table
    cohort_members: Table
    job_assignment: Table
    org: Table
    pos: Table
    course: Table
    course_categories: Table
    enrol: Table
    user_enrolments: Table
    course_completions: Table
    course_completion_history: Table
    course_completion_log: Table
    course_completion_criteria: Table
    course_completion_crit_compl: Table
    config: Table


@functools.cache
def tables(prefix: str = "ttr_") -> Tables:
    """The tables under this prefix; the same object each time."""
    metadata = MetaData()
    made = {
        name: Table(
            f"{prefix}{name}",
            metadata,
            Column("id", BigInteger, autoincrement=True),
            *definition.columns,
            PrimaryKeyConstraint("id", name=f"{prefix}{definition.short}_id_pk"),
            *_indexes(f"{prefix}{definition.short}", definition.indexes),
            mysql_charset="utf8mb4",
            mysql_engine="InnoDB",
        )
        for name, define in {**schema_people.DEFINITIONS, **schema_courses.DEFINITIONS}.items()
        for definition in [define()]
    }
    return Tables(metadata=metadata, **made)


def create(engine: Engine, prefix: str = "ttr_") -> None:
    """Make the tables that are not there yet."""
    tables(prefix).metadata.create_all(engine)


def drop(engine: Engine, prefix: str = "ttr_") -> None:
    """Remove the tables that are there, with all their rows."""
    tables(prefix).metadata.drop_all(engine)


def _indexes(start: str, indexes: str) -> list[Index]:
    made = []
    for each in indexes.split():
        suffix, _, columns = each.partition(":")
        made.append(Index(f"{start}_{suffix}", *columns.split(","), unique=suffix.endswith("uix")))
    return made
