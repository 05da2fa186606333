"""Bodies of requests and answers that are kept to look at, for a limited time and without what names a learner."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import ExportLogRow, KeptBodyRow, PayloadTemplateRow


@dataclass(frozen=True)
class Body:
    """What a request said and what was answered; whoever makes it has taken out what names a learner."""

    request: str = field(repr=False)
    answer: str | None = field(repr=False)


def keep(transaction: Transaction, body: Body, *, log_id: int, destination: str, at: datetime) -> None:
    """Keep the bodies of a request that is in the log."""
    values = {"export_log_id": log_id, "destination": destination, "at": at}
    transaction.execute(insert(KeptBodyRow).values(**values, request=body.request, answer=body.answer))


@dataclass(frozen=True)
class Carrying:
    """Which kept requests have one of some keys; each is known by its number in the log."""

    looked_at: list[int]
    found: list[int]  #: of these


def carrying(transaction: Transaction, keys: Collection[str], *, but: Collection[int] = ()) -> Carrying:
    """Look for record keys and idempotency keys in what is kept: each body is read, some thousand take seconds.

    :param but: requests that are not looked at.
    """
    rows = transaction.execute(_CARRYING, {"keys": list(keys), "but": list(but)}).all() if keys else []
    return Carrying([row.export_log_id for row in rows], [row.export_log_id for row in rows if row.carries])


_CARRYING = text(
    """
    SELECT b.export_log_id,
           EXISTS (SELECT FROM regexp_matches(b.request || ' ' || coalesce(b.answer, ''), 'TB[A-Z2-7]{26}', 'g') AS key
                   WHERE key[1] = ANY(cast(:keys AS text[]))) AS carries
    FROM bridge.kept_body b WHERE b.export_log_id <> ALL(cast(:but AS bigint[]))
    """
)


def newest(transaction: Transaction, *, destination: str, limit: int) -> Sequence[Row[Any]]:
    """The newest that are kept: the columns of ``kept_body``, with the request's outcome and status."""
    columns: list[Any] = [*KeptBodyRow.__table__.columns, ExportLogRow.outcome, ExportLogRow.http_status]
    statement = (
        select(*columns)
        .join(ExportLogRow, ExportLogRow.id == KeptBodyRow.export_log_id)
        .where(KeptBodyRow.destination == destination)
        .order_by(KeptBodyRow.at.desc(), KeptBodyRow.export_log_id.desc())
        .limit(limit)
    )
    return transaction.execute(statement).all()


def of_request(transaction: Transaction, log_id: int) -> Body | None:
    """What is kept of the request with this number in the log; none: nothing is, or no more."""
    kept = transaction.execute(
        select(KeptBodyRow.request, KeptBodyRow.answer).where(KeptBodyRow.export_log_id == log_id)
    ).one_or_none()
    return None if kept is None else Body(kept.request, kept.answer)


def templates_used(transaction: Transaction) -> Sequence[dict[str, Any]]:
    """The definition of each template version that any item was ever made with."""
    rows = transaction.execute(
        select(PayloadTemplateRow.name, PayloadTemplateRow.version, PayloadTemplateRow.definition)
    )
    return [{"name": row.name, "version": row.version, **json.loads(row.definition)} for row in rows]
