"""The instances of completions: each time that a learner completed a course, found in what was just read.

The rules, in the order in which the statements apply them, per pair of learner and course:

1. An instance whose completion row or history row is gone is lost, unless one of the next rules finds it again.
2. A history row is the instance that it already is, or a lost one of its date: then that one was archived. Failing
   both, it is the instance that was current until now: it was edited and archived between two reads.
3. A complete row is the instance with its row id; another date or status is the next revision, also when it had
   been lost before. With a new row id it is a lost instance of that date.
4. What no rule has found is a new instance.

No date is a date like any other: Totara has complete rows without one (its completion editor lists them as wrong),
and archives those too, as it archives nothing that is not complete. Such an instance has no time completed until
Totara says one. But two completions without a date need not be one: of what an earlier read lost, only the same row
is found again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import TextClause, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.instance_rules import (
    ARCHIVE,
    COMPLETE,
    CURRENT,
    FOUND_AGAIN,
    PAIR,
    UNKNOWN_CURRENT,
    UNKNOWN_HISTORY,
    archive_current,
    lose_archived,
    lose_current,
)
from totara_bridge.staging.record_key import mint


@dataclass(frozen=True)
class InstanceChanges:
    """How many instances a merge touched; ``withheld`` are new ones whose learner was already deleted."""

    new: int
    withheld: int
    revised: int
    archived: int
    lost: int

    @property
    def told(self) -> int:
        """Of how many there is something to tell."""
        return self.new + self.revised + self.lost


def merge(
    transaction: Transaction,
    *,
    site: str,
    whole_site: bool,
    history: bool = True,
    row_ids: bool = True,
    by_date: bool = False,
    now: datetime,
) -> InstanceChanges:
    """Bring the instances up to what was read; what was touched is in the table ``touched_instance``.

    :param history: whether the source shows archived completions. From one that does not, nothing is taken for lost:
        what is not complete any more counts as archived.
    :param row_ids: whether the source gives Totara's row ids. Without them an instance is known by its date.
    :param by_date: number new instances in the order of their dates, those without one first, for
        `deliverable.raise_baselines`.
    """
    if history:
        gone = (lose_current(whole_site=whole_site), lose_archived(whole_site=whole_site), *ARCHIVE)
    else:
        gone = (archive_current(whole_site=whole_site),)
    again = CURRENT if row_ids else (FOUND_AGAIN, *CURRENT)
    for statement in (*_PREPARE, *gone, *again, *_NEW):
        transaction.execute(statement, {"site": site, "now": now, "by_date": by_date})
    return InstanceChanges(**transaction.execute(_COUNT).one()._mapping)


def count_alive(transaction: Transaction, site: str) -> int:
    """How many instances of the site Totara has."""
    statement = text("SELECT count(*) FROM bridge.completion_instance WHERE site = :site AND ended_at IS NULL")
    return int(transaction.execute(statement, {"site": site}).scalar_one())


_PREPARE: Sequence[TextClause] = (
    text("CREATE TEMPORARY TABLE touched_instance (id bigint, change text) ON COMMIT DROP"),
    # what the instances do not say yet; in a quiet night neither table has a row, and the rest costs nothing
    text(
        """
        CREATE TEMPORARY TABLE new_history ON COMMIT DROP AS
        SELECT h.history_id, h.user_id, h.course_id, to_timestamp(h.time_completed) AS time_completed
        FROM incoming_history h
        WHERE NOT EXISTS (
            SELECT FROM bridge.completion_instance i
            WHERE i.site = :site AND i.user_id = h.user_id AND i.course_id = h.course_id
              AND i.history_id = h.history_id AND i.ended_at IS NULL
              AND i.time_completed IS NOT DISTINCT FROM to_timestamp(h.time_completed))
        """
    ),
    text(
        f"""
        CREATE TEMPORARY TABLE new_current ON COMMIT DROP AS
        SELECT n.row_id, n.user_id, n.course_id, n.status, to_timestamp(n.time_completed) AS time_completed,
               to_timestamp(n.time_completed_until) AS time_completed_until
        FROM incoming_completion n
        LEFT JOIN bridge.completion_instance i ON {PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL
        WHERE {COMPLETE}
          AND (i.id IS NULL OR i.row_id IS DISTINCT FROM n.row_id OR i.status <> n.status
               OR i.time_completed IS DISTINCT FROM to_timestamp(n.time_completed))
        """
    ),
    text("ANALYZE new_history"),
    text("ANALYZE new_current"),
)


# archived rows first, so that of two instances of one date the older has the lower ordinal
_WANTED = text(
    f"""
    CREATE TEMPORARY TABLE wanted_instance ON COMMIT DROP AS
    SELECT n.*, l.deleted_at IS NOT NULL AS after_deletion,
           (SELECT coalesce(max(i.ordinal) + 1, 0) FROM bridge.completion_instance i
            WHERE {PAIR} AND i.first_time_completed IS NOT DISTINCT FROM n.time_completed)
           + row_number() OVER (PARTITION BY n.user_id, n.course_id, n.time_completed
                                ORDER BY n.history_id NULLS LAST) - 1 AS ordinal
    FROM (SELECT user_id, course_id, NULL::bigint AS row_id, history_id, 'complete' AS status, time_completed,
                 NULL::timestamptz AS time_completed_until
          FROM {UNKNOWN_HISTORY} n
          UNION ALL
          SELECT user_id, course_id, row_id, NULL, status, time_completed, time_completed_until
          FROM {UNKNOWN_CURRENT} n) n
    LEFT JOIN bridge.learner l ON l.site = :site AND l.user_id = n.user_id
    """
)

_KEYED = mint(
    site=":site",
    user="user_id",
    course="course_id",
    time="time_completed",
    ordinal="ordinal",
    rows="wanted_instance",
)

_INSERT_NEW = text(
    f"""
    WITH touched AS (
        INSERT INTO bridge.completion_instance (
            site, user_id, course_id, row_id, history_id, status, time_completed, time_completed_until,
            first_time_completed, ordinal, revision, record_key, after_deletion, first_seen_at, archived_at)
        SELECT :site, user_id, course_id, row_id, history_id, status, time_completed, time_completed_until,
               time_completed, ordinal, 1, record_key, after_deletion, :now,
               CASE WHEN history_id IS NOT NULL THEN cast(:now AS timestamptz) END
        FROM ({_KEYED}) new_instance
        -- by pair, as two of the indexes have it, so that a first load fills them from left to right
        ORDER BY CASE WHEN :by_date THEN time_completed END NULLS FIRST, user_id, course_id, time_completed, ordinal
        RETURNING id, after_deletion
    )
    INSERT INTO touched_instance SELECT id, CASE WHEN after_deletion THEN 'withheld' ELSE 'new' END FROM touched
    """
)

_NEW: Sequence[TextClause] = (_WANTED, _INSERT_NEW)

_COUNT = text(
    """
    SELECT count(*) FILTER (WHERE change IN ('new', 'withheld')) AS new,
           count(*) FILTER (WHERE change = 'withheld') AS withheld,
           count(*) FILTER (WHERE change = 'revised') AS revised,
           count(*) FILTER (WHERE change = 'archived') AS archived,
           count(*) FILTER (WHERE change = 'lost') AS lost
    FROM touched_instance
    """
)
