"""What all staging tables share: the schema, the names of constraints, and the types of columns."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, DateTime, Identity, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column

#: All tables are in this schema of the staging database.
SCHEMA = "bridge"


class Table(DeclarativeBase):
    """A staging table; the class documents the row, the verbs are statements over it."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "%(table_name)s_pk",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_ix",
            "fk": "%(table_name)s_%(column_0_N_name)s_fk",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        },
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        datetime: DateTime(timezone=True),
        int: BigInteger(),
    }


Id = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]


def one_of(column: str, values: Iterable[str]) -> str:
    """The CHECK that a column holds one of these words."""
    words = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({words})"


def by_prefix(column: str) -> dict[str, str]:
    """``postgresql_ops`` of an index that also finds words by how they begin, whatever the database's collation."""
    return {column: "text_pattern_ops"}
