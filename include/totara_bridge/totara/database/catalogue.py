"""What a Totara's database has of all that could be read: found by looking at it, never by its release.

The installation files of Totara 12.9 and 13.1 were compared with a real 17.3: of the courses, categories, criteria and
completions, what is read is in all three but for ``course.containertype``, which came with 13. What releases after 17
leave out is not known. So what the bridge can do without may be absent, and what it cannot do without is named where it
is.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from totara_bridge.totara.answers import code_and_words

DENIED = {"42501", "1142", "1143"}
MISSING = {"42P01", "42703", "1146", "1054"}

#: All that is read: table → columns.
READ: Mapping[str, tuple[str, ...]] = {
    table: tuple(columns.split())
    for table, columns in {
        "user": "id username idnumber email firstname lastname suspended deleted",
        "course": "id category shortname idnumber fullname visible timecreated containertype",
        "course_categories": "id path",
        "course_completions": "id userid course status timeenrolled timestarted timecompleted rpl rplgrade",
        "course_completion_history": "id courseid userid timecompleted grade",
        "course_completion_log": "id courseid userid timemodified",
        "course_completion_criteria": "id course",
        "course_completion_crit_compl": "userid course timecompleted",
        "cohort": "id idnumber",
        "cohort_members": "cohortid userid",
    }.items()
}
OF_AUDIENCES = ("cohort", "cohort_members")

#: What the bridge can do without, and what is said of it.
OPTIONAL: Mapping[str, str] = {
    "course_completion_log": "no change log: each extract reads everything",
    "course_completion_history": "no history table: archived completions are not seen",
    "course_completion_history.grade": "no grades of archived completions",
    "course_completion_criteria": "no completion criteria: progress is known only of what is complete",
    "course_completion_crit_compl": "no criteria met: progress is known only of what is complete",
    "course_completions.rpl": "no words on what was recognised as prior learning",
    "course_completions.rplgrade": "no grades of recognised prior learning",
    "course_completions.timeenrolled": "no dates of enrolment",
    "course_completions.timestarted": "no dates of beginning",
    "course_categories": "no course categories: a route with categories fits no course",
    "course_categories.path": "no paths of course categories: a route with categories fits no course",
    "course.visible": "it is not known which courses are hidden",
    "course.containertype": "",  # of Totara 12, where all courses are courses
    "user.suspended": "it is not known which learners are suspended",
    "cohort": "no audiences",
    "cohort_members": "no members of audiences",
}


@dataclass(frozen=True)
class Catalogue:
    """The tables and columns that are there, of those in `READ`."""

    prefix: str
    names: Mapping[str, str]  #: table → its name in this database
    columns: Mapping[str, frozenset[str]]
    denied: tuple[str, ...] = ()  #: tables of which something may not be read

    @classmethod
    def of_everything(cls, prefix: str) -> "Catalogue":
        """That of a Totara 17.3."""
        names = {table: prefix + table for table in READ}
        return cls(prefix, names, {table: frozenset(columns) for table, columns in READ.items()})

    def has(self, table: str, column: str | None = None) -> bool:
        """Whether the table is there, or the column in it."""
        return table in self.names if column is None else column in self.columns.get(table, ())

    def lacking(self) -> list[str]:
        """What every Totara has and this database has not, by its name there: ``ttr_user`` or ``ttr_user.email``."""
        return [self.prefix + each for each in self._absent() if each not in OPTIONAL]

    def without(self) -> list[str]:
        """What is said of that which is absent and may be."""
        absent = self._absent()
        return [words for each, words in OPTIONAL.items() if words and each in absent]

    def _absent(self) -> list[str]:
        tables = [table for table in READ if not self.has(table)]
        there = [table for table in READ if self.has(table)]
        columns = [f"{table}.{column}" for table in there for column in READ[table] if not self.has(table, column)]
        return tables + columns


def look(database: sa.Connection, prefix: str) -> Catalogue:
    """Ask the database once; MySQL again for each thing that it does not show, as it hides what may not be read.

    Tables are found as the server finds them: on PostgreSQL in the schemas of the search path. A name in other letters
    of case, as some servers keep it, is the table's if there is no other.
    """
    shown: dict[str, dict[str, bool]] = defaultdict(dict)
    wanted = [prefix + table for table in READ]
    question = _OF_POSTGRESQL if database.dialect.name == "postgresql" else _OF_MYSQL
    for name, column, readable in database.execute(question, {"names": wanted}):
        shown[name][column] = readable
    names = {table: name for table in READ if (name := _named(prefix + table, shown)) is not None}
    columns = {table: frozenset(shown[name]) & frozenset(READ[table]) for table, name in names.items()}
    denied = {t for t, name in names.items() if not all(shown[name][column] for column in columns[t])}
    found = Catalogue(prefix, names, columns, tuple(table for table in READ if table in denied))
    return found if database.dialect.name == "postgresql" or not names else _with_hidden(database, found)


def _named(wanted: str, shown: Iterable[str]) -> str | None:
    alike = sorted(name for name in shown if name.lower() == wanted)
    return wanted if wanted in alike else next(iter(alike), None)


def _with_hidden(database: sa.Connection, found: Catalogue) -> Catalogue:
    """With what is there and may not be read, or else it would be taken for absent."""
    names, columns, denied = dict(found.names), dict(found.columns), set(found.denied)
    for table, wanted in READ.items():
        name = names.get(table, found.prefix + table)
        hidden = [column for column in wanted if not found.has(table, column) and _is_denied(database, name, column)]
        if hidden:
            names[table] = name
            columns[table] = columns.get(table, frozenset()) | frozenset(hidden)
            denied.add(table)
    return Catalogue(found.prefix, names, columns, tuple(table for table in READ if table in denied))


def _is_denied(database: sa.Connection, table: str, column: str) -> bool:
    try:
        database.execute(sa.select(sa.column(column)).select_from(sa.table(table)).limit(0)).close()
    except DBAPIError as error:
        code, _ = code_and_words(error)
        if code in DENIED:
            return True
        if code in MISSING:
            return False
        raise
    return False


_NAMES: sa.BindParameter[list[str]] = sa.bindparam("names", expanding=True)

#: Not from information_schema, which hides what may not be read, and materialized views.
_OF_POSTGRESQL = sa.text(
    """
    SELECT c.relname, a.attname, has_column_privilege(c.oid, a.attnum, 'SELECT')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE lower(c.relname) IN :names AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid)
      AND a.attnum > 0 AND NOT a.attisdropped
    """
).bindparams(_NAMES)

_OF_MYSQL = sa.text(
    """
    SELECT table_name, lower(column_name), 1
    FROM information_schema.columns WHERE table_schema = database() AND lower(table_name) IN :names
    """
).bindparams(_NAMES)
