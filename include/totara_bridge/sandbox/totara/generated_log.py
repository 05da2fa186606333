"""The change log of a generated site, as SQL for PostgreSQL: ids grow with time, in Totara's own words."""

from totara_bridge.sandbox.totara import change_log
from totara_bridge.sandbox.totara.change_log import NO_NUMBER, NO_TEXT, NO_TIME, STATUS_WORDS, ZERO_TIME, Status
from totara_bridge.sandbox.totara.generated_plan import DAY, literal
from totara_bridge.sandbox.totara.schema import Tables
from totara_bridge.sandbox.totara.site_reads import ADMIN

#: Each kind of event, numbered in the order in which they happen to a row.
_CREATED, _BEGUN, _ENDED, _ARCHIVED, _DELETED = range(1, 6)


def statement(site: Tables) -> str:
    """From the tables ``pair`` and ``past``."""
    return f"""
        INSERT INTO {site.course_completion_log} (id, courseid, userid, changeuserid, description, timemodified)
        WITH event AS (
            {_of_current_rows()}
            UNION ALL
            {_of_archived_rows()})
        SELECT row_number() OVER (ORDER BY at, userid, course, kind), course, userid,
               CASE WHEN in_bulk THEN 0 ELSE {ADMIN} END, {_description()}, at
          FROM event ORDER BY at, userid, course, kind
    """


def _of_current_rows() -> str:
    return f"""
        SELECT CASE kind WHEN {_CREATED} THEN enrolled WHEN {_BEGUN} THEN started ELSE ended END AS at,
               kind, userid, course, enrolled, started, completed, status, rpl, rplgrade AS grade,
               archived_before AND kind = {_CREATED} AS in_bulk, NULL::bigint AS history_id
          FROM pair, generate_series({_CREATED}, {_ENDED}) AS kind
         WHERE kind = {_CREATED} OR kind = {_BEGUN} AND started IS NOT NULL OR kind = {_ENDED} AND ended IS NOT NULL
    """


def _of_archived_rows() -> str:
    return f"""
        SELECT CASE kind WHEN {_CREATED} THEN completed - 60 * {DAY} WHEN {_BEGUN} THEN completed - 30 * {DAY}
                         WHEN {_ENDED} THEN completed ELSE archived END,
               kind, userid, course, completed - 60 * {DAY}, completed - 30 * {DAY}, completed, 50,
               NULL, grade, false, id
          FROM past, generate_series({_CREATED}, {_DELETED}) AS kind
    """


def _description() -> str:
    return f"""
        CASE WHEN kind = {_DELETED} THEN {literal(change_log.DELETED)}
             WHEN kind = {_ARCHIVED} THEN
                  format({literal(change_log.HISTORY_SAVED)}, {literal(change_log.ARCHIVED)},
                         history_id, {_time("completed")}, coalesce(grade::text, {literal(NO_NUMBER)}))
             WHEN in_bulk THEN
                  format({literal(change_log.STARTED_IN_BULK)}, enrolled, {_time("enrolled")})
             ELSE format({literal(change_log.SAVED)},
                         CASE kind WHEN {_CREATED} THEN {literal(change_log.CREATED)}
                                   ELSE {literal(change_log.UPDATED)} END,
                         {_status()},
                         {_time("enrolled")},
                         CASE WHEN kind = {_CREATED} OR started IS NULL THEN {literal(ZERO_TIME)}
                              ELSE {_time("started")} END,
                         CASE kind WHEN {_ENDED} THEN {_time("completed")} ELSE {literal(NO_TIME)} END,
                         coalesce(CASE kind WHEN {_ENDED} THEN rpl END, {literal(NO_TEXT)}),
                         coalesce(CASE WHEN kind = {_ENDED} AND status = 75 THEN grade::text END,
                                  {literal(NO_NUMBER)}),
                         {_time("enrolled")}, {literal(NO_TIME)}) END
    """


def _status() -> str:
    words = {status: literal(text) for status, text in STATUS_WORDS.items()}
    return (
        f"CASE kind WHEN {_CREATED} THEN {words[Status.NOT_STARTED]} WHEN {_BEGUN} THEN {words[Status.IN_PROGRESS]} "
        f"ELSE CASE status WHEN 50 THEN {words[Status.COMPLETE]} ELSE {words[Status.COMPLETE_RPL]} END END"
    )


def _time(column: str) -> str:
    shown = f"to_char(to_timestamp({column}) AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY, HH24:MI')"
    return f"{shown} || ' (' || {column} || ')'"
