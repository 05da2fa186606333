"""How Totara declares columns: numbers and text are NOT NULL with a default unless they may be unknown."""

from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Numeric, SmallInteger, String, Text


class Definition(NamedTuple):
    """One table: all columns but ``id``."""

    short: str  #: how the names of its indexes begin, after the prefix
    columns: list[Column[Any]]
    indexes: str  #: ``suffix:column,column`` each; a suffix that ends in ``uix`` is a unique key


def big(*names: str, default: int | None = 0) -> list[Column[Any]]:
    """Bigint columns; nullable where the default is none."""
    return [_column(name, BigInteger(), default) for name in names]


def small(*names: str, default: int | None = 0) -> list[Column[Any]]:
    """Smallint columns; nullable where the default is none."""
    return [_column(name, SmallInteger(), default) for name in names]


def small_or_null(*names: str) -> list[Column[Any]]:
    """Smallint columns that are 0 unless said otherwise, and may be NULL."""
    return [Column(name, SmallInteger(), server_default="0") for name in names]


def text(length: int, *names: str, default: str | None = "") -> list[Column[Any]]:
    """Varchar columns of this length; nullable where the default is none."""
    return [_column(name, String(length), default) for name in names]


def required(*names: str) -> list[Column[Any]]:
    """Bigint columns, NOT NULL and without a default."""
    return [Column(name, BigInteger(), nullable=False) for name in names]


def decimal(*names: str) -> list[Column[Any]]:
    """Nullable numeric(10,5) columns."""
    return [Column(name, Numeric(10, 5)) for name in names]


def long_text(*names: str, nullable: bool = True) -> list[Column[Any]]:
    """Text columns."""
    return [Column(name, Text(), nullable=nullable) for name in names]


def _column(name: str, kind: BigInteger | SmallInteger | String, default: int | str | None) -> Column[Any]:
    if default is None:
        return Column(name, kind)
    return Column(name, kind, nullable=False, server_default=str(default))
