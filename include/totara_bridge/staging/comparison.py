"""Comparing what was just read of a whole site with what is staged: how much Totara has, and where the two differ.

Written apart from the rules by which extracts merge: what those get wrong is to be found here. All of it is in
temporary tables of the caller's transaction, which is never committed (`totara_bridge.staging.engine.bulk_trial`).

What is not compared counts as it was read last: pairs that the next extract reads again anyway, those that the
connection's query leaves out, and what the source cannot say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from totara_bridge.staging.completed_since import COMPLETED_SINCE
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming, impossible
from totara_bridge.staging.instance_rules import COMPLETE


@dataclass(frozen=True)
class Compared:
    """What is known of the read that is compared."""

    site: str
    zone: str  #: whose days are counted
    now: datetime
    read_at: int  #: Totara's clock at the last extract, Unix seconds
    change_log: bool  #: the source says what changed since; without it, only what is complete is compared
    whole: bool  #: what was not read is gone
    history: bool  #: the source shows archived completions

    @property
    def values(self) -> dict[str, object]:
        """For the statements."""
        return {"site": self.site, "zone": self.zone, "now": self.now, "read_at": self.read_at}


@dataclass(frozen=True)
class Found:
    """How many differences there are."""

    missing: int  #: Totara has it, staging or a destination lacks it
    extra: int  #: staging or a destination has it, Totara lacks it
    different: int  #: both have it, not alike
    pending: int  #: pairs that differ and that the next extract reads again anyway

    @property
    def differences(self) -> int:
        """All of them, but for what is pending."""
        return self.missing + self.extra + self.different


def begin(transaction: Transaction) -> None:
    """Note, before they are set aside, the completions that cannot be true."""
    transaction.execute(text(_SUSPECT))


def note_not_compared(transaction: Transaction, compared: Compared) -> None:
    """Note the pairs that are not compared, once `scope.note_left_out` has said what was not read."""
    since = "" if compared.change_log else f"UNION ALL {COMPLETED_SINCE}"
    transaction.execute(text(_NOT_COMPARED.format(since)), compared.values)
    transaction.execute(text("ANALYZE not_compared"))


def count(transaction: Transaction, compared: Compared) -> None:
    """Count in the table ``counted`` how much Totara has, by course and day; also of erased learners."""
    unsure = not (compared.whole and compared.history)
    transaction.execute(text(_counted(unsure=unsure)), compared.values)


def compare(transaction: Transaction, compared: Compared) -> None:
    """Note the differences from staging in the table ``difference``; the rows of erased learners are gone by now."""
    transaction.execute(text(_DIFFERENCE))
    transaction.execute(text(_current(compared)), compared.values)
    if compared.history:
        transaction.execute(text(_archived(compared)), compared.values)


def found(transaction: Transaction) -> Found:
    """How many differences were noted."""
    return Found(**transaction.execute(text(_FOUND)).one()._mapping)


def totals(transaction: Transaction) -> Mapping[str, int]:
    """Of Totara's completions, how many there are, are of erased learners, and were set aside."""
    return dict(transaction.execute(text(_TOTALS)).one()._mapping)


_SUSPECT = f"""
    CREATE TEMPORARY TABLE suspect ON COMMIT DROP AS
    SELECT 'completion' AS feed, n.row_id, n.user_id, n.course_id FROM {Incoming.COMPLETION} n
    WHERE {COMPLETE} AND ({impossible(Incoming.COMPLETION)})
    UNION ALL
    SELECT 'history', history_id, user_id, course_id FROM {Incoming.HISTORY} WHERE {impossible(Incoming.HISTORY)}
"""

_NOT_COMPARED = f"""
    CREATE TEMPORARY TABLE not_compared ON COMMIT DROP AS
    SELECT user_id, course_id, bool_or(pending) AS pending
    FROM (SELECT user_id, course_id, true AS pending FROM read_again
          UNION ALL SELECT user_id, course_id, true FROM {Incoming.COMPLETION}
                    WHERE course_id IN (SELECT course_id FROM {Incoming.WHOLE_COURSE})
          UNION ALL SELECT user_id, course_id, true FROM {Incoming.HISTORY}
                    WHERE course_id IN (SELECT course_id FROM {Incoming.WHOLE_COURSE})
          UNION ALL SELECT user_id, course_id, false FROM left_out {{}}) p
    GROUP BY 1, 2
"""

_ALIVE = "(SELECT * FROM bridge.completion_instance WHERE site = :site AND ended_at IS NULL)"

_ERASED = "LEFT JOIN bridge.erased_learner e ON e.site = :site AND e.user_id = n.user_id"
_NOT_PENDING = "LEFT JOIN not_compared p ON p.user_id = n.user_id AND p.course_id = n.course_id"


def _counted(*, unsure: bool) -> str:
    """SQL: each completion once, from what was read or, where that is not compared, from what is staged.

    :param unsure: what was not read may be there all the same.
    """
    # the end of the year 9999 is a day of the next year in some zones, and Python has no such year
    return f"""
        CREATE TEMPORARY TABLE counted ON COMMIT DROP AS
        SELECT course_id, least(cast(at AT TIME ZONE :zone AS date), date '9999-12-31') AS day, count(*) AS completed,
               count(*) FILTER (WHERE erased) AS erased, count(*) FILTER (WHERE set_aside) AS set_aside
        FROM ({_READ} UNION ALL {_SET_ASIDE} UNION ALL {_staged(unsure=unsure)}) c GROUP BY 1, 2
    """


# one without a date counts on the day when it was first seen here, or else today
_READ = f"""
    SELECT n.course_id, coalesce(to_timestamp(n.time_completed), i.first_seen_at, cast(:now AS timestamptz)) AS at,
           e.user_id IS NOT NULL AS erased, false AS set_aside
    FROM (SELECT n.user_id, n.course_id, n.time_completed, NULL::bigint AS history_id FROM {Incoming.COMPLETION} n
          WHERE {COMPLETE}
          UNION ALL SELECT user_id, course_id, time_completed, history_id FROM {Incoming.HISTORY}) n
    {_ERASED} {_NOT_PENDING}
    LEFT JOIN {_ALIVE} i ON n.time_completed IS NULL AND i.user_id = n.user_id AND i.course_id = n.course_id
                        AND (i.archived_at IS NULL) = (n.history_id IS NULL)
                        AND i.history_id IS NOT DISTINCT FROM n.history_id
    WHERE e.user_id IS NOT NULL OR NOT coalesce(p.pending, false)
"""

# what was staged before it became impossible stays staged, and counts as that
_SET_ASIDE = f"""
    SELECT n.course_id, coalesce(s.first_seen_at, cast(:now AS timestamptz)), e.user_id IS NOT NULL, e.user_id IS NULL
    FROM suspect n
    {_ERASED} {_NOT_PENDING}
    LEFT JOIN bridge.set_aside s ON s.site = :site AND s.feed = n.feed AND s.row_id = n.row_id
    WHERE e.user_id IS NOT NULL
       OR NOT coalesce(p.pending, false)
          AND NOT EXISTS (SELECT FROM {_ALIVE} i WHERE i.user_id = n.user_id AND i.course_id = n.course_id
                          AND CASE n.feed WHEN 'history' THEN i.history_id = n.row_id ELSE i.archived_at IS NULL END)
"""


def _staged(*, unsure: bool) -> str:
    return f"""
        SELECT i.course_id, coalesce(i.time_completed, i.first_seen_at), false, false
        FROM {_ALIVE} i
        {"LEFT JOIN" if unsure else "JOIN"} not_compared p ON p.user_id = i.user_id AND p.course_id = i.course_id
        LEFT JOIN {Incoming.COMPLETION} n ON n.user_id = i.user_id AND n.course_id = i.course_id
                                         AND i.archived_at IS NULL AND {COMPLETE}
        LEFT JOIN {Incoming.HISTORY} h ON h.history_id = i.history_id AND h.user_id = i.user_id
                                      AND h.course_id = i.course_id AND i.archived_at IS NOT NULL
        WHERE coalesce(p.pending, false) OR n.user_id IS NULL AND h.user_id IS NULL
    """


_DIFFERENCE = """
    CREATE TEMPORARY TABLE difference (
        kind text, place text, feed text, user_id bigint, course_id bigint, record_key text, instance_id bigint,
        history_id bigint, pending boolean) ON COMMIT DROP
"""

_TIME = "to_timestamp(n.time_completed)"


def _current(compared: Compared) -> str:
    """SQL: each pair once: its row, and the instance that its row is where that is complete."""
    # whoever reads it goes on learning
    moving = "false" if compared.change_log else "NOT coalesce(n.complete, false) AND i.id IS NULL"
    state = _STATE_DIFFERS if compared.change_log else "false"
    gone = "CASE WHEN n.row_id IS NULL THEN 'extra' ELSE 'different' END" if not compared.history else "'extra'"
    sure = "p.user_id IS NULL" if compared.whole else "n.row_id IS NOT NULL AND p.user_id IS NULL"
    return f"""
        INSERT INTO difference
        SELECT * FROM (
            SELECT CASE WHEN {moving} THEN NULL
                        WHEN n.complete AND i.id IS NULL OR n.row_id IS NOT NULL AND c.row_id IS NULL THEN 'missing'
                        WHEN n.row_id IS NULL OR i.id IS NOT NULL AND NOT n.complete
                             THEN CASE WHEN {sure} OR coalesce(p.pending, false) THEN {gone} END
                        WHEN {state} OR {_INSTANCE_DIFFERS} THEN 'different' END AS kind,
                   'staging' AS place, 'current' AS feed, user_id, course_id, i.record_key, i.id, NULL::bigint,
                   coalesce(p.pending, false)
            FROM (SELECT n.*, {COMPLETE} AS complete FROM {Incoming.COMPLETION} n) n
            FULL JOIN (SELECT * FROM bridge.completion WHERE site = :site AND deleted_at IS NULL) c
                USING (user_id, course_id)
            FULL JOIN (SELECT * FROM {_ALIVE} a WHERE archived_at IS NULL) i USING (user_id, course_id)
            LEFT JOIN not_compared p USING (user_id, course_id)) d
        WHERE kind IS NOT NULL
    """


_STATE_DIFFERS = f"""
    (c.row_id, c.status, c.progress, c.grade, c.rpl) IS DISTINCT FROM (n.row_id, n.status, n.progress, n.grade, n.rpl)
    OR c.time_enrolled IS DISTINCT FROM to_timestamp(n.time_enrolled)
    OR c.time_started IS DISTINCT FROM to_timestamp(n.time_started) OR c.time_completed IS DISTINCT FROM {_TIME}
"""
_INSTANCE_DIFFERS = (
    f"n.complete AND (i.row_id, i.status, i.time_completed) IS DISTINCT FROM (n.row_id, n.status, {_TIME})"
)


def _archived(compared: Compared) -> str:
    sure = "p.user_id IS NULL OR p.pending" if compared.whole else "false"
    return f"""
        INSERT INTO difference
        SELECT * FROM (
            SELECT CASE WHEN i.id IS NULL THEN 'missing'
                        WHEN n.user_id IS NULL THEN CASE WHEN {sure} THEN 'extra' END
                        WHEN i.time_completed IS DISTINCT FROM {_TIME} THEN 'different' END AS kind,
                   'staging' AS place, 'archived' AS feed, user_id, course_id, i.record_key, i.id, history_id,
                   coalesce(p.pending, false)
            FROM {Incoming.HISTORY} n
            FULL JOIN (SELECT * FROM {_ALIVE} a WHERE archived_at IS NOT NULL) i
                USING (user_id, course_id, history_id)
            LEFT JOIN not_compared p USING (user_id, course_id)) d
        WHERE kind IS NOT NULL
    """


_FOUND = """
    SELECT count(*) FILTER (WHERE kind = 'missing' AND NOT pending) AS missing,
           count(*) FILTER (WHERE kind = 'extra' AND NOT pending) AS extra,
           count(*) FILTER (WHERE kind = 'different' AND NOT pending) AS different,
           count(DISTINCT (user_id, course_id)) FILTER (WHERE pending) AS pending
    FROM difference
"""

_TOTALS = """
    SELECT coalesce(sum(completed), 0)::bigint AS completed, coalesce(sum(erased), 0)::bigint AS erased,
           coalesce(sum(set_aside), 0)::bigint AS set_aside
    FROM counted
"""
