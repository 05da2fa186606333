"""The first differences of a comparison, with what both sides say, and that in words.

No names: learners and courses by their numbers, and of the words with which prior learning was recognised only
that they differ.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.completion import Status
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming
from totara_bridge.staging.reconciliation import Difference

#: As many are kept of a comparison.
FIRST = 1_000

_NOTHING = "nothing"

_STATUS = {
    Status.NOT_STARTED: "not started",
    Status.IN_PROGRESS: "in progress",
    Status.COMPLETE: "complete",
    Status.COMPLETE_RPL: "complete by recognition of prior learning",
}

_OWED = {
    "missing": "not delivered, and nothing says why",
    "extra": "delivered, and no withdrawal is queued",
    "different": "delivered at revision {told}, and no correction is queued",
}


def first(transaction: Transaction, *, site: str, limit: int = FIRST) -> Iterator[Difference]:
    """The first differences of each kind and place, those of staging first."""
    for row in transaction.execute(_FIRST, {"site": site, "limit": limit}):
        totara, here = _WORDS[row.feed](row)
        yield Difference(row.kind, row.place, row.user_id, row.course_id, row.record_key, totara, here)


def _current(row: Row[Any]) -> tuple[str, str]:
    said = [_state(row.status, row.time_completed)] if row.read_row is not None else []
    here = [_state(row.staged_status, row.staged_time_completed)] if row.staged_row is not None else []
    if row.instance_id is not None and (
        row.staged_row is None
        or (row.instance_status, row.instance_time) != (row.staged_status, row.staged_time_completed)
    ):
        here.append(f"an instance that is {_state(row.instance_status, row.instance_time)}")
    if here and row.instance_id is None and row.kind == "missing":
        here.append("no instance")
    if said and here:
        for words, one, other in _details(row):
            said.append(f"{words} {one}")
            here.append(f"{words} {other}")
    return _list(said), _list(here)


def _details(row: Row[Any]) -> Iterator[tuple[str, object, object]]:
    """What else differs: the words for it, and both values."""
    if row.staged_row is not None:
        for name in ("progress", "grade", "time_enrolled", "time_started"):
            said, here = getattr(row, name), getattr(row, f"staged_{name}")
            if said != here:
                yield name.replace("time_", ""), _value(said), _value(here)
        if row.rpl_differs:
            yield "recognised in", "these words", "other words"
    here = row.staged_row if row.staged_row not in (None, row.read_row) else row.instance_row
    if here is not None and here != row.read_row:
        yield "row", row.read_row, here


def _archived(row: Row[Any]) -> tuple[str, str]:
    archived = "archived, {} (row {} of the history)"
    said = archived.format(_completed(row.history_time), row.history_id) if row.in_history else _NOTHING
    here = _NOTHING
    if row.instance_id is not None:
        here = archived.format(_completed(row.instance_time), row.history_id or "none")
    return said, here


def _delivery(row: Row[Any]) -> tuple[str, str]:
    said = _state(row.instance_status, row.instance_time)
    if row.revision > 1:
        said += f", revision {row.revision}"
    if row.ended_at is not None:
        said = f"nothing any more: lost by {_value(row.ended_at)}"
    return said, _OWED[row.kind].format(told=row.told)


_WORDS = {"current": _current, "archived": _archived, "delivery": _delivery}


def _state(status: str, completed: datetime | None) -> str:
    words = _STATUS[Status(status)]
    return f"{words}, {_completed(completed)}" if status in (Status.COMPLETE, Status.COMPLETE_RPL) else words


def _completed(at: datetime | None) -> str:
    return "without a date" if at is None else f"completed {_value(at)}"


def _value(value: object) -> object:
    if value is None:
        return "none"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else value


def _list(parts: Sequence[str]) -> str:
    return "; ".join(parts) or _NOTHING


# the instance as Python may read it: what cannot be true was set aside
_FIRST = text(
    f"""
    SELECT d.*, n.row_id AS read_row, n.status, n.progress, n.grade, to_timestamp(n.time_enrolled) AS time_enrolled,
           to_timestamp(n.time_started) AS time_started, to_timestamp(n.time_completed) AS time_completed,
           c.row_id AS staged_row, c.status AS staged_status, c.progress AS staged_progress, c.grade AS staged_grade,
           c.time_enrolled AS staged_time_enrolled, c.time_started AS staged_time_started,
           c.time_completed AS staged_time_completed, c.rpl IS DISTINCT FROM n.rpl AS rpl_differs,
           i.row_id AS instance_row, i.status AS instance_status, i.time_completed AS instance_time, i.revision,
           i.ended_at, h.history_id IS NOT NULL AS in_history, to_timestamp(h.time_completed) AS history_time, told.told
    FROM (SELECT *, row_number() OVER (PARTITION BY kind, place ORDER BY user_id, course_id, instance_id) AS rank
          FROM difference WHERE NOT pending ORDER BY rank LIMIT :limit) d
    LEFT JOIN {Incoming.COMPLETION} n ON d.feed = 'current' AND n.user_id = d.user_id AND n.course_id = d.course_id
    LEFT JOIN bridge.completion c ON d.feed = 'current' AND c.site = :site AND c.user_id = d.user_id
                                 AND c.course_id = d.course_id AND c.deleted_at IS NULL
    LEFT JOIN bridge.completion_instance i ON i.id = d.instance_id
    LEFT JOIN {Incoming.HISTORY} h ON d.feed = 'archived' AND h.history_id = d.history_id
                                  AND h.user_id = d.user_id AND h.course_id = d.course_id
    LEFT JOIN LATERAL (SELECT max(revision) AS told FROM bridge.delivery
                       WHERE d.feed = 'delivery' AND destination = d.place AND instance_id = d.instance_id) told ON true
    ORDER BY d.place <> 'staging', d.place, array_position(ARRAY['missing', 'extra', 'different'], d.kind), rank
    """
)
