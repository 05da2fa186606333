"""The fastest plain way to do what an extract does: COPY from Totara to staging, and one INSERT per table.

It has no change log, no rules for what is gone, archived or revised, no queue, and no record keys: in their place
stands a counted text of the same length. It reads with the same statements and writes the same rows.
"""

from datetime import datetime

import psycopg

from benchmarks.totara_selects import selects

_Connection = psycopg.Connection[tuple[object, ...]]

_INCOMING = {
    "learner": """user_id bigint, username text, id_number text, email text, first_name text, last_name text,
                  suspended boolean, deleted boolean""",
    "course": """course_id bigint, category_id bigint, category_path text, short_name text, id_number text,
                 full_name text, visible boolean""",
    "history": "history_id bigint, user_id bigint, course_id bigint, time_completed bigint, grade numeric(10,5)",
    "completion": """row_id bigint, user_id bigint, course_id bigint, status text, progress smallint,
                     grade numeric(10,5), rpl text, time_enrolled bigint, time_started bigint,
                     time_completed bigint, time_completed_until bigint""",
}


def load(totara: str, staging: str, *, site: str, now: datetime) -> None:
    """Copy the site and merge it, in one transaction.

    :param totara: the address of Totara's database, for psycopg, as is ``staging``.
    """
    with psycopg.connect(totara) as source, psycopg.connect(staging) as target:
        target.execute("SET LOCAL work_mem = '64MB'")
        target.execute("SET LOCAL jit = off")
        for table, select in selects().items():
            target.execute(f"CREATE TEMPORARY TABLE incoming_{table} ({_INCOMING[table]}) ON COMMIT DROP".encode())
            _copy(source, select.text, target, table)
            target.execute(f"ANALYZE incoming_{table}".encode())
        for merge in (_LEARNERS, _COURSES, _COMPLETIONS, _ONLY_HISTORY, _INSTANCES):
            target.execute(merge, {"site": site, "now": now})


def _copy(source: _Connection, select: str, target: _Connection, table: str) -> None:
    with (
        source.cursor().copy(f"COPY ({select}) TO STDOUT".encode()) as read,
        target.cursor().copy(f"COPY incoming_{table} FROM STDIN".encode()) as written,
    ):
        for data in read:
            written.write(data)


_LEARNERS = """
    INSERT INTO bridge.learner AS l (site, user_id, username, id_number, email, first_name, last_name,
                                     suspended, deleted_at, changed_at)
    SELECT %(site)s, user_id, username, id_number, email, first_name, last_name, suspended,
           CASE WHEN deleted THEN %(now)s END, %(now)s
    FROM incoming_learner
    ON CONFLICT (site, user_id) DO UPDATE SET
        username = excluded.username, id_number = excluded.id_number, email = excluded.email,
        first_name = excluded.first_name, last_name = excluded.last_name, suspended = excluded.suspended,
        deleted_at = excluded.deleted_at, changed_at = excluded.changed_at, change_seq = excluded.change_seq
    WHERE (l.username, l.id_number, l.email, l.first_name, l.last_name, l.suspended, l.deleted_at IS NULL)
          IS DISTINCT FROM
          (excluded.username, excluded.id_number, excluded.email, excluded.first_name, excluded.last_name,
           excluded.suspended, excluded.deleted_at IS NULL)
"""

_COURSES = """
    INSERT INTO bridge.course AS c (site, course_id, category_id, category_path, short_name, id_number, full_name,
                                    visible, changed_at)
    SELECT %(site)s, course_id, category_id, category_path, short_name, id_number, full_name, visible, %(now)s
    FROM incoming_course
    ON CONFLICT (site, course_id) DO UPDATE SET
        category_id = excluded.category_id, category_path = excluded.category_path, short_name = excluded.short_name,
        id_number = excluded.id_number, full_name = excluded.full_name, visible = excluded.visible,
        changed_at = excluded.changed_at, change_seq = excluded.change_seq
    WHERE (c.category_id, c.category_path, c.short_name, c.id_number, c.full_name, c.visible)
          IS DISTINCT FROM
          (excluded.category_id, excluded.category_path, excluded.short_name, excluded.id_number, excluded.full_name,
           excluded.visible)
"""

_COMPLETIONS = """
    INSERT INTO bridge.completion AS c (site, user_id, course_id, row_id, status, progress, grade, rpl,
                                        time_enrolled, time_started, time_completed, changed_at)
    SELECT %(site)s, user_id, course_id, row_id, status, progress, grade, rpl,
           to_timestamp(time_enrolled), to_timestamp(time_started), to_timestamp(time_completed), %(now)s
    FROM incoming_completion
    ON CONFLICT (site, user_id, course_id) DO UPDATE SET
        row_id = excluded.row_id, status = excluded.status, progress = excluded.progress, grade = excluded.grade,
        rpl = excluded.rpl, time_enrolled = excluded.time_enrolled, time_started = excluded.time_started,
        time_completed = excluded.time_completed, changed_at = excluded.changed_at, change_seq = excluded.change_seq
    WHERE (c.row_id, c.status, c.progress, c.grade, c.rpl, c.time_enrolled, c.time_started, c.time_completed)
          IS DISTINCT FROM
          (excluded.row_id, excluded.status, excluded.progress, excluded.grade, excluded.rpl,
           excluded.time_enrolled, excluded.time_started, excluded.time_completed)
"""

_ONLY_HISTORY = """
    INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, deleted_at, changed_at)
    SELECT DISTINCT %(site)s, h.user_id, h.course_id, -1, 'not_started', %(now)s, %(now)s
    FROM incoming_history h LEFT JOIN bridge.completion c
      ON c.site = %(site)s AND c.user_id = h.user_id AND c.course_id = h.course_id
    WHERE c.user_id IS NULL
"""

_INSTANCES = """
    INSERT INTO bridge.completion_instance AS i (
        site, user_id, course_id, row_id, history_id, status, time_completed, first_time_completed, ordinal,
        revision, record_key, after_deletion, first_seen_at, archived_at)
    SELECT %(site)s, user_id, course_id, row_id, history_id, status, to_timestamp(time_completed),
           to_timestamp(time_completed),
           row_number() OVER (PARTITION BY user_id, course_id, time_completed ORDER BY history_id) - 1,
           1, 'TB' || lpad((row_number() OVER ())::text, 26, '0'), deleted, %(now)s,
           CASE WHEN history_id IS NOT NULL THEN %(now)s END
    FROM (SELECT user_id, course_id, NULL AS row_id, history_id, 'complete' AS status, time_completed
          FROM incoming_history
          UNION ALL
          SELECT user_id, course_id, row_id, NULL, status, time_completed FROM incoming_completion) AS completed
    JOIN incoming_learner USING (user_id)
    WHERE time_completed IS NOT NULL
    ON CONFLICT (site, user_id, course_id, first_time_completed, ordinal) DO UPDATE SET
        row_id = excluded.row_id, status = excluded.status, time_completed = excluded.time_completed
    WHERE (i.row_id, i.status, i.time_completed)
          IS DISTINCT FROM (excluded.row_id, excluded.status, excluded.time_completed)
"""
