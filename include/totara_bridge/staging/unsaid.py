"""What a source cannot say is as another source said it, and what it knows less exactly is matched as it knows it.

A source without Totara's row ids numbers the rows by their place in what was read. `fill` gives each the row id that
is staged, where it may be the instance that is known, and else one that is made of its date: below -1, so that it
never meets one of Totara's, and the same for the same date. Then the rules of `totara_bridge.staging.instance` hold
as they are. `totara_bridge.staging.adopt` does the reverse.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import TextClause, text

from totara_bridge.completion import COURSE_COLUMNS, LEARNER_COLUMNS, Status
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.instance_rules import COMPLETE, MAY_BE, PAIR

#: The row id of a completion whose source gives neither row ids nor dates; with a date it is as much below it.
UNDATED = -2


def drop_doubles(transaction: Transaction, *, site: str, feed: str, now: datetime) -> int:
    """Keep one row of each learner and course, the one in the last place; how many said something else.

    Those are in ``set_aside``, as rows of the feed.
    """
    for table, key in (("incoming_learner", "user_id"), ("incoming_course", "course_id")):
        transaction.execute(text(_without_doubles(table, key, last="t.ctid")))
    values = {"site": site, "feed": feed, "now": now}
    return int(transaction.execute(_DROP_DOUBLE_COMPLETIONS, values).scalar_one())


def speak_for_read_pairs(transaction: Transaction) -> None:
    """What was read speaks for its pairs alone: what was not read may be there all the same."""
    transaction.execute(text("INSERT INTO incoming_pair SELECT user_id, course_id FROM incoming_completion"))
    transaction.execute(text("ANALYZE incoming_pair"))


def fill(transaction: Transaction, *, site: str, columns: Collection[str], statuses: bool) -> None:
    """Take what the source cannot say from what is staged.

    :param columns: of a completion, those that it gives.
    :param statuses: whether it tells recognition of prior learning from the usual.
    """
    taken = {"status": "n.status" if statuses else _STATUS}
    taken |= {name: said for name, said in _UNSAID.items() if name not in columns}
    taken |= {name: _of_that_day(name) for name in ("time_enrolled", "time_started") if name in columns}
    completions = text(_FILL_COMPLETIONS.format(", ".join(f"{name} = {said}" for name, said in taken.items())))
    for statement in (_FILL_LEARNERS, _FILL_COURSES, completions):
        transaction.execute(statement, {"site": site})


def _without_doubles(table: str, key: str, *, last: str) -> str:
    """SQL: delete all rows of a key but the last."""
    return f"""
        DELETE FROM {table} t
        USING (SELECT t.ctid, row_number() OVER (PARTITION BY {key} ORDER BY {last} DESC) AS place FROM {table} t) d
        WHERE t.ctid = d.ctid AND d.place > 1
    """


_DROP_DOUBLE_COMPLETIONS = text(
    f"""
    WITH dropped AS ({_without_doubles("incoming_completion", "user_id, course_id", last="row_id")} RETURNING t.*),
    contradicted AS (
        SELECT d.user_id, d.course_id, d.row_id, max(n.row_id) AS by_row
        FROM dropped d JOIN incoming_completion n
          ON n.user_id = d.user_id AND n.course_id = d.course_id AND n.row_id > d.row_id
         AND (n.status <> d.status OR n.time_completed IS DISTINCT FROM d.time_completed)
        GROUP BY 1, 2, 3
    ),
    noted AS (
        INSERT INTO bridge.set_aside (site, feed, row_id, user_id, course_id, reason, first_seen_at, last_seen_at)
        SELECT :site, :feed, row_id, user_id, course_id,
               'row ' || by_row || ', which comes later, says something else of this learner and course', :now, :now
        FROM contradicted
        ON CONFLICT (site, feed, row_id) DO UPDATE SET reason = excluded.reason, last_seen_at = excluded.last_seen_at
    )
    SELECT count(*) FROM contradicted
    """
)


def _filled(table: str, key: str, staged: str, columns: Sequence[str], defaults: Mapping[str, str]) -> TextClause:
    """SQL: what is ``\\N`` of a learner or a course is as staged, and else as nothing was said."""
    known = {name: "k.deleted_at IS NOT NULL" if name == "deleted" else f"k.{name}" for name in columns}
    nothing = dict.fromkeys(columns, "''") | dict(defaults)
    taken = ", ".join(f"{name} = coalesce(n.{name}, {known[name]}, {nothing[name]})" for name in columns)
    return text(
        f"""
        UPDATE {table} n SET {taken}
        FROM {table} m LEFT JOIN bridge.{staged} k ON k.site = :site AND k.{key} = m.{key}
        WHERE n.{key} = m.{key} AND ({" OR ".join(f"n.{name} IS NULL" for name in columns)})
        """
    )


_FILL_LEARNERS = _filled(
    "incoming_learner", "user_id", "learner", LEARNER_COLUMNS[1:], {"suspended": "false", "deleted": "false"}
)
_FILL_COURSES = _filled(
    "incoming_course", "course_id", "course", COURSE_COLUMNS[1:], {"category_id": "0", "visible": "true"}
)

#: SQL: of a source that says ``complete`` of both kinds, and ``not_started`` of what may be in progress.
_STATUS = f"""
    CASE WHEN k.complete THEN coalesce(k.instance_status, n.status)
         WHEN n.status = '{Status.NOT_STARTED}' AND k.status = '{Status.IN_PROGRESS}' THEN k.status
         ELSE n.status END
"""

#: SQL: what the source does not give of a completion is as staged, where that was said of this same completion.
_UNSAID = {
    "progress": f"CASE WHEN k.complete THEN 100 WHEN k.status IN ('{Status.NOT_STARTED}', '{Status.IN_PROGRESS}') "
    "THEN k.progress END",
    "grade": "CASE WHEN k.instance_row_id IS NOT NULL THEN k.grade END",
    "rpl": "CASE WHEN k.instance_row_id IS NOT NULL THEN k.rpl END",
    "time_enrolled": "extract(epoch FROM k.time_enrolled)::bigint",
    "time_started": "extract(epoch FROM k.time_started)::bigint",
}


def _of_that_day(name: str) -> str:
    """SQL: as staged where the source may have said the beginning of that day, which has 25 hours at most."""
    staged = f"extract(epoch FROM k.{name})::bigint"
    return f"CASE WHEN {staged} - n.{name} BETWEEN 0 AND 90000 THEN {staged} ELSE n.{name} END"


_FILL_COMPLETIONS = f"""
    UPDATE incoming_completion n SET {{}},
        row_id = CASE WHEN NOT k.complete THEN coalesce(k.row_id, {UNDATED})
                      ELSE coalesce(k.instance_row_id, {UNDATED - 1} - n.time_completed, {UNDATED}) END,
        time_completed = coalesce(extract(epoch FROM k.instance_time)::bigint, n.time_completed),
        time_completed_until = CASE WHEN k.instance_time IS NULL THEN n.time_completed_until
                                    ELSE extract(epoch FROM k.instance_until)::bigint END
    FROM (
        SELECT n.user_id, n.course_id, {COMPLETE} AS complete, c.row_id, c.status, c.progress, c.grade, c.rpl,
               c.time_enrolled, c.time_started, i.row_id AS instance_row_id, i.status AS instance_status,
               i.time_completed AS instance_time, i.time_completed_until AS instance_until
        FROM incoming_completion n
        LEFT JOIN bridge.completion c
               ON c.site = :site AND c.user_id = n.user_id AND c.course_id = n.course_id AND c.deleted_at IS NULL
        LEFT JOIN bridge.completion_instance i
               ON {PAIR} AND i.archived_at IS NULL AND i.ended_at IS NULL AND {COMPLETE} AND {MAY_BE}
    ) k
    WHERE n.user_id = k.user_id AND n.course_id = k.course_id
"""
