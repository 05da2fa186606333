"""The log of requests to destinations, to be looked through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.log_page import Log, Wanted
from totara_bridge.staging.pull_form import Field
from totara_bridge.staging.schema import ExportLogRow

REQUESTS = Log(
    "bridge.export_log",
    (
        Field("id", "number", "c.id"),
        Field("at", "instant", "c.at"),
        Field("destination", "text", "c.destination"),
        Field("batch", "word", "c.batch"),
        Field("items", "number", "c.items"),
        Field("http_status", "number", "c.http_status"),
        Field("outcome", "text", "c.outcome"),
        Field("duration_ms", "number", "c.duration_ms"),
        Field("error", "text", "c.error"),
        Field("request_id", "text", "c.request_id"),
        Field("body_kept", "flag", "EXISTS (SELECT FROM bridge.kept_body b WHERE b.export_log_id = c.id)"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Statuses:
    """HTTP statuses."""

    exact: Sequence[int] = ()
    hundreds: Sequence[int] = ()  #: 5 for all from 500 to 599
    no_answer: bool = False


def wanted(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    destination: str | None = None,
    outcomes: Sequence[str] = (),
    statuses: Statuses | None = None,
) -> Wanted:
    """Requests between two moments that meet all that is given; of outcomes and statuses any."""
    conditions: list[str] = []
    values: dict[str, object] = {}
    if destination is not None:
        conditions.append("c.destination = :destination")
        values["destination"] = destination
    if outcomes:
        conditions.append("c.outcome = ANY(cast(:outcomes AS text[]))")
        values["outcomes"] = [*outcomes]
    if statuses is not None:
        conditions.append(
            "(c.http_status = ANY(cast(:exact AS int[])) OR c.http_status / 100 = ANY(cast(:hundreds AS int[]))"
            " OR c.http_status IS NULL AND :no_answer)"
        )
        values |= {
            "exact": [*statuses.exact],
            "hundreds": [*statuses.hundreds],
            "no_answer": statuses.no_answer,
        }
    return Wanted(since=since, until=until, conditions=conditions, values=values)


def one(transaction: Transaction, log_id: int) -> Mapping[str, Any] | None:
    """The request with this number: the columns of ``export_log``; none: it is not there, or no more."""
    table = ExportLogRow.__table__
    found = transaction.execute(select(table).where(table.c.id == log_id)).mappings().one_or_none()
    return None if found is None else dict(found)
