"""What is told of an item: in a list, in a line of CSV, and all that there is of one."""

from typing import Any

from sqlalchemy import Row, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.pull_form import Field, Form, written

# who it is about: one look into an index for each row, whatever the planner believes of the tables
_INSTANCE = """
    CROSS JOIN LATERAL (SELECT i.* FROM bridge.completion_instance i WHERE i.id = q.instance_id OFFSET 0) i
"""
_NAMES = """
    LEFT JOIN LATERAL (SELECT l.* FROM bridge.learner l
                       WHERE l.site = i.site AND l.user_id = i.user_id OFFSET 0) l ON true
    LEFT JOIN LATERAL (SELECT k.* FROM bridge.course k
                       WHERE k.site = i.site AND k.course_id = i.course_id OFFSET 0) k ON true
"""
#: SQL: joins of what the fields and all conditions are over, to stand behind the items ``q``; their order stays.
JOINED = _INSTANCE + _NAMES

_FIELDS = (
    Field("id", "number", "q.id"),
    Field("destination", "word", "q.destination"),
    Field("state", "word", "q.state"),
    Field("kind", "word", "q.kind"),
    Field("lane", "word", "q.lane"),
    Field("revision", "number", "q.revision"),
    Field("record_key", "word", "i.record_key"),
    Field("site", "word", "i.site"),
    Field("learner", "text", "l.username"),
    Field("course", "text", "k.short_name"),
    Field(
        "erased",
        "flag",
        "EXISTS (SELECT FROM bridge.erased_learner e WHERE e.site = i.site AND e.user_id = i.user_id)",
    ),
    Field("attempts", "number", "q.attempts"),
    Field("next_attempt_at", "instant", "CASE WHEN q.state IN ('queued', 'failed') THEN q.next_attempt_at END"),
    Field("error_class", "text", "q.error_class"),
    Field("error_code", "text", "q.error_code"),
    Field("error_words", "text", "q.error_words"),
    Field("held_for", "text", "q.held_for"),
    Field("queued_at", "instant", "q.queued_at"),
    Field("sent_at", "instant", "q.sent_at"),
    Field("reference", "text", "q.reference"),
)

#: SQL: the columns of an item in a list, over what is `JOINED`.
COLUMNS = ", ".join(f'{each.value} AS "{each.name}"' for each in _FIELDS)

#: SQL: the same as one column ``line`` of CSV, without the end of the line.
LINE = f"q.id, {written(_FIELDS, Form.CSV)} AS line"

#: What the columns are called in CSV: its first line.
HEADER = ",".join(each.name for each in _FIELDS)


def item(transaction: Transaction, item_id: int) -> Row[Any] | None:
    """All that there is of one item: the columns of a list, and what is told of it alone; none: it is not there."""
    return transaction.execute(_ITEM, {"id": item_id}).one_or_none()


_ITEM = text(
    f"""
    SELECT {COLUMNS}, q.instance_id, q.idempotency_key, q.payload, q.template, q.failures, q.cancelled_by,
           q.staged_at, q.first_posted_at, q.shadowed_at, q.claimed_at, q.lease_until, q.held_at,
           i.user_id, i.course_id, i.time_completed, k.full_name AS course_name
    FROM bridge.export_queue q {JOINED} WHERE q.id = :id
    """
)
