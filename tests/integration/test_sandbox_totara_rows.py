"""The recorded rows of the sandbox's Totara are all there, and generated ones are like them."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from totara_bridge.sandbox.totara import change_log
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.generate import generate
from totara_bridge.sandbox.totara.schema import create, drop, tables
from totara_bridge.sandbox.totara.seed import seed

COMPLETIONS = 4000
TODAY = date(2026, 11, 21)
MIDNIGHT = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp())

_NewEngine = Callable[[str], Engine]


@pytest.fixture(scope="module")
def new_engine(new_database: Callable[[str], str]) -> Iterator[_NewEngine]:
    """Makes a database with Totara's tables, empty."""
    engines = []

    def make(word: str) -> Engine:
        engine = create_engine(new_database(word).replace("postgresql://", "postgresql+psycopg://", 1))
        engines.append(engine)
        create(engine)
        return engine

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="module")
def recorded(new_engine: _NewEngine) -> TotaraActs:
    """The recorded site, only read here."""
    engine = new_engine("totara_recorded")
    seed(engine)
    return TotaraActs(engine)


@pytest.fixture(scope="module")
def generated(new_engine: _NewEngine) -> TotaraActs:
    """A generated site, only read here."""
    engine = new_engine("totara_generated")
    generate(engine, COMPLETIONS, random_seed=1, today=TODAY)
    return TotaraActs(engine)


def _rows(site: TotaraActs, sql: str) -> list[tuple[Any, ...]]:
    with site.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def _number(site: TotaraActs, sql: str) -> int:
    return int(_rows(site, f"SELECT count(*) FROM {sql}")[0][0])


def _by_status(site: TotaraActs) -> dict[int, int]:
    return dict(_rows(site, "SELECT status, count(*) FROM ttr_course_completions GROUP BY status"))


def test_every_recorded_row_is_there(recorded: TotaraActs) -> None:
    assert _by_status(recorded) == {10: 285, 25: 316, 50: 879, 75: 120}
    assert _number(recorded, "ttr_course_completion_history") == 5
    assert _number(recorded, "ttr_course_completion_log") == recorded.last_log_id() == 3819
    assert _number(recorded, "ttr_user") == 207
    assert len(recorded.courses()) == 20
    assert _number(recorded, "ttr_user_enrolments") == 1592
    assert _number(recorded, "ttr_course_completion_criteria") == 20
    assert _number(recorded, "ttr_course_completion_crit_compl") == 879
    gone = recorded.user(202)
    assert (gone["deleted"], gone["email"], gone["idnumber"]) == (1, "", "")
    assert _number(recorded, "ttr_course_completions WHERE userid = 202 AND timecompleted > 0") == 6


def test_what_was_not_recorded_is_null_only_where_totara_allows_it(recorded: TotaraActs) -> None:
    assert _number(recorded, "ttr_course_completions WHERE rpl = ''") == 0
    assert _number(recorded, "ttr_course_completions WHERE timecompleted IS NULL") == 285 + 316
    assert recorded.user(52)["idnumber"] == ""
    assert recorded.user(11)["lastname"] == "Täst 𝔘"


def test_ids_go_on_after_the_recorded_ones(recorded: TotaraActs) -> None:
    site = recorded.tables
    for table in site.metadata.sorted_tables:
        (highest,) = _rows(recorded, f"SELECT max(id) FROM {table}")[0]
        (sequence,) = _rows(recorded, f"SELECT last_value FROM {table}_id_seq")[0]
        assert sequence == highest, table


def test_the_words_of_the_change_log_are_those_recorded(recorded: TotaraActs) -> None:
    """The last line of each completed pair, and each line of archiving and of cron, made anew from the rows."""
    last = {(line["userid"], line["courseid"]): line for line in recorded.log_since(0)}
    compared = 0
    for status, count in ((50, 800), (75, 100)):
        for nth in range(0, count, 20):
            user, course = recorded.pair_with(status, nth)
            row = recorded.completion(user, course)
            assert row is not None
            assert last[user, course]["description"] == change_log.saved(change_log.UPDATED, row)
            compared += 1
    assert compared == 45
    for line in recorded.log_since(3814):
        row = recorded.completion(line["userid"], line["courseid"])
        assert row is not None
        assert line["description"] == change_log.started_in_bulk(row["timeenrolled"], line["timemodified"])
        (archived,) = recorded.history(line["userid"], line["courseid"])
        words = change_log.history_saved(change_log.ARCHIVED, archived["id"], archived["timecompleted"], None)
        assert words in {each["description"] for each in recorded.log_since(3803)}


def test_tables_can_be_made_and_removed_twice(new_engine: _NewEngine) -> None:
    engine = new_engine("totara_twice")
    create(engine)
    create(engine, "mdl_")
    seed(engine, "mdl_")
    drop(engine, "mdl_")
    drop(engine, "mdl_")
    seed(engine)
    assert TotaraActs(engine).last_log_id() == 3819


def _fingerprints(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {
            name: connection.execute(
                text(f"SELECT md5(string_agg(each::text, chr(10) ORDER BY id)) FROM {name} AS each")
            ).scalar_one()
            for name in tables().metadata.tables
        }


def test_the_same_seed_gives_the_same_rows_and_another_others(generated: TotaraActs, new_engine: _NewEngine) -> None:
    again, other = new_engine("totara_again"), new_engine("totara_other")
    generate(again, COMPLETIONS, random_seed=1, today=TODAY)
    generate(other, COMPLETIONS, random_seed=2, today=TODAY)
    expected, differs = _fingerprints(generated.engine), _fingerprints(other)
    assert _fingerprints(again) == expected
    same = {name for name in expected if expected[name] == differs[name] and expected[name]}
    assert same == {"ttr_config", "ttr_course_categories", "ttr_course_completion_criteria"}


def test_generated_proportions_are_the_recorded_ones(generated: TotaraActs) -> None:
    by_status = _by_status(generated)
    assert sum(by_status.values()) == COMPLETIONS
    for status, recorded in ((10, 285), (25, 316), (50, 879), (75, 120)):
        assert by_status[status] / COMPLETIONS == pytest.approx(recorded / 1600, rel=0.2)
    assert generated.last_log_id() / COMPLETIONS == pytest.approx(2.4, rel=0.05)
    assert _number(generated, "ttr_course_completion_history") / COMPLETIONS == pytest.approx(0.003, rel=0.2)
    learners = _number(generated, "(SELECT DISTINCT userid FROM ttr_course_completions) AS learner")
    assert COMPLETIONS / learners == pytest.approx(7.7, rel=0.02)
    assert len(generated.courses()) == 20


def test_generated_statuses_agree_with_their_dates(generated: TotaraActs) -> None:
    derived = """CASE WHEN timecompleted IS NOT NULL THEN CASE WHEN rpl <> '' THEN 75 ELSE 50 END
                      WHEN timestarted > 0 THEN 25 ELSE 10 END"""
    assert _number(generated, f"ttr_course_completions WHERE status <> {derived}") == 0
    assert _number(generated, "ttr_course_completions WHERE status = 75 AND rplgrade IS NULL") == 0
    met = "ttr_course_completion_crit_compl AS met JOIN ttr_course_completions AS now USING (userid, course)"
    assert _number(generated, f"{met} WHERE status = 50 AND met.timecompleted <= now.timecompleted") > 0
    assert _number(generated, f"{met} WHERE status IN (10, 75)") == 0
    assert _number(generated, f"{met} WHERE status = 25") > 0


def test_generated_history_has_pairs_with_and_without_a_current_row(generated: TotaraActs) -> None:
    pairs = _rows(
        generated,
        """SELECT count(*) AS times, max(now.id) IS NOT NULL AS has_current_row
             FROM ttr_course_completion_history AS past
             LEFT JOIN ttr_course_completions AS now ON (now.userid, now.course) = (past.userid, past.courseid)
            GROUP BY past.userid, past.courseid""",
    )
    assert {has_current_row for _, has_current_row in pairs} == {True, False}
    assert {times for times, _ in pairs} == {1, 2}
    later = "ttr_course_completion_history AS past JOIN ttr_course_completions AS now"
    joined = f"{later} ON (now.userid, now.course) = (past.userid, past.courseid)"
    assert _number(generated, f"{joined} WHERE past.timecompleted >= now.timeenrolled") == 0


def test_generated_learners_have_the_recorded_peculiarities(generated: TotaraActs) -> None:
    completed = "ttr_user AS u JOIN ttr_course_completions AS c ON c.userid = u.id AND c.status = 50"
    assert _number(generated, f"{completed} WHERE u.deleted = 1 AND u.email = '' AND u.idnumber = ''") > 0
    assert _number(generated, "ttr_user WHERE deleted = 1 AND username NOT LIKE 'deleted_%'") == 0
    assert _number(generated, "ttr_user WHERE suspended = 1") > 0
    assert _number(generated, "ttr_user WHERE deleted = 0 AND id > 2 AND idnumber = ''") > 0
    names = "".join(first + last for first, last in _rows(generated, "SELECT firstname, lastname FROM ttr_user"))
    for sign in "龍مש😀'\",":
        assert sign in names, sign
    unknowable = """ttr_course AS c WHERE enablecompletion = 1 AND NOT EXISTS
                    (SELECT FROM ttr_course_completion_criteria AS k WHERE k.course = c.id)"""
    assert _number(generated, unknowable) == 1


def test_generated_log_grows_with_time_and_ends_before_the_last_hour(generated: TotaraActs) -> None:
    times = [row[0] for row in _rows(generated, "SELECT timemodified FROM ttr_course_completion_log ORDER BY id")]
    assert times == sorted(times)
    assert times[-1] <= MIDNIGHT - 3600
    assert times[0] < MIDNIGHT - 2 * 365 * 86_400
    user, course = generated.pair_with(50)
    row = generated.completion(user, course)
    assert row is not None
    words = [line["description"] for line in generated.log_since(0) if line["userid"] == user]
    expected = change_log.saved(change_log.UPDATED, {**row, "reaggregate": row["timeenrolled"]})
    assert expected in words


def test_a_generated_site_goes_on_living(new_engine: _NewEngine) -> None:
    engine = new_engine("totara_small")
    generate(engine, 1, random_seed=1)
    acts = TotaraActs(engine)
    acts.enrol(user := acts.new_user(), course := acts.courses()[0])
    acts.complete(user, course)
    assert acts.last_log_id() > 0
    with pytest.raises(ValueError, match="empty schema"):
        generate(engine, 1, random_seed=1)


def test_generate_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs PostgreSQL"):
        generate(create_engine("sqlite://"), 10, random_seed=1)
    with pytest.raises(ValueError, match="at least 1"):
        generate(create_engine("postgresql+psycopg://"), 0, random_seed=1)
