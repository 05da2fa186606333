"""The instances of completions: each time that a learner completed a course, found in what was just read.

The rules, in the order in which the statements apply them, per pair of learner and course:

1. An instance whose completion row or history row is gone is lost, unless one of the next rules finds it again.
2. A history row is the instance that it already is, or a lost one of its date: then that one was archived. Failing
   both, it is the instance that was current until now: it was edited and archived between two reads.
3. A completion row with a date is the instance with its row id; another date or status is the next revision, also
   when it had been lost before. With a new row id it is a lost instance of that date.
4. What no rule has found is a new instance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import TextClause, text

from totara_bridge.staging import scope
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.record_key import mint


@dataclass(frozen=True)
class InstanceChanges:
    """How many instances a merge touched; ``withheld`` are new ones whose learner was already deleted."""

    new: int
    withheld: int
    revised: int
    archived: int
    lost: int


def merge(
    transaction: Transaction, *, site: str, whole_site: bool, by_date: bool = False, now: datetime
) -> InstanceChanges:
    """Bring the instances up to what was read; what was touched is in the table ``touched_instance``.

    :param by_date: number new instances in the order of their dates, for `deliverable.raise_baselines`.
    """
    lose = (_lose_current(whole_site=whole_site), _lose_archived(whole_site=whole_site))
    for statement in (*_PREPARE, *lose, *_ARCHIVE, *_CURRENT, *_NEW):
        transaction.execute(statement, {"site": site, "now": now, "by_date": by_date})
    return InstanceChanges(**transaction.execute(_COUNT).one()._mapping)


def count_alive(transaction: Transaction, site: str) -> int:
    """How many instances of the site Totara has."""
    statement = text("SELECT count(*) FROM bridge.completion_instance WHERE site = :site AND ended_at IS NULL")
    return int(transaction.execute(statement, {"site": site}).scalar_one())


def _touch(statement: str, change: str) -> TextClause:
    """The statement, with what it touched noted as ``change``, an SQL expression."""
    return text(
        f"WITH touched AS ({statement} RETURNING i.id, {change} AS change) "
        "INSERT INTO touched_instance SELECT id, change FROM touched"
    )


_PAIR = "i.site = :site AND i.user_id = n.user_id AND i.course_id = n.course_id"
_JUST_LOST = "EXISTS (SELECT FROM touched_instance t WHERE t.id = i.id AND t.change = 'lost')"

#: The history rows ``n`` that are no instance yet.
_UNKNOWN_HISTORY = f"""
    (SELECT n.* FROM new_history n
     WHERE NOT EXISTS (SELECT FROM bridge.completion_instance i
                       WHERE {_PAIR} AND i.history_id = n.history_id AND i.ended_at IS NULL))
"""

#: The completion rows ``n`` with a date that are no instance yet.
_UNKNOWN_CURRENT = f"""
    (SELECT n.* FROM new_current n
     WHERE NOT EXISTS (SELECT FROM bridge.completion_instance i
                       WHERE {_PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL))
"""

_PREPARE: Sequence[TextClause] = (
    text("CREATE TEMPORARY TABLE touched_instance (id bigint, change text) ON COMMIT DROP"),
    # what the instances do not say yet; in a quiet night neither table has a row, and the rest costs nothing
    text(
        """
        CREATE TEMPORARY TABLE new_history ON COMMIT DROP AS
        SELECT h.history_id, h.user_id, h.course_id, to_timestamp(h.time_completed) AS time_completed
        FROM incoming_history h
        WHERE h.time_completed IS NOT NULL AND NOT EXISTS (
            SELECT FROM bridge.completion_instance i
            WHERE i.site = :site AND i.user_id = h.user_id AND i.course_id = h.course_id
              AND i.history_id = h.history_id AND i.time_completed = to_timestamp(h.time_completed)
              AND i.ended_at IS NULL)
        """
    ),
    text(
        """
        CREATE TEMPORARY TABLE new_current ON COMMIT DROP AS
        SELECT c.row_id, c.user_id, c.course_id, c.status, to_timestamp(c.time_completed) AS time_completed
        FROM incoming_completion c
        LEFT JOIN bridge.completion_instance i
               ON i.site = :site AND i.user_id = c.user_id AND i.course_id = c.course_id
              AND i.archived_at IS NULL AND i.ended_at IS NULL
        WHERE c.time_completed IS NOT NULL
          AND (i.id IS NULL OR i.row_id IS DISTINCT FROM c.row_id OR i.status <> c.status
               OR i.time_completed <> to_timestamp(c.time_completed))
        """
    ),
    text("ANALYZE new_history"),
    text("ANALYZE new_current"),
)


def _lose_current(*, whole_site: bool) -> TextClause:
    return _touch(
        f"""
        UPDATE bridge.completion_instance i SET ended_at = :now
        WHERE i.site = :site AND i.archived_at IS NULL AND i.ended_at IS NULL
          AND {scope.condition("i", whole_site=whole_site)}
          AND NOT EXISTS (SELECT FROM incoming_completion n WHERE n.row_id = i.row_id
                          AND n.user_id = i.user_id AND n.course_id = i.course_id
                          AND n.time_completed IS NOT NULL)
        """,
        "'lost'",
    )


def _lose_archived(*, whole_site: bool) -> TextClause:
    return _touch(
        f"""
        UPDATE bridge.completion_instance i SET ended_at = :now
        WHERE i.site = :site AND i.archived_at IS NOT NULL AND i.ended_at IS NULL
          AND {scope.condition("i", whole_site=whole_site)}
          AND NOT EXISTS (SELECT FROM incoming_history n WHERE n.history_id = i.history_id
                          AND n.user_id = i.user_id AND n.course_id = i.course_id
                          AND n.time_completed IS NOT NULL)
        """,
        "'lost'",
    )


_ARCHIVE: Sequence[TextClause] = (
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET time_completed = n.time_completed, revision = i.revision + 1, revised_at = :now
        FROM new_history n WHERE {_PAIR} AND i.history_id = n.history_id AND i.ended_at IS NULL
        """,
        "'revised'",
    ),
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET history_id = match.history_id, archived_at = coalesce(i.archived_at, :now), ended_at = NULL,
            revision = i.revision + (NOT match.just_lost)::int,
            revised_at = CASE WHEN match.just_lost THEN i.revised_at ELSE :now END
        FROM (SELECT lost.id, lost.just_lost, lost.archived_at, n.history_id
              FROM (SELECT n.*, row_number() OVER (PARTITION BY user_id, course_id, time_completed
                                                   ORDER BY history_id) AS place
                    FROM {_UNKNOWN_HISTORY} n) n
              JOIN (SELECT i.*, {_JUST_LOST} AS just_lost,
                           row_number() OVER (PARTITION BY i.user_id, i.course_id, i.time_completed
                                              ORDER BY {_JUST_LOST} DESC, i.id) AS place
                    FROM bridge.completion_instance i
                    WHERE i.site = :site AND i.ended_at IS NOT NULL
                      AND (i.user_id, i.course_id) IN (SELECT user_id, course_id FROM new_history)) lost
                USING (user_id, course_id, time_completed, place)) match
        WHERE i.id = match.id
        """,
        "CASE WHEN NOT match.just_lost THEN 'revised' WHEN match.archived_at IS NULL THEN 'archived' ELSE 'found' END",
    ),
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET history_id = match.history_id, archived_at = :now, ended_at = NULL,
            time_completed = match.time_completed, revision = i.revision + 1, revised_at = :now
        FROM (SELECT DISTINCT ON (i.id) i.id, n.history_id, n.time_completed
              FROM {_UNKNOWN_HISTORY} n
              JOIN bridge.completion_instance i ON {_PAIR} AND i.archived_at IS NULL AND {_JUST_LOST}
              WHERE NOT EXISTS (SELECT FROM new_current c WHERE c.user_id = i.user_id AND c.course_id = i.course_id
                                AND c.time_completed = i.time_completed)
              ORDER BY i.id, n.history_id DESC) match
        WHERE i.id = match.id
        """,
        "'revised'",
    ),
)

_CURRENT: Sequence[TextClause] = (
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET time_completed = n.time_completed, status = n.status, revision = i.revision + 1, revised_at = :now
        FROM new_current n
        WHERE {_PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL AND i.row_id = n.row_id
        """,
        "'revised'",
    ),
    # a restored Totara also brings back what had been archived since its backup
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET row_id = match.row_id, status = match.status, time_completed = match.time_completed,
            ended_at = NULL, archived_at = NULL, history_id = NULL, revision = i.revision + match.revised::int,
            revised_at = CASE WHEN match.revised THEN :now ELSE i.revised_at END
        FROM (SELECT DISTINCT ON (n.user_id, n.course_id) i.id, n.row_id, n.status, n.time_completed,
                     (NOT {_JUST_LOST} OR i.time_completed <> n.time_completed OR i.status <> n.status) AS revised
              FROM {_UNKNOWN_CURRENT} n
              JOIN bridge.completion_instance i ON {_PAIR} AND i.ended_at IS NOT NULL
               AND (i.row_id = n.row_id OR i.time_completed = n.time_completed)
              ORDER BY n.user_id, n.course_id, i.row_id = n.row_id DESC, {_JUST_LOST} DESC, i.id DESC) match
        WHERE i.id = match.id
        """,
        "CASE WHEN match.revised THEN 'revised' ELSE 'found' END",
    ),
    # what was found again was not lost
    text(
        """
        DELETE FROM touched_instance t USING bridge.completion_instance i
        WHERE t.change = 'lost' AND i.id = t.id AND i.ended_at IS NULL
        """
    ),
)

# archived rows first, so that of two instances of one date the older has the lower ordinal
_WANTED = text(
    f"""
    CREATE TEMPORARY TABLE wanted_instance ON COMMIT DROP AS
    SELECT n.*, l.deleted_at IS NOT NULL AS after_deletion,
           (SELECT coalesce(max(i.ordinal) + 1, 0) FROM bridge.completion_instance i
            WHERE {_PAIR} AND i.first_time_completed = n.time_completed)
           + row_number() OVER (PARTITION BY n.user_id, n.course_id, n.time_completed
                                ORDER BY n.history_id NULLS LAST) - 1 AS ordinal
    FROM (SELECT user_id, course_id, NULL::bigint AS row_id, history_id, 'complete' AS status, time_completed
          FROM {_UNKNOWN_HISTORY} n
          UNION ALL
          SELECT user_id, course_id, row_id, NULL, status, time_completed FROM {_UNKNOWN_CURRENT} n) n
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
            site, user_id, course_id, row_id, history_id, status, time_completed, first_time_completed, ordinal,
            revision, record_key, after_deletion, first_seen_at, archived_at)
        SELECT :site, user_id, course_id, row_id, history_id, status, time_completed, time_completed, ordinal,
               1, record_key, after_deletion, :now, CASE WHEN history_id IS NOT NULL THEN cast(:now AS timestamptz) END
        FROM ({_KEYED}) new_instance
        -- by pair, as two of the indexes have it, so that a first load fills them from left to right
        ORDER BY CASE WHEN :by_date THEN time_completed END, user_id, course_id, time_completed, ordinal
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
