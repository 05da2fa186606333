"""What reconciles found: written by the comparison, read by watch and by the panel.

Of a site only the last comparison's counts are kept; its differences, and what it found in all, for `KEPT_FOR`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql
from sqlalchemy import Row, text

from totara_bridge.staging import erased
from totara_bridge.staging.comparison import Found
from totara_bridge.staging.engine import Transaction, driver

KEPT_FOR = timedelta(days=400)


@dataclass(frozen=True)
class Made:
    """A comparison."""

    site: str
    made_at: datetime  #: the state of staging that was compared
    made_by: str
    query: str  #: the connection's, as JSON: only what it lets through was counted
    repaired: bool
    found: Found


@dataclass(frozen=True)
class Difference:
    """One of the first differences, in words."""

    kind: str  #: ``missing``, ``extra`` or ``different``
    place: str  #: ``staging``, or a destination's code
    user_id: int
    course_id: int
    record_key: str | None
    totara: str  #: what Totara says
    here: str  #: what is here


def write(transaction: Transaction, comparing: Transaction, made: Made, first: Iterable[Difference]) -> int:
    """Write down what was found, in the place of the site's earlier counts; the number of the reconciliation.

    What is about learners who were erased meanwhile is left out.

    :param transaction: of its own, as the comparison's is never committed.
    :param comparing: that of the comparison, with its table ``counted``.
    """
    erased.write_down(transaction)  # nobody is erased between the leaving out and the end
    number = int(transaction.execute(_WRITE, _values(made)).scalar_one())
    transaction.execute(_DROP_COUNTS, {"site": made.site, "id": number})
    before = {"before": made.made_at - KEPT_FOR}
    for statement in _FORGET:
        transaction.execute(statement, before)
    _copy_counts(comparing, transaction, number)
    _write_differences(transaction, number, made.site, first)
    return number


def last(transaction: Transaction) -> Sequence[Made]:
    """The last comparison of each site, by its code."""
    return [
        Made(
            row.site, row.made_at, row.made_by, row.query, row.repaired,
            Found(row.missing, row.extra, row.different, row.pending),
        )
        for row in transaction.execute(_LAST)
    ]  # fmt: skip


def differences(transaction: Transaction, site: str, *, after: int, limit: int) -> Sequence[Row[Any]]:
    """The next of the last comparison's differences, with the course's short name where it is known.

    :param after: the number of the one before.
    """
    return transaction.execute(_DIFFERENCES, {"site": site, "after": after, "limit": limit}).all()


def _values(made: Made) -> Mapping[str, object]:
    given = {name: value for name, value in vars(made).items() if name != "found"}
    return given | vars(made.found)


def _copy_counts(comparing: Transaction, transaction: Transaction, number: int) -> None:
    columns = sql.SQL("course_id, day, completed, erased, set_aside")
    out = sql.SQL("COPY (SELECT {}, {} FROM counted) TO STDOUT").format(number, columns)
    into = sql.SQL("COPY bridge.reconciled_count (reconciliation_id, {}) FROM STDIN").format(columns)
    with (
        driver(comparing).cursor() as source,
        driver(transaction).cursor() as target,
        source.copy(out) as lines,
        target.copy(into) as copy,
    ):
        for line in lines:
            copy.write(line)


def _write_differences(transaction: Transaction, number: int, site: str, first: Iterable[Difference]) -> None:
    rows = [vars(each) | {"id": number, "number": place, "site": site} for place, each in enumerate(first, 1)]
    if rows:
        transaction.execute(_WRITE_DIFFERENCE, rows)


_WRITE = text(
    """
    INSERT INTO bridge.reconciliation (site, made_at, made_by, query, missing, extra, different, pending, repaired)
    VALUES (:site, :made_at, :made_by, :query, :missing, :extra, :different, :pending, :repaired) RETURNING id
    """
)

_WRITE_DIFFERENCE = text(
    """
    INSERT INTO bridge.reconciled_difference (reconciliation_id, number, kind, place, user_id, course_id, record_key,
                                              totara, here)
    SELECT :id, :number, :kind, :place, :user_id, :course_id, :record_key, :totara, :here
    WHERE NOT EXISTS (SELECT FROM bridge.erased_learner WHERE site = :site AND user_id = :user_id)
    """
)

_DROP_COUNTS = text(
    """
    DELETE FROM bridge.reconciled_count
    WHERE reconciliation_id IN (SELECT id FROM bridge.reconciliation WHERE site = :site AND id <> :id)
    """
)

# a site that is compared no more keeps what was found last
_OLD = """
    SELECT r.id FROM bridge.reconciliation r
    WHERE r.made_at < :before AND EXISTS (SELECT FROM bridge.reconciliation WHERE site = r.site AND id > r.id)
"""
_FORGET = tuple(
    text(f"DELETE FROM bridge.{table} WHERE {column} IN ({_OLD})")
    for table, column in (("reconciled_difference", "reconciliation_id"), ("reconciliation", "id"))
)

_LAST = text("SELECT DISTINCT ON (site) * FROM bridge.reconciliation ORDER BY site, id DESC")

_DIFFERENCES = text(
    """
    SELECT d.number, d.kind, d.place, d.user_id, d.course_id, k.short_name AS course, d.record_key, d.totara, d.here
    FROM bridge.reconciled_difference d LEFT JOIN bridge.course k ON k.site = :site AND k.course_id = d.course_id
    WHERE d.reconciliation_id = (SELECT max(id) FROM bridge.reconciliation WHERE site = :site) AND d.number > :after
    ORDER BY d.number LIMIT :limit
    """
)
