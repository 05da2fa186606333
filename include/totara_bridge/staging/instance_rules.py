"""The statements that find known instances again in what was just read; see `totara_bridge.staging.instance`.

Each notes what it touched in the temporary table ``touched_instance``: an instance's id, and ``lost``, ``archived``,
``revised`` or, where only Totara's row ids changed, ``found``.

Times are compared with ``IS [NOT] DISTINCT FROM``, never with ``=`` or ``USING``: no date is a date like any other,
but that it leads to nothing that an earlier merge lost.
"""

from collections.abc import Sequence

from sqlalchemy import TextClause, text

from totara_bridge.completion import Status
from totara_bridge.staging import scope
from totara_bridge.staging.schema.table import one_of


def _touch(statement: str, change: str) -> TextClause:
    """The statement, with what it touched noted as ``change``, an SQL expression."""
    return text(
        f"WITH touched AS ({statement} RETURNING i.id, {change} AS change) "
        "INSERT INTO touched_instance SELECT id, change FROM touched"
    )


#: A completion row ``n`` that says that the course was completed, with a date or without.
COMPLETE = one_of("n.status", (Status.COMPLETE, Status.COMPLETE_RPL))

PAIR = "i.site = :site AND i.user_id = n.user_id AND i.course_id = n.course_id"


def agrees(time: str, until: str) -> str:
    """SQL: a row completed at ``time``, or between it and ``until``, may be the instance ``i``, as exactly as is known.

    Where either has no date, it may be.
    """
    return f"""
        (i.time_completed IS NULL OR {time} IS NULL
         OR {time} <= coalesce(i.time_completed_until - interval '1 second', i.time_completed)
            AND i.time_completed <= coalesce({until} - interval '1 second', {time}))
    """


#: A completion row ``n`` as it was read may be the instance ``i``.
MAY_BE = agrees("to_timestamp(n.time_completed)", "to_timestamp(n.time_completed_until)")

_JUST_LOST = "EXISTS (SELECT FROM touched_instance t WHERE t.id = i.id AND t.change = 'lost')"

#: The history rows ``n`` that are no instance yet.
UNKNOWN_HISTORY = f"""
    (SELECT n.* FROM new_history n
     WHERE NOT EXISTS (SELECT FROM bridge.completion_instance i
                       WHERE {PAIR} AND i.history_id = n.history_id AND i.ended_at IS NULL))
"""

#: The complete rows ``n`` that are no instance yet.
UNKNOWN_CURRENT = f"""
    (SELECT n.* FROM new_current n
     WHERE NOT EXISTS (SELECT FROM bridge.completion_instance i
                       WHERE {PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL))
"""


def lose_current(*, whole_site: bool) -> TextClause:
    return _touch(
        f"""
        UPDATE bridge.completion_instance i SET ended_at = :now
        WHERE i.site = :site AND i.archived_at IS NULL AND i.ended_at IS NULL
          AND {scope.condition("i", whole_site=whole_site)}
          AND NOT EXISTS (SELECT FROM incoming_completion n WHERE n.row_id = i.row_id
                          -- a row that stays complete and loses its date has regressed nothing: the learner has
                          -- completed the course, and Totara does not say when any more
                          AND n.user_id = i.user_id AND n.course_id = i.course_id AND {COMPLETE})
        """,
        "'lost'",
    )


def archive_current(*, whole_site: bool) -> TextClause:
    """For a source without history: it cannot tell what was taken back from what was archived."""
    return _touch(
        f"""
        UPDATE bridge.completion_instance i SET archived_at = :now
        WHERE i.site = :site AND i.archived_at IS NULL AND i.ended_at IS NULL
          AND {scope.condition("i", whole_site=whole_site)}
          AND NOT EXISTS (SELECT FROM incoming_completion n WHERE n.row_id = i.row_id
                          AND n.user_id = i.user_id AND n.course_id = i.course_id AND {COMPLETE})
        """,
        "'archived'",
    )


#: For a source without row ids: what is complete again on the day of an instance that was archived or lost is that one.
FOUND_AGAIN = _touch(
    f"""
    UPDATE bridge.completion_instance i
    SET row_id = match.row_id, ended_at = NULL, archived_at = NULL, history_id = NULL,
        revision = i.revision + match.ended::int,
        revised_at = CASE WHEN match.ended THEN :now ELSE i.revised_at END
    FROM (SELECT DISTINCT ON (n.user_id, n.course_id) i.id, n.row_id, i.ended_at IS NOT NULL AS ended
          FROM {UNKNOWN_CURRENT} n
          JOIN bridge.completion_instance i ON {PAIR} AND (i.ended_at IS NOT NULL OR i.archived_at IS NOT NULL)
           AND i.time_completed IS NOT NULL AND n.time_completed IS NOT NULL
           AND {agrees("n.time_completed", "n.time_completed_until")}
          ORDER BY n.user_id, n.course_id, i.ended_at IS NOT NULL, i.id DESC) match
    WHERE i.id = match.id
    """,
    "CASE WHEN match.ended THEN 'revised' ELSE 'found' END",
)


def lose_archived(*, whole_site: bool) -> TextClause:
    return _touch(
        f"""
        UPDATE bridge.completion_instance i SET ended_at = :now
        WHERE i.site = :site AND i.archived_at IS NOT NULL AND i.ended_at IS NULL
          AND {scope.condition("i", whole_site=whole_site)}
          AND NOT EXISTS (SELECT FROM incoming_history n WHERE n.history_id = i.history_id
                          AND n.user_id = i.user_id AND n.course_id = i.course_id)
        """,
        "'lost'",
    )


ARCHIVE: Sequence[TextClause] = (
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET time_completed = n.time_completed, time_completed_until = NULL, revision = i.revision + 1,
            revised_at = :now
        FROM new_history n WHERE {PAIR} AND i.history_id = n.history_id AND i.ended_at IS NULL
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
                    FROM {UNKNOWN_HISTORY} n) n
              JOIN (SELECT i.*, {_JUST_LOST} AS just_lost,
                           row_number() OVER (PARTITION BY i.user_id, i.course_id, i.time_completed
                                              ORDER BY {_JUST_LOST} DESC, i.id) AS place
                    FROM bridge.completion_instance i
                    WHERE i.site = :site AND i.ended_at IS NOT NULL
                      AND (i.time_completed IS NOT NULL OR {_JUST_LOST} OR EXISTS (
                               SELECT FROM new_history n WHERE {PAIR} AND n.history_id = i.history_id))
                      AND (i.user_id, i.course_id) IN (SELECT user_id, course_id FROM new_history)) lost
                ON lost.user_id = n.user_id AND lost.course_id = n.course_id AND lost.place = n.place
               AND lost.time_completed IS NOT DISTINCT FROM n.time_completed) match
        WHERE i.id = match.id
        """,
        "CASE WHEN NOT match.just_lost THEN 'revised' WHEN match.archived_at IS NULL THEN 'archived' ELSE 'found' END",
    ),
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET history_id = match.history_id, archived_at = :now, ended_at = NULL,
            time_completed = match.time_completed, time_completed_until = NULL, revision = i.revision + 1,
            revised_at = :now
        FROM (SELECT DISTINCT ON (i.id) i.id, n.history_id, n.time_completed
              FROM {UNKNOWN_HISTORY} n
              JOIN bridge.completion_instance i ON {PAIR} AND i.archived_at IS NULL AND {_JUST_LOST}
              WHERE NOT EXISTS (SELECT FROM new_current c WHERE c.user_id = i.user_id AND c.course_id = i.course_id
                                AND c.time_completed IS NOT DISTINCT FROM i.time_completed)
              ORDER BY i.id, n.history_id DESC) match
        WHERE i.id = match.id
        """,
        "'revised'",
    ),
)

CURRENT: Sequence[TextClause] = (
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET time_completed = n.time_completed, time_completed_until = n.time_completed_until, status = n.status,
            revision = i.revision + 1, revised_at = :now
        FROM new_current n
        WHERE {PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL AND i.row_id = n.row_id
        """,
        "'revised'",
    ),
    # a restored Totara also brings back what had been archived since its backup
    _touch(
        f"""
        UPDATE bridge.completion_instance i
        SET row_id = match.row_id, status = match.status, time_completed = match.time_completed,
            time_completed_until = match.time_completed_until, ended_at = NULL, archived_at = NULL, history_id = NULL,
            revision = i.revision + match.revised::int,
            revised_at = CASE WHEN match.revised THEN :now ELSE i.revised_at END
        FROM (SELECT DISTINCT ON (n.user_id, n.course_id) i.id, n.row_id, n.status, n.time_completed,
                     n.time_completed_until, (NOT {_JUST_LOST} OR i.time_completed IS DISTINCT FROM n.time_completed
                      OR i.status <> n.status) AS revised
              FROM {UNKNOWN_CURRENT} n
              JOIN bridge.completion_instance i ON {PAIR} AND i.ended_at IS NOT NULL
               AND (i.row_id = n.row_id OR i.time_completed = n.time_completed
                    OR i.time_completed IS NULL AND n.time_completed IS NULL AND {_JUST_LOST})
              ORDER BY n.user_id, n.course_id, i.row_id IS NOT DISTINCT FROM n.row_id DESC, {_JUST_LOST} DESC,
                       i.id DESC) match
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
