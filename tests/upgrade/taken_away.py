"""What a migration took from code that was written before it: read from PostgreSQL's catalogue, before and after."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, text


@dataclass(frozen=True)
class Catalogue:
    """What code relies on, and what it must heed."""

    kept: Mapping[str, str]  #: tables, sequences, columns, and what keeps rows unique: in words
    demands: Mapping[str, str]  #: values that must be given, and what rows must be like: their tables
    checks: Mapping[str, str]  #: the CHECKs by table and name: in words


def read(engine: Engine) -> Catalogue:
    """The catalogue as it is."""
    with engine.connect() as connection:
        return Catalogue(*(
            {row[0]: row[1] for row in connection.execute(text(each))} for each in (_KEPT, _DEMANDS, _CHECKS)
        ))  # fmt: skip


def taken_away(before: Catalogue, after: Catalogue) -> Iterator[str]:
    """What the code before would miss or not heed: sentences; none where it goes on as it did."""
    for name, words in before.kept.items():
        if (now := after.kept.get(name, "gone")) != words:
            yield f"{name} was {words}, and is {now}"
    for demand, table in after.demands.items():
        if demand not in before.demands and table in before.kept:
            yield f"{table} is new to demand {demand}"
    demanded = {(name.split()[0], words) for name, words in before.checks.items()}  # whatever it is called
    for name, words in after.checks.items():
        table = name.split()[0]
        if table in before.kept and (table, words) not in demanded and not _widened(before.checks.get(name, ""), words):
            yield f"{table} is new to demand {words} ({name})"


def _widened(before: str, after: str) -> bool:
    """Whether both only list the words that a column may hold, and none was taken from the list."""
    was, now = _LIST.fullmatch(before), _LIST.fullmatch(after)
    return was is not None and now is not None and was["column"] == now["column"] and _words(was) <= _words(now)


def _words(listed: re.Match[str]) -> set[str]:
    return set(_WORD.findall(listed["words"]))


# nothing around it: in a larger condition one word more may be one row less
_LIST = re.compile(r"CHECK \(\((?P<column>\w+) = ANY \(ARRAY\[(?P<words>[^\]]*)\]\)\)\)")
_WORD = re.compile(r"'(?:[^']|'')*'")

_TABLES = "c.relnamespace = to_regnamespace('bridge') AND c.relkind = 'r'"
_COLUMNS = f"""
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE {_TABLES} AND a.attnum > 0 AND NOT a.attisdropped
"""
_UNIQUE = f"FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE {_TABLES} AND i.indisunique"
_CONSTRAINTS = f"FROM pg_constraint s JOIN pg_class c ON c.oid = s.conrelid WHERE {_TABLES}"
_KEPT = f"""
    SELECT relname, CASE relkind WHEN 'r' THEN 'a table' WHEN 'S' THEN 'a sequence' ELSE 'a view' END
    FROM pg_class WHERE relnamespace = to_regnamespace('bridge') AND relkind IN ('r', 'S', 'v')
    UNION ALL
    SELECT c.relname || '.' || a.attname,
           format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END {_COLUMNS}
    UNION ALL
    SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) {_UNIQUE}
"""
_DEMANDS = f"""
    SELECT c.relname || '.' || a.attname, c.relname {_COLUMNS}
           AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
    UNION ALL
    SELECT pg_get_indexdef(i.indexrelid), c.relname {_UNIQUE}
    UNION ALL
    SELECT c.relname || ' ' || pg_get_constraintdef(s.oid), c.relname {_CONSTRAINTS} AND s.contype IN ('f', 'x')
"""
# of rows that come, a CHECK demands the same before it is valid and after
_CHECKS = f"""
    SELECT c.relname || ' ' || s.conname, 'CHECK (' || pg_get_expr(s.conbin, s.conrelid) || ')'
    {_CONSTRAINTS} AND s.contype = 'c'
"""
