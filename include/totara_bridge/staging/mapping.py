"""What a destination calls the learners and courses of a site: numbers that only people know, kept in ``mapping``."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text

from totara_bridge.completion import copy_lines
from totara_bridge.staging.engine import Transaction, driver

MappingKind = Literal["learner", "course"]

#: Other names than Totara's id by which a learner or a course can be found.
LOOKUPS = {"learner": ("username", "id_number", "email"), "course": ("short_name", "id_number")}


@dataclass(frozen=True)
class Mapping:
    """One name: a learner or course of a site, and its number at the destination."""

    site: str
    totara_id: int
    number: str  #: empty: it has none any more


@dataclass(frozen=True)
class MappingChanges:
    """How many mappings were written."""

    added: int
    changed: int
    unchanged: int
    removed: int


def load(
    transaction: Transaction,
    mappings: Iterable[Mapping],
    *,
    destination: str,
    kind: MappingKind,
    by: str,
    now: datetime,
) -> MappingChanges:
    """Write the mappings, of which no two are of the same learner or course; others that there are stay.

    That of an erased learner is left out.

    Items that are queued already keep the number that they were made with.
    """
    # two loads at the same time would wait for each other's rows; readers go on. A learner is erased before or after
    transaction.execute(text("LOCK TABLE bridge.mapping IN SHARE ROW EXCLUSIVE MODE"))
    _receive(transaction, "new_mapping (site text, totara_id bigint, number text)", _rows(mappings))
    values = {"destination": destination, "kind": kind, "by": by, "now": now}
    return MappingChanges(*transaction.execute(_LOAD, values).one())


def put(
    transaction: Transaction, mapping: Mapping, *, destination: str, kind: MappingKind, by: str, now: datetime
) -> MappingChanges:
    """Write one mapping."""
    return load(transaction, [mapping], destination=destination, kind=kind, by=by, now=now)


def remove(
    transaction: Transaction,
    site: str,
    totara_id: int,
    *,
    destination: str,
    kind: MappingKind,
    by: str,
    now: datetime,
) -> bool:
    """Forget one mapping; whether there was one."""
    changes = put(transaction, Mapping(site, totara_id, ""), destination=destination, kind=kind, by=by, now=now)
    return bool(changes.removed)


def read(
    transaction: Transaction, *, destination: str, kind: MappingKind, after: tuple[str, int] = ("", 0), limit: int
) -> Sequence[Mapping]:
    """The next mappings, by site and Totara's id."""
    statement = text(
        """
        SELECT site, totara_id, number FROM bridge.mapping
        WHERE destination = :destination AND kind = :kind AND (site, totara_id) > (:site, :totara_id)
        ORDER BY site, totara_id LIMIT :limit
        """
    )
    values = {"destination": destination, "kind": kind, "site": after[0], "totara_id": after[1], "limit": limit}
    return [Mapping(*row) for row in transaction.execute(statement, values)]


def resolve(
    transaction: Transaction, kind: MappingKind, lookup: str, names: Iterable[tuple[int, str, str]]
) -> dict[int, Sequence[int]]:
    """Totara's ids of the staged learners or courses that go by these names, upper and lower case being the same.

    A learner that was deleted counts only where nobody else goes by the name.

    :param lookup: one of `LOOKUPS` of the kind.
    :param names: the caller's number for the name, the site, and the name.
    :returns: by the caller's number; empty where there is none.
    """
    if lookup not in LOOKUPS[kind]:
        raise ValueError(f"A {kind} is not found by {lookup}: use one of {', '.join(LOOKUPS[kind])}.")
    _receive(transaction, "new_name (place bigint, site text, name text)", names)
    key, deleted = ("user_id", "n.deleted_at IS NOT NULL") if kind == "learner" else ("course_id", "false")
    found = transaction.execute(
        text(
            f"""
            SELECT a.place, coalesce(array_agg(n.{key}) FILTER (WHERE n.{key} IS NOT NULL AND NOT {deleted}),
                                     array_agg(n.{key}) FILTER (WHERE {deleted}), '{{}}') AS ids
            FROM new_name a LEFT JOIN bridge.{kind} n ON n.site = a.site AND lower(n.{lookup}) = lower(a.name)
            GROUP BY a.place
            """
        )
    )
    return {row.place: row.ids for row in found}


def _rows(mappings: Iterable[Mapping]) -> Iterator[tuple[object, ...]]:
    return ((each.site, each.totara_id, each.number) for each in mappings)


def _receive(transaction: Transaction, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Stream rows into a temporary table, which is described as SQL."""
    name = table.split(maxsplit=1)[0]
    transaction.execute(text(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ON COMMIT DROP"))
    transaction.execute(text(f"TRUNCATE {name}"))
    with driver(transaction).cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN".encode()) as copy:
        for line in copy_lines(rows):
            copy.write(line)
    transaction.execute(text(f"ANALYZE {name}"))


_LOAD = text(
    """
    WITH compared AS MATERIALIZED (
        SELECT n.site, n.totara_id, n.number, m.number AS before
        FROM new_mapping n
        LEFT JOIN bridge.mapping m ON m.destination = :destination AND m.kind = :kind
                                  AND m.site = n.site AND m.totara_id = n.totara_id
        WHERE cast(:kind AS text) <> 'learner' OR NOT EXISTS (
            SELECT FROM bridge.erased_learner e WHERE e.site = n.site AND e.user_id = n.totara_id)
    ),
    removed AS (
        DELETE FROM bridge.mapping m USING compared c
        WHERE m.destination = :destination AND m.kind = :kind AND m.site = c.site AND m.totara_id = c.totara_id
          AND c.number = ''
    ),
    written AS (
        INSERT INTO bridge.mapping AS m (destination, kind, site, totara_id, number, changed_at, changed_by)
        SELECT :destination, :kind, site, totara_id, number, :now, :by
        FROM compared WHERE number <> '' AND number IS DISTINCT FROM before
        ON CONFLICT (destination, kind, site, totara_id)
        DO UPDATE SET number = excluded.number, changed_at = excluded.changed_at, changed_by = excluded.changed_by
    )
    SELECT count(*) FILTER (WHERE number <> '' AND before IS NULL) AS added,
           count(*) FILTER (WHERE number <> '' AND before <> number) AS changed,
           count(*) FILTER (WHERE number = coalesce(before, '')) AS unchanged,
           count(*) FILTER (WHERE number = '' AND before IS NOT NULL) AS removed
    FROM compared
    """
)
