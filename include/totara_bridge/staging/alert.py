"""Alerts: raised once, updated while their promise is broken, resolved when it is kept again; and who was told.

A promise of one subject has one open alert at most, whoever raises it and however many at once: the table's own key
says so.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.alert_name import AlertName
from totara_bridge.staging.engine import Transaction

log = logging.getLogger(__name__)

_KNOWN = {each.value for each in AlertName}


@dataclass(frozen=True)
class Broken:
    """A promise that is broken now."""

    name: AlertName
    subject: str  #: whose: the code of a site or destination, a DAG, or a task of one
    words: str
    run_id: str | None = None  #: the DAG run that it is about


@dataclass(frozen=True)
class Alert:
    """A row of the ``alert`` table."""

    id: int
    name: AlertName
    subject: str
    words: str  #: what is wrong, as last seen; once resolved, also why where that is not plain
    run_id: str | None
    raised_at: datetime
    seen_at: datetime  #: when it was last seen to be broken
    resolved_at: datetime | None  #: none: it is open


@dataclass(frozen=True)
class Settled:
    """What became of alerts."""

    raised: Sequence[Alert]
    still_open: Sequence[Alert]
    resolved: Sequence[Alert]


def reserve(transaction: Transaction) -> None:
    """Wait until no other transaction settles: what is read from now on is as new as what will be written.

    Otherwise an older look, that comes late, could raise again what a newer one has just resolved.
    """
    transaction.execute(_RESERVE, {"what": "totara_bridge.alert"})


def raise_alert(
    transaction: Transaction, *, name: AlertName, subject: str, words: str, run_id: str | None = None, now: datetime
) -> bool:
    """Raise an alert, or update the one that is open; whether it is new."""
    found = transaction.execute(_RAISE, _values([Broken(name, subject, words, run_id)], now)).one()
    return bool(found.is_new)


def resolve(
    transaction: Transaction, *, name: AlertName, subject: str, because: str | None = None, now: datetime
) -> bool:
    """Resolve the open alert; whether there was one.

    :param because: a sentence that is added to its words, where the promise is not simply kept again.
    """
    values = {"name": name, "subject": subject, "because": because, "now": now}
    return transaction.execute(_RESOLVE, values).rowcount > 0


def resolve_found(transaction: Transaction, found: Alert, *, because: str | None = None, now: datetime) -> bool:
    """Resolve this very alert, and none that was raised since; whether it was open still."""
    return transaction.execute(_RESOLVE_FOUND, {"id": found.id, "because": because, "now": now}).rowcount > 0


def settle(
    transaction: Transaction,
    broken: Iterable[Broken],
    *,
    names: Collection[AlertName],
    subjects: Collection[str] | None = None,
    because: Mapping[str, str] | None = None,
    now: datetime,
) -> Settled:
    """Raise or update an alert for each of these, and resolve the other open ones of these names.

    :param subjects: only theirs are resolved; none: everybody's.
    :param because: by subject, a sentence that is added to the words of what is resolved.
    """
    reserve(transaction)
    raised = transaction.execute(_RAISE, _values(broken, now)).all()
    values = {
        "names": list(names),
        "subjects": None if subjects is None else list(subjects),
        "raised": [row.id for row in raised],
        "explained": list(because or {}),
        "sentences": list((because or {}).values()),
        "now": now,
    }
    resolved = transaction.execute(_RESOLVE_OTHERS, values).all()
    return Settled(
        raised=alerts_of(row for row in raised if row.is_new),
        still_open=alerts_of(row for row in raised if not row.is_new),
        resolved=alerts_of(resolved),
    )


def open_alerts(transaction: Transaction) -> Sequence[Alert]:
    """Those that are open, the oldest first."""
    return alerts_of(transaction.execute(_OPEN))


def last_resolved(transaction: Transaction, *, limit: int) -> Sequence[Alert]:
    """Those that were resolved last, the newest first."""
    return alerts_of(transaction.execute(_LAST_RESOLVED, {"limit": limit}))


def _values(broken: Iterable[Broken], now: datetime) -> dict[str, Any]:
    each_once = {(each.name, each.subject): each for each in broken}
    rows = [each_once[key] for key in sorted(each_once)]  # in one order for all, or two could wait for each other
    return {
        "names": [each.name.value for each in rows],
        "subjects": [each.subject for each in rows],
        "words": [each.words for each in rows],
        "runs": [each.run_id for each in rows],
        "now": now,
    }


def alerts_of(rows: Iterable[Row[Any]]) -> list[Alert]:
    """The alerts of rows with `COLUMNS`, but for those of another version of the bridge, which knows more names."""
    found = []
    for row in rows:
        values = row._mapping
        if values["name"] in _KNOWN:
            each = {field.name: values[field.name] for field in fields(Alert)}
            found.append(Alert(**each | {"name": AlertName(values["name"])}))
        else:
            log.warning("this version of the bridge knows no alert %s (of %s): left alone", row.name, row.subject)
    return found


_RESERVE = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")

#: Of an alert ``a``, as `alerts_of` reads them.
COLUMNS = "a.id, a.name, a.subject, a.words, a.run_id, a.raised_at, a.seen_at, a.resolved_at"

_OF_THE_FIRST = f"a.name = '{AlertName.RUN_LATE}' AND a.run_id IS NOT NULL"

# a row that was inserted has no xmax; of late runs the first counts: one that waits behind it may go before it ends
_RAISE = text(
    f"""
    INSERT INTO bridge.alert AS a (name, subject, words, run_id, raised_at, seen_at)
    SELECT name, subject, words, run_id, :now, :now
    FROM unnest(cast(:names AS text[]), cast(:subjects AS text[]), cast(:words AS text[]), cast(:runs AS text[]))
         WITH ORDINALITY AS broken (name, subject, words, run_id, place) ORDER BY place
    ON CONFLICT (name, subject) WHERE resolved_at IS NULL DO UPDATE
    SET words = CASE WHEN {_OF_THE_FIRST} THEN a.words ELSE excluded.words END,
        run_id = CASE WHEN {_OF_THE_FIRST} THEN a.run_id ELSE coalesce(excluded.run_id, a.run_id) END,
        seen_at = greatest(a.seen_at, excluded.seen_at)
    RETURNING {COLUMNS}, a.xmax = 0 AS is_new
    """
)

# by another machine's clock it may have been raised a moment later than this one's now
_RESOLVED = "resolved_at = greatest(a.raised_at, cast(:now AS timestamptz))"

_RESOLVE = text(
    f"""
    UPDATE bridge.alert a SET {_RESOLVED}, words = concat_ws(' ', a.words, cast(:because AS text))
    WHERE a.name = :name AND a.subject = :subject AND a.resolved_at IS NULL
    """
)

_RESOLVE_FOUND = text(
    f"""
    UPDATE bridge.alert a SET {_RESOLVED}, words = concat_ws(' ', a.words, cast(:because AS text))
    WHERE a.id = :id AND a.resolved_at IS NULL
    """
)

_RESOLVE_OTHERS = text(
    f"""
    WITH why (subject, sentence) AS (SELECT * FROM unnest(cast(:explained AS text[]), cast(:sentences AS text[])))
    UPDATE bridge.alert a SET {_RESOLVED},
        words = concat_ws(' ', a.words, (SELECT why.sentence FROM why WHERE why.subject = a.subject))
    WHERE a.resolved_at IS NULL AND a.name = ANY(:names) AND a.id <> ALL(cast(:raised AS bigint[]))
      AND (cast(:subjects AS text[]) IS NULL OR a.subject = ANY(cast(:subjects AS text[])))
    RETURNING {COLUMNS}
    """
)

_OPEN = text(f"SELECT {COLUMNS} FROM bridge.alert a WHERE a.resolved_at IS NULL ORDER BY a.raised_at, a.id")

_LAST_RESOLVED = text(
    f"""
    SELECT {COLUMNS} FROM bridge.alert a WHERE a.resolved_at IS NOT NULL
    ORDER BY a.resolved_at DESC, a.id DESC LIMIT :limit
    """
)
