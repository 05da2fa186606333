"""A page of a log, the newest first; it costs the same wherever in the log it is, and whatever is looked for.

No index finds all that can be asked for. So a page looks at `EXAMINED` rows at most, gives those that are wanted, and
says where to go on: it may be short, or empty, and there may still be more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, TextClause, bindparam, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.pull_form import Fields, Form, written

#: Rows that one page looks at, where not all are wanted.
EXAMINED = 20_000


@dataclass(frozen=True, eq=False)
class Log:
    """A table with ``at`` and ``id`` that only grows; an index begins with ``at``."""

    table: str
    fields: Fields  #: of a row ``c``


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows."""

    since: datetime | None = None
    until: datetime | None = None  #: before it
    conditions: Sequence[str] = ()  #: SQL, over the row ``c``
    values: Mapping[str, object] = field(default_factory=dict)  #: of the conditions


@dataclass(frozen=True)
class Place:
    """A row of a log."""

    at: datetime
    id: int


@dataclass(frozen=True)
class LogPage:
    """Some rows, and where to go on."""

    rows: Sequence[str]  #: each as text
    goes_on: Place | None  #: all up to here was looked at; none: there are no more


def page(
    transaction: Transaction, log: Log, form: Form, wanted: Wanted, *, after: Place | None = None, limit: int
) -> LogPage:
    """What comes next.

    :param after: the last row that was looked at; none: begin with the newest.
    """
    within, bounds = _within(wanted, after)
    most = EXAMINED if wanted.conditions else limit + 1
    found = transaction.execute(
        _bound(
            f"""
            SELECT c.at, c.id, {written(log.fields, form)} AS told
            FROM (SELECT * FROM {log.table} WHERE {within} ORDER BY at DESC, id DESC LIMIT {most}) c
            WHERE {" AND ".join(wanted.conditions) or "true"} ORDER BY c.at DESC, c.id DESC LIMIT {limit + 1}
            """,
            bounds,
        ),
        {**wanted.values, **bounds},
    ).all()
    rows = [row.told for row in found[:limit]]
    if len(found) > limit:
        return LogPage(rows, Place(found[limit - 1].at, found[limit - 1].id))
    return LogPage(rows, _last_examined(transaction, log, within, bounds) if wanted.conditions else None)


def _last_examined(transaction: Transaction, log: Log, within: str, bounds: Mapping[str, Any]) -> Place | None:
    """Where a page that has looked at as many rows as it may has ended; none: it has come to the end."""
    last = transaction.execute(
        _bound(
            f"""
            SELECT at, id FROM {log.table} WHERE {within} ORDER BY at DESC, id DESC OFFSET {EXAMINED - 1} LIMIT 1
            """,
            bounds,
        ),
        bounds,
    ).one_or_none()
    return None if last is None else Place(last.at, last.id)


_TIME, _NUMBER = DateTime(timezone=True), BigInteger()


def _within(wanted: Wanted, after: Place | None) -> tuple[str, dict[str, Any]]:
    """SQL, and its values: what is between two moments, and behind a place."""
    parts, bounds = ["true"], dict[str, Any]()
    if wanted.since is not None:
        parts, bounds = [*parts, "at >= :since"], {**bounds, "since": wanted.since}
    if wanted.until is not None:
        parts, bounds = [*parts, "at < :until"], {**bounds, "until": wanted.until}
    if after is not None:
        parts, bounds = [*parts, "at <= :at AND (at, id) < (:at, :id)"], {**bounds, "at": after.at, "id": after.id}
    return " AND ".join(parts), bounds


def _bound(statement: str, bounds: Mapping[str, object]) -> TextClause:
    """The statement with its bounds written out.

    Not knowing them, PostgreSQL takes what is between two moments for half a percent of the table once it keeps the
    plan, and would read and sort all of it.
    """
    types = {name: _NUMBER if name == "id" else _TIME for name in bounds}
    return text(statement).bindparams(
        *(bindparam(name, type_=kind, literal_execute=True) for name, kind in types.items())
    )
