"""The sandbox's Totara tables can be made on MySQL and MariaDB as well."""

from sqlalchemy import Table
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable

from totara_bridge.sandbox.totara.schema import tables

_BYTES_PER_CHARACTER = 4  # utf8mb4
_LONGEST_KEY = 3072  # bytes, InnoDB's DYNAMIC rows
_LONGEST_ROW = 65535  # bytes, long texts apart
_LONGEST_NAME = 64


def _width(table: Table) -> int:
    return sum(_BYTES_PER_CHARACTER * (getattr(column.type, "length", None) or 2) for column in table.columns)


def test_every_table_is_within_the_limits_of_mysql() -> None:
    dialect = mysql.dialect()
    for table in tables().metadata.sorted_tables:
        definition = str(CreateTable(table).compile(dialect=dialect))
        assert "id BIGINT NOT NULL AUTO_INCREMENT" in definition
        assert "CHARSET=utf8mb4" in definition
        assert _width(table) < _LONGEST_ROW
        for index in table.indexes:
            assert "CREATE" in str(CreateIndex(index).compile(dialect=dialect))
            assert index.name is not None
            assert len(index.name) <= _LONGEST_NAME
            lengths = [getattr(column.type, "length", None) or 2 for column in index.columns]
            assert sum(lengths) * _BYTES_PER_CHARACTER <= _LONGEST_KEY


def test_another_prefix_names_everything_after_itself() -> None:
    site = tables("mdl_")
    assert site.course_completions.name == "mdl_course_completions"
    names = [index.name for table in site.metadata.sorted_tables for index in table.indexes]
    assert names
    assert all(str(name).startswith("mdl_") for name in names)
    assert len(set(names)) == len(names)
