"""Merging what was read into ``completion``, ``learner`` and ``course``: what did not change is not written."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import TextClause, text

from totara_bridge.staging import scope
from totara_bridge.staging.engine import Transaction

#: Held for a merge only, by every writer of ``change_seq``: the numbers become visible in order, so that no
#: puller's cursor skips a row that was committed late.
_ONE_MERGE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('totara_bridge.change_seq', 0))")


@dataclass(frozen=True)
class CompletionChanges:
    """How many completions a merge wrote."""

    created: int
    changed: int
    deleted: int


def begin_merge(transaction: Transaction) -> None:
    """Wait until no other merge runs; held to the end of the transaction."""
    transaction.execute(_ONE_MERGE_AT_A_TIME)


def merge_time(transaction: Transaction, *, now: datetime) -> datetime:
    """When the merge that has begun changes what it changes: later than all that was changed before.

    So ``changed_at`` grows with ``change_seq``, and a moment is found among the changes by halving.

    :param now: when the run began that merges, at about the beginning of this transaction.
    """
    return cast("datetime", transaction.execute(_MERGE_TIME, {"now": now}).scalar_one())


def merge_learners(transaction: Transaction, *, site: str, now: datetime) -> int:
    """Write new and changed learners; of a deleted one the identity as last known is kept."""
    return transaction.execute(_MERGE_LEARNERS, {"site": site, "now": now}).rowcount


def merge_courses(transaction: Transaction, *, site: str, now: datetime) -> int:
    """Write new and changed courses."""
    return transaction.execute(_MERGE_COURSES, {"site": site, "now": now}).rowcount


def missing(transaction: Transaction, *, site: str, whole_site: bool) -> tuple[int, int]:
    """How many of the staged completions that were read again Totara has no more, and how many there are."""
    row = transaction.execute(missing_statement(whole_site=whole_site), {"site": site}).one()
    return row[0], row[1]


def missing_statement(*, whole_site: bool) -> TextClause:
    """The statement of `missing`."""
    staged = f"""
        SELECT count(*) FROM bridge.completion c
        WHERE c.site = :site AND c.deleted_at IS NULL AND {scope.condition("c", whole_site=whole_site)}
    """
    # two counts, as NOT EXISTS is a join only in a WHERE: in a FILTER it is asked for row by row, and beyond some
    # millions, which no hash of that size holds any more, each time by reading all that was read
    return text(f"SELECT ({staged} AND NOT {_READ}), ({staged})")


def delete_missing(transaction: Transaction, *, site: str, whole_site: bool, now: datetime) -> None:
    """Mark deleted what Totara has no more; each gets the next ``change_seq``."""
    transaction.execute(
        text(
            f"""
            UPDATE bridge.completion c
            SET deleted_at = :now, changed_at = :now, change_seq = nextval('bridge.change_seq')
            WHERE c.site = :site AND c.deleted_at IS NULL AND {scope.condition("c", whole_site=whole_site)}
              AND NOT {_READ}
            """
        ),
        {"site": site, "now": now},
    )


def merge(transaction: Transaction, *, site: str, now: datetime) -> CompletionChanges:
    """Write what was created and changed; each gets the next ``change_seq``."""
    written = transaction.execute(_MERGE_COMPLETIONS, {"site": site, "now": now}).one()
    return CompletionChanges(created=written.created, changed=written.changed, deleted=0)


def tell_of_instances(transaction: Transaction, *, site: str, first: bool, now: datetime) -> None:
    """Give the next ``change_seq`` to completions that stayed as they were while their instances did not.

    That is what an imported history does. Where Totara has nothing but history of a pair, there is a completion that
    is deleted: pullers find the instances by it.

    :param first: this merge has written every completion that there is of the site.
    :param now: the `merge_time`: what this merge has written needs no other number.
    """
    transaction.execute(_ONLY_HISTORY, {"site": site, "now": now})
    if not first:
        transaction.execute(_TELL_OF_INSTANCES, {"site": site, "now": now})


_MERGE_TIME = text(
    """
    SELECT greatest(
        cast(:now AS timestamptz) + (clock_timestamp() - transaction_timestamp()),
        (SELECT changed_at FROM bridge.completion ORDER BY change_seq DESC LIMIT 1) + interval '1 microsecond',
        (SELECT changed_at FROM bridge.learner ORDER BY change_seq DESC LIMIT 1) + interval '1 microsecond',
        (SELECT erased_at FROM bridge.erased_learner ORDER BY change_seq DESC LIMIT 1) + interval '1 microsecond',
        (SELECT changed_at FROM bridge.course ORDER BY change_seq DESC LIMIT 1) + interval '1 microsecond')
    """
)

_ONLY_HISTORY = text(
    """
    INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, deleted_at, changed_at)
    SELECT DISTINCT :site, h.user_id, h.course_id, -1, 'not_started', cast(:now AS timestamptz),
           cast(:now AS timestamptz)
    FROM new_history h LEFT JOIN bridge.completion c
      ON c.site = :site AND c.user_id = h.user_id AND c.course_id = h.course_id
    WHERE c.user_id IS NULL
    """
)

_TELL_OF_INSTANCES = text(
    """
    UPDATE bridge.completion c SET changed_at = :now, change_seq = nextval('bridge.change_seq')
    FROM (SELECT DISTINCT i.user_id, i.course_id
          FROM touched_instance t JOIN bridge.completion_instance i ON i.id = t.id
          WHERE t.change <> 'found') p
    WHERE c.site = :site AND c.user_id = p.user_id AND c.course_id = p.course_id AND c.changed_at <> :now
    """
)

_READ = """
    EXISTS (SELECT FROM incoming_completion i WHERE i.user_id = c.user_id AND i.course_id = c.course_id)
"""

_MERGE_LEARNERS = text(
    """
    INSERT INTO bridge.learner AS l (site, user_id, username, id_number, email, first_name, last_name,
                                     suspended, deleted_at, changed_at)
    SELECT :site, i.user_id, i.username, i.id_number, i.email, i.first_name, i.last_name,
           i.suspended, CASE WHEN i.deleted THEN cast(:now AS timestamptz) END, :now
    FROM incoming_learner i
    LEFT JOIN bridge.learner k ON k.site = :site AND k.user_id = i.user_id
    WHERE k.user_id IS NULL
       OR i.deleted <> (k.deleted_at IS NOT NULL)
       OR NOT i.deleted
          AND (i.username, i.id_number, i.email, i.first_name, i.last_name, i.suspended)
              IS DISTINCT FROM
              (k.username, k.id_number, k.email, k.first_name, k.last_name, k.suspended)
    ON CONFLICT (site, user_id) DO UPDATE SET
        username = CASE WHEN excluded.deleted_at IS NULL THEN excluded.username ELSE l.username END,
        id_number = CASE WHEN excluded.deleted_at IS NULL THEN excluded.id_number ELSE l.id_number END,
        email = CASE WHEN excluded.deleted_at IS NULL THEN excluded.email ELSE l.email END,
        first_name = CASE WHEN excluded.deleted_at IS NULL THEN excluded.first_name ELSE l.first_name END,
        last_name = CASE WHEN excluded.deleted_at IS NULL THEN excluded.last_name ELSE l.last_name END,
        suspended = excluded.suspended,
        deleted_at = excluded.deleted_at,
        changed_at = excluded.changed_at, change_seq = excluded.change_seq
    """
)

_MERGE_COURSES = text(
    """
    INSERT INTO bridge.course (site, course_id, category_id, category_path, short_name, id_number, full_name, visible,
                               changed_at)
    SELECT :site, i.course_id, i.category_id, i.category_path, i.short_name, i.id_number, i.full_name, i.visible, :now
    FROM incoming_course i
    LEFT JOIN bridge.course k ON k.site = :site AND k.course_id = i.course_id
    WHERE k.course_id IS NULL
       OR (i.category_id, i.category_path, i.short_name, i.id_number, i.full_name, i.visible)
          IS DISTINCT FROM (k.category_id, k.category_path, k.short_name, k.id_number, k.full_name, k.visible)
    ON CONFLICT (site, course_id) DO UPDATE SET
        category_id = excluded.category_id, category_path = excluded.category_path,
        short_name = excluded.short_name, id_number = excluded.id_number,
        full_name = excluded.full_name, visible = excluded.visible, changed_at = excluded.changed_at,
        change_seq = excluded.change_seq
    """
)

# The join, not the conflict, finds what changed: it reads the table once, where ON CONFLICT … WHERE would look
# up, lock and write a row version for each row that came in.
_MERGE_COMPLETIONS = text(
    """
    WITH written AS (
        INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, progress, grade, rpl,
                                       time_enrolled, time_started, time_completed, deleted_at, changed_at)
        SELECT :site, i.user_id, i.course_id, i.row_id, i.status, i.progress, i.grade, i.rpl,
               to_timestamp(i.time_enrolled), to_timestamp(i.time_started), to_timestamp(i.time_completed),
               NULL, :now
        FROM incoming_completion i
        LEFT JOIN bridge.completion c
               ON c.site = :site AND c.user_id = i.user_id AND c.course_id = i.course_id
        WHERE c.user_id IS NULL OR c.deleted_at IS NOT NULL OR c.row_id <> i.row_id OR c.status <> i.status
           OR c.progress IS DISTINCT FROM i.progress
           OR c.grade IS DISTINCT FROM i.grade
           OR c.rpl IS DISTINCT FROM i.rpl
           OR c.time_enrolled IS DISTINCT FROM to_timestamp(i.time_enrolled)
           OR c.time_started IS DISTINCT FROM to_timestamp(i.time_started)
           OR c.time_completed IS DISTINCT FROM to_timestamp(i.time_completed)
        ORDER BY i.user_id, i.course_id  -- as the key has them: a first load fills its index from left to right
        ON CONFLICT (site, user_id, course_id) DO UPDATE SET
            row_id = excluded.row_id, status = excluded.status, progress = excluded.progress,
            grade = excluded.grade, rpl = excluded.rpl, time_enrolled = excluded.time_enrolled,
            time_started = excluded.time_started, time_completed = excluded.time_completed,
            deleted_at = NULL, changed_at = excluded.changed_at, change_seq = excluded.change_seq
        RETURNING (xmax = 0) AS created  -- a row that this statement updated carries a lock mark
    )
    SELECT count(*) FILTER (WHERE created) AS created, count(*) FILTER (WHERE NOT created) AS changed FROM written
    """
)
