"""The instances of completions: each time that a learner completed a course, found in what was just read.

The rules, in the order in which the statements apply them, per pair of learner and course:

1. A history row is the instance that it already is, or the instance of the pair with its date: then that one was
   archived. Otherwise it is a new, archived instance.
2. A completion row with a date is the instance with its row id; another date or status is the next revision, also
   when it had been lost in between. With a new row id it is an instance of that date whose row is gone, or else new.
3. An instance that was neither found is over: its date was lost, or Totara deleted it.
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


def merge(transaction: Transaction, *, site: str, whole_site: bool, now: datetime) -> InstanceChanges:
    """Bring the instances up to what was read; what was touched is in the table ``touched_instance``."""
    values = {"site": site, "now": now}
    for statement in (*_PREPARE, *_ARCHIVE, *_CURRENT):
        transaction.execute(statement, values)
    transaction.execute(_end_current(whole_site=whole_site), values)
    transaction.execute(_end_archived(whole_site=whole_site), values)
    for statement in (_REVIVE, _WANTED, _INSERT_NEW):
        transaction.execute(statement, values)
    counted = transaction.execute(_COUNT).one()
    return InstanceChanges(**counted._mapping)


def _touch(statement: str, change: str) -> TextClause:
    """The statement, with what it touched noted as ``change``."""
    return text(
        f"WITH touched AS ({statement} RETURNING i.id) INSERT INTO touched_instance SELECT id, '{change}' FROM touched"
    )


_PAIR = "i.site = :site AND i.user_id = n.user_id AND i.course_id = n.course_id"
_CURRENT_ROW = (
    "EXISTS (SELECT FROM incoming_completion n WHERE n.user_id = i.user_id AND n.course_id = i.course_id"
    " AND n.row_id = i.row_id AND n.time_completed IS NOT NULL)"
)

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

_ARCHIVE: Sequence[TextClause] = (
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET time_completed = n.time_completed, revision = i.revision + 1, revised_at = :now, ended_at = NULL
        FROM new_history n WHERE {_PAIR} AND i.history_id = n.history_id
        """,
        "revised",
    ),
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET history_id = match.history_id, archived_at = :now, ended_at = NULL,
            revision = i.revision + (i.ended_at IS NOT NULL)::int,
            revised_at = CASE WHEN i.ended_at IS NOT NULL THEN :now ELSE i.revised_at END
        FROM (SELECT candidate.id, wanted.history_id
              FROM (SELECT n.*, row_number() OVER (PARTITION BY n.user_id, n.course_id, n.time_completed
                                                   ORDER BY n.history_id) AS place
                    FROM new_history n
                    WHERE NOT EXISTS (SELECT FROM bridge.completion_instance i
                                      WHERE {_PAIR} AND i.history_id = n.history_id)) wanted
              JOIN (SELECT i.id, i.user_id, i.course_id, i.time_completed,
                           row_number() OVER (PARTITION BY i.user_id, i.course_id, i.time_completed
                                              ORDER BY i.ended_at IS NOT NULL, i.id) AS place
                    FROM bridge.completion_instance i
                    WHERE i.site = :site AND i.history_id IS NULL AND NOT {_CURRENT_ROW}
                      AND (i.user_id, i.course_id) IN (SELECT n.user_id, n.course_id FROM new_history n)
                   ) candidate
                USING (user_id, course_id, time_completed, place)) match
        WHERE i.id = match.id
        """,
        "archived",
    ),
)

_CURRENT: Sequence[TextClause] = (
    # Totara made the row anew with the same date: the same instance under another row id
    text(
        f"""
        UPDATE bridge.completion_instance i SET row_id = n.row_id
        FROM new_current n
        WHERE {_PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL
          AND i.time_completed = n.time_completed AND i.row_id <> n.row_id
        """
    ),
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET time_completed = n.time_completed, status = n.status, revision = i.revision + 1, revised_at = :now
        FROM new_current n
        WHERE {_PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL AND i.row_id = n.row_id
          AND (i.time_completed <> n.time_completed OR i.status <> n.status)
        """,
        "revised",
    ),
)


def _end_current(*, whole_site: bool) -> TextClause:
    return _touch(
        f"""
        UPDATE bridge.completion_instance i SET ended_at = :now
        WHERE i.site = :site AND i.archived_at IS NULL AND i.ended_at IS NULL
          AND {scope.condition("i", whole_site=whole_site)} AND NOT {_CURRENT_ROW}
        """,
        "lost",
    )


def _end_archived(*, whole_site: bool) -> TextClause:
    return _touch(
        f"""
        UPDATE bridge.completion_instance i SET ended_at = :now
        WHERE i.site = :site AND i.archived_at IS NOT NULL AND i.ended_at IS NULL
          AND {scope.condition("i", whole_site=whole_site)}
          AND NOT EXISTS (SELECT FROM incoming_history n WHERE n.history_id = i.history_id
                          AND n.user_id = i.user_id AND n.course_id = i.course_id
                          AND n.time_completed IS NOT NULL)
        """,
        "lost",
    )


_NO_CURRENT_INSTANCE = f"""
    NOT EXISTS (SELECT FROM bridge.completion_instance i
                WHERE {_PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL)
"""

# after the ends, since a pair has one current instance: a restored Totara brings back rows that had been replaced
_REVIVE = _touch(
    f"""
    UPDATE bridge.completion_instance i
    SET row_id = match.row_id, status = match.status, time_completed = match.time_completed,
        ended_at = NULL, revision = i.revision + 1, revised_at = :now
    FROM (SELECT DISTINCT ON (n.user_id, n.course_id) i.id, n.row_id, n.status, n.time_completed
          FROM (SELECT n.* FROM new_current n WHERE {_NO_CURRENT_INSTANCE}) n
          JOIN bridge.completion_instance i
            ON {_PAIR} AND i.archived_at IS NULL AND i.ended_at IS NOT NULL
           AND (i.row_id = n.row_id OR i.time_completed = n.time_completed)
          ORDER BY n.user_id, n.course_id, i.row_id = n.row_id DESC, i.id DESC) match
    WHERE i.id = match.id
    """,
    "revised",
)

# archived rows first, so that of two instances of one date the older has the lower ordinal
_WANTED = text(
    f"""
    CREATE TEMPORARY TABLE wanted_instance ON COMMIT DROP AS
    SELECT n.*, l.deleted_at IS NOT NULL AS after_deletion,
           (SELECT count(*) FROM bridge.completion_instance i
            WHERE {_PAIR} AND i.first_time_completed = n.time_completed)
           + row_number() OVER (PARTITION BY n.user_id, n.course_id, n.time_completed
                                ORDER BY n.history_id NULLS LAST) - 1 AS ordinal
    FROM (SELECT user_id, course_id, NULL::bigint AS row_id, history_id, 'complete' AS status, time_completed
          FROM new_history n
          WHERE NOT EXISTS (SELECT FROM bridge.completion_instance i
                            WHERE {_PAIR} AND i.history_id = n.history_id)
          UNION ALL
          SELECT user_id, course_id, row_id, NULL, status, time_completed
          FROM new_current n WHERE {_NO_CURRENT_INSTANCE}) n
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
        ORDER BY time_completed, user_id, course_id, ordinal
        RETURNING id, after_deletion
    )
    INSERT INTO touched_instance SELECT id, CASE WHEN after_deletion THEN 'withheld' ELSE 'new' END FROM touched
    """
)

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
