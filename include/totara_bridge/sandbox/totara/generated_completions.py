"""The completions of a generated site, archived ones and criteria met included, as SQL for PostgreSQL.

Two temporary tables hold what the change log is made of afterwards: ``pair``, a row per completion with the
times of what happened to it, and ``past``, a row per archived completion.
"""

from collections.abc import Iterator

from totara_bridge.sandbox.totara.generated_plan import DAY, YEARS, Plan
from totara_bridge.sandbox.totara.generated_site import is_deleted
from totara_bridge.sandbox.totara.schema import Tables

_ELSEWHERE = 10**12  #: added to a learner's number where an archived completion has no current row


def statements(site: Tables, plan: Plan) -> Iterator[str]:
    """In the order in which they must run."""
    yield _past(plan)
    yield _pair(plan)
    yield f"""
        INSERT INTO {site.course_completions}
               (id, userid, course, organisationid, positionid, timeenrolled, timestarted, timecompleted,
                reaggregate, rpl, rplgrade, status)
        SELECT n + 1, userid, course, nobody, nobody, enrolled, coalesce(started, 0), completed,
               coalesce(ended, 0), rpl, rplgrade, status
          FROM pair ORDER BY n
    """
    yield f"""
        INSERT INTO {site.user_enrolments} (id, enrolid, userid, timestart, timeend, timecreated, timemodified)
        SELECT n + 1, course - 1, userid, enrolled, 0, enrolled, enrolled
          FROM pair WHERE NOT {is_deleted("(userid - 3)")} ORDER BY n
    """
    yield f"""
        INSERT INTO {site.course_completion_history} (id, courseid, userid, timecompleted, grade)
        SELECT id, course, userid, completed, grade FROM past ORDER BY id
    """
    yield _criteria_met(site, plan)


def _past(plan: Plan) -> str:
    """Every second pair has no current row; one of five was archived twice."""
    return f"""
        CREATE TEMPORARY TABLE past ON COMMIT DROP AS
        WITH chosen AS (
            SELECT a * {plan.users} / {plan.archived_pairs} AS u, a % 2 = 0 AS current, a % 5 = 1 AS twice
              FROM generate_series(0::bigint, {plan.archived_pairs - 1}) AS a),
        cycle AS (
            SELECT u, current, again,
                   {_enrolled(plan, f"CASE WHEN current THEN u ELSE u + {_ELSEWHERE} END")}
                   - {DAY} - again * 300 * {DAY} AS archived
              FROM chosen, generate_series(0, twice::int) AS again)
        SELECT row_number() OVER (ORDER BY archived, u, again) AS id, u + 3 AS userid, current, again,
               {_course(plan, "u", f"CASE WHEN current THEN 0 ELSE {plan.most_per_user} END")} AS course,
               archived, archived - 200 * {DAY} AS completed,
               CASE WHEN u % 3 = 2 THEN 50 + {plan.dice("u", "grade", 51)} END AS grade
          FROM cycle
    """


def _pair(plan: Plan) -> str:
    """Learners take turns, so each learner's completions are spread over the table, all in different courses."""
    u = f"n % {plan.users}"
    return f"""
        CREATE TEMPORARY TABLE pair ON COMMIT DROP AS
        WITH drawn AS MATERIALIZED (
            SELECT n, {plan.dice("n", "status", 1600)} AS roll, {_enrolled(plan, "n")} AS enrolled
              FROM generate_series(0::bigint, {plan.completions - 1}) AS n),
        placed AS (
            SELECT n, enrolled, least(({plan.latest} - enrolled) / 3, 60 * {DAY}) AS span,
                   {u} + 3 AS userid, {_course(plan, u, f"n / {plan.users}")} AS course,
                   CASE WHEN roll < 879 OR n < {plan.users} AND {is_deleted("n")} THEN 50
                        WHEN roll < 1195 THEN 25 WHEN roll < 1480 THEN 10 ELSE 75 END AS status
              FROM drawn),
        begun AS MATERIALIZED (
            SELECT *, CASE WHEN status IN (25, 50) THEN
                      enrolled + 60 + {plan.dice("n", "started", "span")} END AS started
              FROM placed),
        ended AS MATERIALIZED (
            SELECT *, CASE WHEN status >= 50 THEN
                      coalesce(started, enrolled) + 60 + {plan.dice("n", "ended", "span")} END AS ended
              FROM begun)
        SELECT n, userid, course, enrolled, started, ended, status,
               CASE status WHEN 75 THEN ended - {plan.dice("n", "prior", 400 * DAY)} ELSE ended END AS completed,
               CASE WHEN status >= 50 THEN 0 END AS nobody,
               CASE status WHEN 75 THEN 'RPL: prior certificate #' || (1 + n % 40) END AS rpl,
               CASE status WHEN 75 THEN 50 + {plan.dice("n", "rpl grade", 51)} END AS rplgrade,
               EXISTS (SELECT FROM past WHERE past.current AND past.userid = ended.userid
                                          AND past.course = ended.course) AS archived_before
          FROM ended
    """


def _criteria_met(site: Tables, plan: Plan) -> str:
    """All where the course is completed; where it is in progress any number of them except the last."""
    return f"""
        INSERT INTO {site.course_completion_crit_compl} (userid, course, criteriaid, timecompleted)
        SELECT userid, pair.course, criterion.id,
               started + (coalesce(ended, started + 60) - started) * place / places
          FROM pair
          JOIN (SELECT id, course, row_number() OVER (PARTITION BY course ORDER BY id) AS place,
                       count(*) OVER (PARTITION BY course) AS places
                  FROM {site.course_completion_criteria}) AS criterion ON criterion.course = pair.course
         WHERE status = 50 OR status = 25 AND place < places AND place <= {plan.dice("n", "met", 3)}
         ORDER BY n, place
    """


def _enrolled(plan: Plan, number: str) -> str:
    """Any time in the three years before, but early enough for what follows."""
    return f"({plan.latest} - 3600 - {plan.dice(number, 'enrolled', 3 * YEARS)})"


def _course(plan: Plan, u: str, slot: str) -> str:
    """Neighbouring courses from one that depends on the learner, so that no pair comes twice."""
    return f"(({plan.dice(f'({u})', 'course', plan.courses)} + {slot}) % {plan.courses} + 2)"
