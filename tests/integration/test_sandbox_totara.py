"""Each act of the sandbox's Totara leaves exactly the rows that the same act left on a real 17.3."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from totara_bridge.sandbox.totara import change_log
from totara_bridge.sandbox.totara.actions import CRON, TotaraActs
from totara_bridge.sandbox.totara.schema import create, drop
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.sandbox.totara.site_reads import ADMIN, Row

DAY = 86_400
NOW = 1_800_000_000
#: Rows of these are counted before and after each act.
ROWS, PAST, LOG, MET = (f"course_completion{rest}" for rest in ("s", "_history", "_log", "_crit_compl"))


@pytest.fixture(scope="module")
def site(new_database: Callable[[str], str]) -> Iterator[TotaraActs]:
    engine = create_engine(new_database("totara_acts").replace("postgresql://", "postgresql+psycopg://", 1))
    yield TotaraActs(engine, clock=lambda: NOW + 0.9)
    engine.dispose()


@pytest.fixture
def acts(site: TotaraActs) -> TotaraActs:
    """The recorded site anew, at a standing clock."""
    drop(site.engine)
    create(site.engine)
    seed(site.engine)
    return site


def _counts(acts: TotaraActs) -> dict[str, int]:
    with acts.engine.connect() as connection:
        return {
            name: connection.execute(text(f"SELECT count(*) FROM ttr_{name}")).scalar_one()
            for name in (ROWS, PAST, LOG, MET)
        }


@contextmanager
def _changes(acts: TotaraActs, expected: dict[str, int]) -> Iterator[list[Row]]:
    """The block adds exactly so many rows to each table named and none to the others; gives the log lines."""
    before, last, lines = _counts(acts), acts.last_log_id(), list[Row]()
    yield lines
    after = _counts(acts)
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == expected
    lines.extend(acts.log_since(last))
    assert all(line["timemodified"] == NOW for line in lines)


def _completion(acts: TotaraActs, user: int, course: int) -> Row:
    row = acts.completion(user, course)
    assert row is not None
    return row


def _completions_of(acts: TotaraActs, course: int) -> tuple[int, int, int]:
    """How many there are, how many of them complete, and how many complete through RPL."""
    statement = text("SELECT status FROM ttr_course_completions WHERE course = :course")
    with acts.engine.connect() as connection:
        statuses = connection.execute(statement, {"course": course}).scalars().all()
    return len(statuses), statuses.count(50), statuses.count(75)


def test_enrol_creates_a_completion_not_yet_started_and_only_once(acts: TotaraActs) -> None:
    user = acts.new_user(firstname="李")
    with _changes(acts, {ROWS: 1, LOG: 1}) as lines:
        row_id = acts.enrol(user, 4)
    row = _completion(acts, user, 4)
    assert (row["id"], row["status"], row["timeenrolled"], row["timestarted"]) == (row_id, 10, NOW, 0)
    assert (row["timecompleted"], row["organisationid"], row["positionid"]) == (None, None, None)
    (line,) = lines
    assert (line["userid"], line["courseid"], line["changeuserid"]) == (user, 4, ADMIN)
    assert line["description"] == change_log.saved(change_log.CREATED, row)
    with _changes(acts, {}), pytest.raises(IntegrityError):
        acts.enrol(user, 4)


def test_start_then_complete_write_a_line_each(acts: TotaraActs) -> None:
    user, course = acts.pair_with(10)
    with _changes(acts, {LOG: 1}) as lines:
        acts.start(user, course)
    begun = _completion(acts, user, course)
    assert (begun["status"], begun["timestarted"], begun["timecompleted"]) == (25, NOW, None)
    assert "Status: In progress (25)" in lines[0]["description"]
    with _changes(acts, {LOG: 1, MET: 1}) as lines:
        acts.complete(user, course)
    done = _completion(acts, user, course)
    assert (done["status"], done["timecompleted"], done["organisationid"], done["positionid"]) == (50, NOW, 0, 0)
    assert (lines[0]["changeuserid"], done["id"]) == (CRON, begun["id"])
    assert lines[0]["description"] == change_log.saved(change_log.UPDATED, done)
    assert [met["timecompleted"] for met in acts.criteria_met(user, course)] == [NOW]


def test_completing_keeps_the_job_held_then(acts: TotaraActs) -> None:
    acts.enrol(user := 4, course := acts.new_course())
    acts.complete(user, course, at=NOW - DAY)
    row = _completion(acts, user, course)
    assert (row["organisationid"], row["positionid"], row["timecompleted"]) == (2, 1, NOW - DAY)


def test_rpl_is_dated_back_and_meets_no_criterion(acts: TotaraActs) -> None:
    user, course = acts.pair_with(10)
    with _changes(acts, {LOG: 1}) as lines:
        acts.complete_by_rpl(user, course, at=NOW - 400 * DAY, note="Backdated cert", grade=Decimal(55))
    row = _completion(acts, user, course)
    assert (row["status"], row["timecompleted"], row["timestarted"]) == (75, NOW - 400 * DAY, 0)
    assert (row["rpl"], row["rplgrade"], row["organisationid"]) == ("Backdated cert", 55, 0)
    assert "Status: Complete via rpl (75)" in lines[0]["description"]
    assert "<li>RPL: Backdated cert</li><li>RPL grade: 55</li>" in lines[0]["description"]


def test_the_last_criterion_completes_the_course(acts: TotaraActs) -> None:
    user, course = acts.new_user(), acts.new_course(criteria=3)
    first, second, third = acts.criteria(course)
    acts.enrol(user, course)
    with _changes(acts, {MET: 1, LOG: 1}):
        acts.meet_criterion(user, course, first)
    assert _completion(acts, user, course)["status"] == 25
    with _changes(acts, {MET: 1}):
        acts.meet_criterion(user, course, second)
    with _changes(acts, {MET: 1, LOG: 1}):
        acts.meet_criterion(user, course, third)
    assert _completion(acts, user, course)["status"] == 50


def test_the_editor_moves_a_date_back(acts: TotaraActs) -> None:
    user, course = acts.pair_with(50)
    before = _completion(acts, user, course)
    with _changes(acts, {LOG: 1}) as lines:
        acts.edit_date(user, course, before["timecompleted"] - 30 * DAY)
    after = _completion(acts, user, course)
    assert {**before, "timecompleted": before["timecompleted"] - 30 * DAY} == after
    assert lines[0]["description"] == change_log.saved(change_log.EDITED, after)


@pytest.mark.parametrize("status", [50, 75])
def test_the_editor_sets_a_completion_back(acts: TotaraActs, status: int) -> None:
    user, course = acts.pair_with(status)
    with _changes(acts, {LOG: 1}) as lines:
        acts.regress(user, course)
    row = _completion(acts, user, course)
    assert (row["status"], row["timecompleted"], row["rpl"], row["rplgrade"]) == (25, None, None, None)
    assert row["timestarted"] > 0
    assert "Time completed: Not set (null)" in lines[0]["description"]


@pytest.mark.parametrize(("note", "status"), [(None, 50), ("Prior certificate", 75)])
def test_a_complete_row_may_have_no_date_and_is_archived_so(acts: TotaraActs, note: str | None, status: int) -> None:
    user, course = acts.pair_with(25)
    with _changes(acts, {LOG: 1}) as lines:
        acts.complete_without_date(user, course, note)
    row = _completion(acts, user, course)
    assert (row["status"], row["timecompleted"], row["rpl"]) == (status, None, note)
    assert "Time completed: Not set (null)" in lines[0]["description"]
    acts.archive(user, course)
    assert acts.history(user, course)[0]["timecompleted"] is None


def test_the_editor_deletes_a_completion(acts: TotaraActs) -> None:
    user, course = acts.pair_with(50)
    with _changes(acts, {ROWS: -1, MET: -1, LOG: 1}) as lines:
        acts.delete_completion(user, course)
    assert acts.completion(user, course) is None
    assert lines[0]["description"] == change_log.DELETED


def test_archiving_moves_the_completion_to_history_and_cron_begins_anew(acts: TotaraActs) -> None:
    user, course = acts.pair_with(50)
    before = _completion(acts, user, course)
    with _changes(acts, {ROWS: -1, MET: -1, PAST: 1, LOG: 2}) as lines:
        history_id = acts.archive(user, course)
    (archived,) = acts.history(user, course)
    assert (archived["id"], archived["timecompleted"]) == (history_id, before["timecompleted"])
    words = change_log.history_saved(change_log.ARCHIVED, history_id, before["timecompleted"], None)
    assert [line["description"] for line in lines] == [words, change_log.DELETED]
    with _changes(acts, {ROWS: 1, LOG: 1}) as lines:
        row_id = acts.recreate(user, course)
    row = _completion(acts, user, course)
    assert (row["id"], row["status"], row["timeenrolled"]) == (row_id, 10, before["timeenrolled"])
    assert row_id > before["id"]
    assert lines[0]["changeuserid"] == CRON
    assert lines[0]["description"] == change_log.started_in_bulk(before["timeenrolled"], NOW)


def test_a_reset_course_keeps_rpl_and_logs_one_line_for_everybody(acts: TotaraActs) -> None:
    course = 20
    everybody, completed, recognised = _completions_of(acts, course)
    with _changes(acts, {ROWS: recognised - everybody, MET: -completed, LOG: 1}) as lines:
        acts.reset_course(course)
    assert _completions_of(acts, course) == (recognised, 0, recognised)
    (line,) = lines
    assert (line["userid"], line["courseid"], line["description"]) == (None, course, change_log.RESET)


def test_a_deleted_course_leaves_only_its_log(acts: TotaraActs) -> None:
    _, course = pair = acts.pair_with(50)
    acts.archive(*pair)
    everybody, completed, _ = _completions_of(acts, course)
    with _changes(acts, {ROWS: -everybody, MET: -completed, PAST: -1}):
        acts.delete_course(course)
    assert course not in acts.courses()
    assert acts.criteria(course) == []
    assert any(line["courseid"] == course for line in acts.log_since(0))


def test_what_happens_to_people_touches_no_completion(acts: TotaraActs) -> None:
    user, course = acts.pair_with(50)
    before = _completion(acts, user, course)
    with _changes(acts, {}):
        acts.rename_user(user, "小龍")
        acts.suspend_user(user)
        acts.unenrol(user, course)
        acts.delete_user(user)
    row = acts.user(user)
    assert (row["deleted"], row["suspended"], row["email"], row["idnumber"]) == (1, 1, "", "")
    assert (row["lastname"], row["timemodified"]) == ("小龍", NOW)
    assert re.fullmatch("deleted_[a-z0-9]{32}", row["username"])
    assert _completion(acts, user, course) == before
    assert user not in acts.learners()
    with pytest.raises(LookupError, match="not enrolled"):
        acts.recreate(user, course)


def test_an_archived_date_is_edited(acts: TotaraActs) -> None:
    with _changes(acts, {LOG: 1}) as lines:
        acts.edit_history_date(1, NOW - DAY)
    assert [row["timecompleted"] for row in acts.history(143, 21)] == [NOW - DAY]
    assert (lines[0]["userid"], lines[0]["courseid"]) == (143, 21)


def test_sql_behind_totaras_back_leaves_no_line(acts: TotaraActs) -> None:
    pair = acts.pair_with(50)
    with _changes(acts, {}):
        acts.sql_update_without_log(*pair, NOW - DAY)
    assert _completion(acts, *pair)["timecompleted"] == NOW - DAY


def test_acts_on_what_is_not_there_are_refused(acts: TotaraActs) -> None:
    stranger = acts.new_user()
    for act in (
        lambda: acts.start(stranger, 4),
        lambda: acts.archive(stranger, 4),
        lambda: acts.archive(*acts.pair_with(25)),
        lambda: acts.unenrol(stranger, 4),
        lambda: acts.enrol(stranger, 1),
        lambda: acts.rename_user(10**6, "Nobody"),
        lambda: acts.edit_history_date(10**6, NOW),
        lambda: acts.pair_with(50, nth=10**6),
    ):
        with _changes(acts, {}), pytest.raises(LookupError):
            act()
