"""Looking for words in every text that staging holds, whatever tables and columns there are.

What is looked at is asked of the database itself, so that a column that is added later is not forgotten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.erasure import Learner
from totara_bridge.staging.schema import SCHEMA


@dataclass(frozen=True)
class Searched:
    """Where words were found; rows are counted for each column."""

    tables: int
    columns: int
    own: dict[str, int]  #: in rows of the learner
    acted: dict[str, int]  #: in columns that say who did something, of such rows
    others: dict[str, int]  #: in rows that are not the learner's: other people have the same name


def search(
    transaction: Transaction, learner: Learner, *, keys: Sequence[str], requests: Sequence[int], names: str
) -> Searched:
    """Look for the names in each column that can hold a text.

    :param keys: of the learner's completions; where no column says whose a row is, it is the learner's if it has one.
    :param requests: that carried one of the learner's items, by their numbers in the log.
    :param names: a regular expression; upper and lower case are the same.
    """
    own: dict[str, int] = {}
    acted: dict[str, int] = {}
    others: dict[str, int] = {}
    tables = list(_tables(transaction))
    values = vars(learner) | {
        "keys": list(keys),
        "requests": list(requests),
        "names": names,
        "subject": learner.subject,
    }
    for table in tables:
        for column in table.texts:
            found = transaction.execute(text(_find(table, column)), values).one()
            place = f"{table.name}.{column}"
            for rows, counted in ((found.own, acted if _says_who_acted(column) else own), (found.others, others)):
                if rows:
                    counted[place] = rows
    return Searched(len(tables), sum(len(table.texts) for table in tables), own, acted, others)


@dataclass(frozen=True)
class _Table:
    name: str
    columns: frozenset[str]
    texts: Sequence[str]  #: those that can hold a text


def _tables(transaction: Transaction) -> Iterator[_Table]:
    rows = transaction.execute(_COLUMNS, {"schema": SCHEMA})
    for row in rows:
        yield _Table(row.table_name, frozenset(row.columns), row.texts or ())


#: All but what can hold numbers, times and truths only. Not from information_schema, which hides what may not be read.
_COLUMNS = text(
    """
    SELECT c.relname AS table_name, array_agg(a.attname::text ORDER BY a.attnum) AS columns,
           array_agg(a.attname::text ORDER BY a.attnum) FILTER (
               WHERE format_type(a.atttypid, NULL) NOT IN (
                   'smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision',
                   'boolean', 'date', 'timestamp with time zone', 'uuid')) AS texts
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p')
    GROUP BY c.relname ORDER BY c.relname
    """
)


def _find(table: _Table, column: str) -> str:
    """SQL: how many rows of the learner, and of others, have a name in the column."""
    # a key is 26 letters and digits by chance: some make a short name
    return f"""
        SELECT count(*) FILTER (WHERE own AND regexp_replace(said, 'TB[A-Z2-7]{{26}}', '', 'g') ~* :names) AS own,
               count(*) FILTER (WHERE NOT own) AS others
        FROM (SELECT CAST(t."{column}" AS text) AS said, ({_whose(table)}) AS own
              FROM {SCHEMA}."{table.name}" t WHERE CAST(t."{column}" AS text) ~* :names OFFSET 0) found
    """


def _whose(table: _Table) -> str:
    """SQL: the row ``t`` is the learner's."""
    instances = f"SELECT id FROM {SCHEMA}.completion_instance WHERE site = :site AND user_id = :user_id"
    for columns, condition in (
        ({"site", "user_id"}, "t.site = :site AND t.user_id = :user_id"),
        ({"site", "totara_id", "kind"}, "t.site = :site AND t.totara_id = :user_id AND t.kind = 'learner'"),
        ({"instance_id", "revision"}, f"t.instance_id IN ({instances})"),
        ({"item_id"}, f"t.item_id IN (SELECT id FROM {SCHEMA}.export_queue WHERE instance_id IN ({instances}))"),
        ({"batch", "http_status"}, "t.id = ANY(CAST(:requests AS bigint[]))"),
        ({"action", "subject"}, "t.action = 'erase' AND t.subject = :subject"),
    ):
        if columns <= table.columns:
            return condition
    return "EXISTS (SELECT FROM unnest(CAST(:keys AS text[])) AS key WHERE strpos(t::text, key) > 0)"


def _says_who_acted(column: str) -> bool:
    return column == "actor" or column.endswith("_by")
