"""What becomes of a learner's rows, table by table: removed, or blanked where a row must stay.

Each piece of work is its change and the rows that it changes, so that a dry run counts by the same conditions. The
conditions are over the row ``t`` and the values site, user_id, items, bodies, requests, names, removed,
cancelled, now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import TextClause, text

Fate = Literal["removed", "blanked", "cancelled", "kept"]


def distinct(table: str, column: str) -> str:
    """SQL: any of the few different values of a column that an index begins with, each found by one look into it."""
    least = f"SELECT min({column}) FROM bridge.{table}"
    return f"""
        ANY(ARRAY(
            WITH RECURSIVE found (value) AS (
                ({least}) UNION ALL SELECT ({least} WHERE {column} > value) FROM found WHERE value IS NOT NULL)
            SELECT value FROM found WHERE value IS NOT NULL))
    """


OWN = "t.site = :site AND t.user_id = :user_id"
_INSTANCES = "SELECT id FROM bridge.completion_instance WHERE site = :site AND user_id = :user_id"
ITEMS = f"t.destination = {distinct('export_queue', 'destination')} AND t.instance_id IN ({_INSTANCES})"
DELIVERED = f"t.destination = {distinct('delivery', 'destination')} AND t.instance_id IN ({_INSTANCES})"


@dataclass(frozen=True)
class Work:
    """What is done with some rows of one table."""

    table: str
    fate: Fate
    why: str
    change: str
    rows: str  #: which

    @property
    def statement(self) -> TextClause:
        """Do it."""
        return text(f"{self.change} WHERE {self.rows}")

    @property
    def count(self) -> TextClause:
        """Only count the rows."""
        return text(f"SELECT count(*) FROM bridge.{self.table} t WHERE {self.rows}")


def _remove(table: str, why: str, *, rows: str = OWN) -> Work:
    return Work(table, "removed", why, f"DELETE FROM bridge.{table} t", rows)


def _blank(table: str, why: str, *, to: str, rows: str) -> Work:
    return Work(table, "blanked", why, f"UPDATE bridge.{table} t SET {to}", rows)


#: In this order: what else writes a request and its body, or a destination's state and the alert of it, does so too.
WORK: Sequence[Work] = (
    _blank(
        "export_log",
        "what was answered to a request with the learner's items, where it names them",
        to="error = :removed",
        rows="t.id = ANY(cast(:requests AS bigint[])) AND t.error ~* :names",
    ),
    _remove(
        "kept_body",
        "each request that carried one of the learner's items, whoever else was in it",
        rows="t.export_log_id = ANY(cast(:bodies AS bigint[]))",
    ),
    _remove("learner", "names, addresses and numbers"),
    _remove("audience_member", "who is in which audience"),
    _remove(
        "mapping",
        "what a destination calls the learner",
        rows=f"""
            t.destination = {distinct("mapping", "destination")}
            AND t.kind = 'learner' AND t.site = :site AND t.totara_id = :user_id
        """,
    ),
    _remove(
        "set_aside",
        "rows of Totara's that cannot be true",
        rows="t.site = :site AND (t.user_id = :user_id OR t.reason ~* :names)",
    ),
    _remove("crawled_pair", "what web services said of the learner"),
    _remove(
        "reconciled_difference",
        "where Totara and what is here differ about the learner",
        rows="""
            t.user_id = :user_id
            AND t.reconciliation_id IN (SELECT id FROM bridge.reconciliation WHERE site = :site)
        """,
    ),
    _remove(
        "acknowledgement",
        "what pullers said of completions that they fetched",
        rows=f"t.caller = {distinct('acknowledgement', 'caller')} AND {OWN}",
    ),
    _blank(
        "completion",
        "its place is kept, deleted and with a new change_seq: that is how pullers are told",
        to="""
            row_id = 0, status = 'not_started', progress = NULL, grade = NULL, rpl = NULL, time_enrolled = NULL,
            time_started = NULL, time_completed = NULL, deleted_at = :now, changed_at = :now,
            change_seq = nextval('bridge.change_seq')
        """,
        rows=f"{OWN} AND t.row_id <> 0",
    ),
    _blank(
        "completion_instance",
        "its record key is kept, so that nothing is sent twice; dates, rows and status are not",
        # numbers below 0 are nobody else's: no order of rows can violate what is unique
        to="""
            ordinal = -(SELECT count(*) FROM bridge.completion_instance i
                        WHERE i.site = t.site AND i.user_id = t.user_id AND i.course_id = t.course_id AND i.id <= t.id),
            first_time_completed = NULL, time_completed = NULL, time_completed_until = NULL, status = 'complete',
            row_id = NULL, history_id = NULL, archived_at = NULL, revised_at = NULL, first_seen_at = :now,
            ended_at = :now
        """,
        rows=f"{OWN} AND t.ordinal >= 0",
    ),
    _blank(
        "export_queue",
        "payloads and the destination's words are gone; state, key and times of the sending are kept",
        to="payload = '', reference = NULL, error_code = NULL, error_words = NULL",
        rows="t.id = ANY(cast(:items AS bigint[])) AND t.payload <> ''",
    ),
    _blank(
        "item_event",
        "words that could name somebody are gone; what was done when and by whom is kept",
        to="words = NULL",
        rows="t.item_id = ANY(cast(:items AS bigint[])) AND t.words <> :cancelled",
    ),
    _blank(
        "delivery",
        "a destination's reference that names the learner",
        to="reference = NULL",
        rows=f"{DELIVERED} AND t.reference ~* :names",
    ),
    _blank(
        "destination_state",
        "why a destination rests or is down, where that names the learner",
        to="reason = :removed",
        rows="t.reason ~* :names",
    ),
    _blank(
        "alert",
        "what an alert says, where that names the learner; the alert itself is kept",
        to="words = :removed",
        rows="t.words ~* :names",
    ),
)
