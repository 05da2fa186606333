"""The learners, courses, criteria and enrolment methods of a generated site, as SQL for PostgreSQL."""

from collections.abc import Iterator

from totara_bridge.sandbox.totara.generated_plan import DAY, YEARS, Plan, literal
from totara_bridge.sandbox.totara.schema import Tables
from totara_bridge.sandbox.totara.seed import SELF_COMPLETION

_FIRST_NAMES = (
    "李", "山田", "김", "محمد", "שרה", "Παναγιώτης", "Юлия", "Łukasz", "Nguyễn", "Zoë", "😀Emoji", "Jean-Luc",
    "Anne Marie", "Dwayne \"Rock\"", "Oskar", "Priya", "Rosa", "Sven", "Tariq", "Lena", "Mateo", "Nadia", "Kofi",
)  # fmt: skip
_LAST_NAMES = (
    "小龍", "太郎", "민준", "الأحمد", "כהן", "Παπαδόπουλος", "Ёжикова", "Żółć", "Thị Hằng", "O’Connor-Ñuñez",
    "O'Brien", "Smith, Jr.", "Täst 𝔘", "van der Berg", "Ek", "Fischer", "Garcia", "Petit", "Quist", "Rossi",
)  # fmt: skip
_COURSE_7 = 'Sécurité & Gesundheit — 安全 "quoted", comma'


def statements(site: Tables, plan: Plan) -> Iterator[str]:
    """In the order in which they must run."""
    yield _people(site, plan)
    yield _learners(site, plan)
    yield f"""
        INSERT INTO {site.course_categories} (id, name, sortorder, coursecount, depth, path)
        VALUES (1, 'Miscellaneous', 10000, {plan.courses}, 1, '/1')
    """
    yield _courses(site, plan)
    yield f"""
        INSERT INTO {site.enrol} (id, enrol, courseid, timecreated, timemodified)
        SELECT id - 1, 'manual', id, timecreated, timecreated FROM {site.course} WHERE category > 0 ORDER BY id
    """
    yield _criteria(site, plan)


def is_deleted(number: str) -> str:
    """SQL: whether the learner of this number (from 0) has been deleted, one of 200."""
    return f"({number} % 200 = 7)"


def _people(site: Tables, plan: Plan) -> str:
    born = _born(plan)
    return f"""
        INSERT INTO {site.user} (id, confirmed, username, firstname, lastname, email, timecreated, timemodified)
        VALUES (1, 1, 'guest', 'Guest user', ' ', 'root@localhost', 0, {born}),
               (2, 1, 'admin', 'Admin', 'User', 'admin@example.com', 0, {born})
    """


def _learners(site: Tables, plan: Plan) -> str:
    created = f"{_born(plan)} + {plan.dice('u', 'user created', YEARS)}"
    return f"""
        INSERT INTO {site.user} (id, confirmed, deleted, suspended, username, idnumber, firstname, lastname,
                                 email, city, country, department, timecreated, timemodified)
        SELECT u + 3, 1, deleted::int, (u % 100 = 11)::int,
               CASE WHEN deleted THEN 'deleted_' || md5(u || '-' || {plan.dice("u", "deleted", 2**31)})
                    ELSE 'u' || lpad((u + 1)::text, 7, '0') END,
               CASE WHEN deleted OR u % 100 = 23 THEN '' ELSE 'EMP' || lpad((u + 1)::text, 7, '0') END,
               ({_array(_FIRST_NAMES)})[1 + {plan.dice("u", "first name", len(_FIRST_NAMES))}],
               ({_array(_LAST_NAMES)})[1 + {plan.dice("u", "last name", len(_LAST_NAMES))}],
               CASE WHEN deleted THEN ''
                    WHEN u % 100 = 42 THEN 'MiXeD.Case+' || (u + 1) || '@Example.COM'
                    ELSE 'u' || lpad((u + 1)::text, 7, '0') || '@example.com' END,
               'City' || u % 7, (ARRAY['US', 'GB', 'FR', 'JP', 'DE'])[1 + u % 5], 'Dept' || u % 9,
               {created}, CASE WHEN deleted THEN {plan.latest} - {plan.dice("u", "gone", 300 * DAY)} ELSE {created} END
          FROM (SELECT u, {is_deleted("u")} AS deleted FROM generate_series(0, {plan.users - 1}) AS u) AS learner
         ORDER BY u
    """


def _courses(site: Tables, plan: Plan) -> str:
    born = _born(plan)
    return f"""
        INSERT INTO {site.course} (id, category, fullname, shortname, idnumber, visible, enablecompletion,
                                   containertype, startdate, timecreated, timemodified)
        SELECT 1, 0, 'Generated Totara', 'generated', '', 1, 0, 'container_site', 0, {born}, {born}
         UNION ALL
        SELECT c + 1, 1, CASE c WHEN 7 THEN {literal(_COURSE_7)} ELSE 'Course ' || c END,
               'C' || lpad(c::text, 3, '0'), CASE c WHEN 9 THEN '' ELSE 'CRS-' || lpad(c::text, 3, '0') END,
               (c <> 18)::int, 1, 'container_course', {born} + c * 60, {born} + c * 60, {born} + c * 60
          FROM generate_series(1, {plan.courses}) AS c
         ORDER BY 1
    """


def _criteria(site: Tables, plan: Plan) -> str:
    """One for most courses, three for every fifth, none for the last: there progress cannot be known."""
    return f"""
        INSERT INTO {site.course_completion_criteria} (course, criteriatype)
        SELECT c, {SELF_COMPLETION}
          FROM generate_series(2, {plan.courses}) AS c,
               generate_series(1, CASE WHEN c % 5 = 0 THEN 3 ELSE 1 END) AS k
         ORDER BY c, k
    """


def _born(plan: Plan) -> str:
    return f"({plan.latest - 7 * YEARS} + {plan.dice('1', 'site', YEARS)})"


def _array(texts: tuple[str, ...]) -> str:
    return f"ARRAY[{', '.join(literal(text) for text in texts)}]"
