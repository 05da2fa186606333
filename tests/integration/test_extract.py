"""What an extract stages, queues and reports, for everything that a Totara does to a completion."""

import time
from dataclasses import replace
from datetime import time as time_of_day
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.bridge import DESTINATION, Bridge
from totara_bridge.errors import DeletionsUnconfirmed, SiteBusy, SiteReplaced
from totara_bridge.extract.run import Extracted
from totara_bridge.staging import site
from totara_bridge.totara.query import ReadQuery

DAY = 86_400


def assert_nothing_changed(extracted: Extracted) -> None:
    assert not extracted.changed, extracted.counts()


@pytest.fixture
def extracted(bridge: Bridge) -> Bridge:
    """A bridge that knows its Totara: what happens from now on is news."""
    bridge.extract()
    bridge.later(minutes=1)
    return bridge


def test_the_first_extract_stages_everything_and_queues_nothing(bridge: Bridge) -> None:
    first = bridge.extract()
    assert (first.read, first.completions.created) == (1600, 1600)
    assert (first.instances.new, first.instances.withheld) == (1004, 6)
    assert first.baseline == (DESTINATION,)
    assert first.queued == 0
    assert (
        bridge.rows("SELECT count(*) AS n FROM bridge.completion_instance WHERE archived_at IS NOT NULL")[0]["n"] == 5
    )


def test_an_extract_again_finds_nothing(extracted: Bridge) -> None:
    assert_nothing_changed(extracted.extract())
    assert_nothing_changed(extracted.full_compare())


def test_staged_completions_are_what_totara_says(extracted: Bridge) -> None:
    staged = extracted.rows(
        """SELECT user_id, course_id, row_id, status, progress, extract(epoch FROM time_completed)::bigint AS done,
                  extract(epoch FROM time_enrolled)::bigint AS enrolled, rpl, grade
           FROM bridge.completion ORDER BY user_id, course_id"""
    )
    names = {10: "not_started", 25: "in_progress", 50: "complete", 75: "complete_rpl"}
    with extracted.totara.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ttr_course_completions ORDER BY userid, course")).mappings().all()
    assert [tuple(row.values()) for row in staged] == [
        (
            row["userid"],
            row["course"],
            row["id"],
            names[row["status"]],
            100 if row["timecompleted"] else 0,
            row["timecompleted"],
            row["timeenrolled"] or None,
            row["rpl"],
            row["rplgrade"],
        )
        for row in rows
    ]


def test_a_completion_is_queued_with_its_payload(extracted: Bridge) -> None:
    user, course = extracted.totara.pair_with(status=25)
    extracted.totara.complete(user, course)
    news = extracted.extract()
    assert (news.completions.changed, news.instances.new, news.queued) == (1, 1, 1)
    item = extracted.rows("SELECT * FROM bridge.export_queue")[0]
    assert (item["state"], item["lane"], item["kind"], item["revision"]) == ("queued", "fresh", "completion", 1)
    [instance] = extracted.instances((user, course))
    assert item["idempotency_key"] == instance["record_key"]
    assert f'"idempotencyKey":"{instance["record_key"]}"' in item["payload"]
    assert f'"username":"{extracted.totara.user(user)["username"]}"' in item["payload"]
    assert_nothing_changed(extracted.extract())


def test_rpl_dated_400_days_back_is_news(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=10)
    extracted.totara.complete_by_rpl(*pair, at=int(time.time()) - 400 * DAY, note="Prior certificate")
    news = extracted.extract()
    assert (news.instances.new, news.queued) == (1, 1)
    assert extracted.instances(pair)[0]["status"] == "complete_rpl"


def test_an_archived_completion_that_is_completed_again_is_a_second_instance(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=50)
    [first] = extracted.instances(pair)
    extracted.totara.archive(*pair)
    extracted.totara.recreate(*pair)
    extracted.totara.complete(*pair)
    news = extracted.extract()
    assert (news.instances.archived, news.instances.new, news.instances.lost, news.queued) == (1, 1, 0, 1)
    old, new = extracted.instances(pair)
    assert old["record_key"] == first["record_key"]
    assert old["archived_at"] is not None
    assert old["revision"] == 1
    assert new["archived_at"] is None
    assert new["record_key"] != old["record_key"]


def test_archived_then_completed_in_separate_extracts_is_the_same(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=75)
    extracted.totara.archive(*pair)
    archived = extracted.extract()
    assert (archived.instances.archived, archived.instances.lost, archived.completions.deleted) == (1, 0, 1)
    assert extracted.instances(pair)[0]["status"] == "complete_rpl"
    extracted.totara.recreate(*pair)
    assert extracted.extract().completions.changed == 1
    extracted.totara.complete(*pair)
    assert extracted.extract().queued == 1
    assert len(extracted.instances(pair)) == 2


def test_an_edited_date_is_a_revision(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=50)
    [before] = extracted.instances(pair)
    extracted.totara.edit_date(*pair, at=int(before["time_completed"].timestamp()) - 30 * DAY)
    news = extracted.extract()
    assert (news.instances.revised, news.instances.new, news.queued) == (1, 0, 0)
    [after] = extracted.instances(pair)
    assert after["revision"] == 2
    assert after["record_key"] == before["record_key"]
    assert (before["time_completed"] - after["time_completed"]).days == 30


def test_an_edit_before_posting_replaces_the_payload(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=25)
    extracted.totara.complete(*pair)
    extracted.extract()
    extracted.totara.edit_date(*pair, at=1_600_000_000)
    news = extracted.extract()
    assert (news.replaced, news.queued, news.reported) == (1, 0, 0)
    [item] = extracted.rows("SELECT * FROM bridge.export_queue")
    assert item["revision"] == 2
    assert '"revision":2' in item["payload"]
    assert '"timecompleted":"2020-09-13T12:26:40Z"' in item["payload"]


@pytest.mark.parametrize("loss", ["delete_completion", "regress"])
def test_a_loss_before_posting_cancels(extracted: Bridge, loss: str) -> None:
    pair = extracted.totara.pair_with(status=25)
    extracted.totara.complete(*pair)
    extracted.extract()
    getattr(extracted.totara, loss)(*pair)
    news = extracted.extract()
    assert (news.instances.lost, news.cancelled, news.reported) == (1, 1, 0)
    assert extracted.states() == {"cancelled": 1}
    [event] = extracted.rows("SELECT verb, actor, words FROM bridge.item_event")
    assert (event["verb"], event["actor"]) == ("cancel", "extract")
    assert_nothing_changed(extracted.extract())


def test_completing_again_after_a_loss_is_the_next_revision(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=25)
    extracted.totara.complete(*pair)
    extracted.extract()
    extracted.totara.regress(*pair)
    extracted.extract()
    extracted.totara.complete(*pair, at=1_700_000_000)
    news = extracted.extract()
    assert (news.instances.revised, news.instances.new, news.queued) == (1, 0, 1)
    [instance] = extracted.instances(pair)
    assert instance["revision"] == 2
    assert instance["ended_at"] is None
    assert extracted.states() == {"cancelled": 1, "queued": 1}


def test_a_reset_course_loses_all_but_rpl(extracted: Bridge) -> None:
    with_rpl = extracted.totara.pair_with(status=75)
    course = with_rpl[1]
    before = extracted.rows(
        "SELECT status, count(*) AS n FROM bridge.completion WHERE course_id = :course GROUP BY status", course=course
    )
    counts = {row["status"]: row["n"] for row in before}
    extracted.totara.reset_course(course)
    news = extracted.extract()
    assert news.completions.deleted == sum(counts.values()) - counts["complete_rpl"]
    assert news.instances.lost == counts["complete"]
    assert extracted.instances(with_rpl)[0]["ended_at"] is None


def test_a_learner_deleted_after_staging_keeps_the_captured_identity(extracted: Bridge) -> None:
    user, course = extracted.totara.pair_with(status=25)
    identity = extracted.totara.user(user)
    extracted.totara.complete(user, course)
    extracted.extract()
    extracted.totara.delete_user(user)
    news = extracted.full_compare()
    assert (news.cancelled, news.instances.lost) == (0, 0)
    [learner] = extracted.rows("SELECT * FROM bridge.learner WHERE user_id = :user", user=user)
    assert learner["deleted_at"] is not None
    assert (learner["email"], learner["id_number"]) == (identity["email"], identity["idnumber"])
    assert extracted.states() == {"queued": 1}


def test_an_instance_first_seen_after_the_deletion_is_never_queued(extracted: Bridge) -> None:
    user, course = extracted.totara.pair_with(status=25)
    extracted.totara.complete(user, course)
    extracted.totara.delete_user(user)
    news = extracted.extract()
    assert (news.instances.new, news.instances.withheld, news.queued) == (1, 1, 0)
    assert extracted.instances((user, course))[0]["after_deletion"]
    assert extracted.backfill().found.withheld == 7


def test_the_full_compare_finds_what_the_log_missed(extracted: Bridge) -> None:
    edited = extracted.totara.pair_with(status=50)
    extracted.totara.sql_update_without_log(*edited, at=1_650_000_000)
    course = extracted.totara.pair_with(status=50, nth=200)[1]
    in_course = extracted.rows("SELECT count(*) AS n FROM bridge.completion WHERE course_id = :course", course=course)[
        0
    ]["n"]
    extracted.totara.delete_course(course)
    assert_nothing_changed(extracted.extract())
    news = extracted.full_compare()
    assert news.completions.deleted == in_course
    assert news.instances.revised == (1 if edited[1] != course else 0)


def test_everything_is_compared_once_a_day(extracted: Bridge) -> None:
    extracted.plan = replace(extracted.plan, full_compare_at=time_of_day(2, 30))
    extracted.now = extracted.now.replace(hour=2, minute=0) + timedelta(days=1)
    extracted.extract()
    extracted.now = extracted.now.replace(hour=2, minute=29) + timedelta(days=1)
    assert extracted.extract().full_compare, "none since the day before at 02:30"
    extracted.later(minutes=2)
    assert extracted.extract().full_compare, "02:30 has passed"
    extracted.later(hours=23)
    assert not extracted.extract().full_compare


def test_a_log_row_committed_late_is_read(extracted: Bridge) -> None:
    """An id taken before the watermark, visible only after it: what a long transaction leaves."""
    pair, other = extracted.totara.pair_with(status=25), extracted.totara.pair_with(status=25, nth=1)
    with extracted.totara.engine.connect() as connection:
        late_id = connection.execute(text("SELECT nextval('ttr_course_completion_log_id_seq')")).scalar_one()
    extracted.totara.complete(*other)
    assert extracted.extract().queued == 1
    extracted.totara.sql_update_without_log(*pair, at=int(time.time()))
    with extracted.totara.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO ttr_course_completion_log VALUES (:id, :course, :user, 0, 'late', :now)"),
            {"id": late_id, "user": pair[0], "course": pair[1], "now": int(time.time())},
        )
    assert extracted.extract().queued == 1
    assert len(extracted.instances(pair)) == 1


def test_a_believable_number_of_deletions_is_carried_out_and_more_is_asked_about(extracted: Bridge) -> None:
    with extracted.totara.engine.begin() as connection:
        connection.execute(text("DELETE FROM ttr_course_completions WHERE id % 10 = 0"))
    with pytest.raises(DeletionsUnconfirmed, match=r"160 of 1600 completions gone.*confirm_deletions"):
        extracted.full_compare()
    assert extracted.rows("SELECT count(*) AS n FROM bridge.completion WHERE deleted_at IS NOT NULL")[0]["n"] == 0
    audited = "SELECT actor, subject, details FROM bridge.audit_log WHERE action = 'confirm_deletions'"
    assert extracted.rows(audited) == []
    assert extracted.full_compare(confirm_deletions=True, by="ann").completions.deleted == 160
    details = {"what": "completions", "gone": 160, "staged": 1600}
    assert {"actor": "ann", "subject": "sbx", "details": details} in extracted.rows(audited)


def test_a_confirmation_that_nothing_needed_is_not_written_down(extracted: Bridge) -> None:
    extracted.totara.delete_completion(*extracted.totara.pair_with(status=25))
    extracted.full_compare(confirm_deletions=True, by="ann")
    assert extracted.rows("SELECT action FROM bridge.audit_log") == []


def test_another_totara_is_refused(extracted: Bridge) -> None:
    with extracted.totara.engine.begin() as connection:
        connection.execute(text("UPDATE ttr_course SET timecreated = timecreated + 1 WHERE id = 1"))
    with pytest.raises(SiteReplaced, match="leads to another Totara than before"):
        extracted.extract()


def test_a_restored_totara_is_compared_whole(extracted: Bridge) -> None:
    pair = extracted.totara.pair_with(status=25)
    extracted.totara.complete(*pair)
    extracted.extract()
    with extracted.totara.engine.begin() as connection:  # back to the backup of before
        connection.execute(text("DELETE FROM ttr_course_completion_log WHERE id > 3819"))
        connection.execute(
            text(
                "UPDATE ttr_course_completions SET timecompleted = NULL, status = 25 WHERE userid = :u AND course = :c"
            ),
            {"u": pair[0], "c": pair[1]},
        )
    news = extracted.extract()
    assert news.full_compare
    assert (news.instances.lost, news.cancelled) == (1, 1)


def test_only_one_extract_of_a_site_at_a_time(extracted: Bridge) -> None:
    with extracted.staging.begin() as other:
        assert site.reserve(other, "sbx")
        with pytest.raises(SiteBusy, match="being extracted by another run"):
            extracted.extract()


def test_killed_half_way_it_has_done_nothing(bridge: Bridge) -> None:
    """The connection dies when everything is merged and only the commit is missing."""
    with bridge.staging.begin() as transaction:
        transaction.execute(
            text(
                "CREATE FUNCTION bridge.die() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
            )
        )
        transaction.execute(text("CREATE TRIGGER die BEFORE INSERT ON bridge.watermark EXECUTE FUNCTION bridge.die()"))
    with pytest.raises(Exception, match="terminating connection"):
        bridge.extract()
    assert bridge.rows("SELECT count(*) AS n FROM bridge.completion")[0]["n"] == 0
    with bridge.staging.begin() as transaction:
        transaction.execute(text("DROP TRIGGER die ON bridge.watermark"))
    assert bridge.extract().completions.created == 1600


def test_a_query_limits_what_is_read_and_what_it_leaves_out_is_no_loss(extracted: Bridge) -> None:
    with extracted.totara.engine.connect() as connection:
        audience, members = connection.execute(
            text(
                "SELECT c.idnumber, count(*) FROM ttr_cohort c JOIN ttr_cohort_members m ON m.cohortid = c.id "
                "GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
            )
        ).one()
    only = ReadQuery(audience_idnumbers=(audience,))
    news = extracted.full_compare(query=only)
    assert 0 < news.read < 1600
    assert members > 0
    assert_nothing_changed(news)
    learner = extracted.totara.user(3)["idnumber"]
    assert extracted.full_compare(query=ReadQuery(learner_idnumbers=(learner,))).read == len(
        extracted.rows("SELECT FROM bridge.completion WHERE user_id = 3")
    )
    assert_nothing_changed(extracted.extract(query=only))


def test_progress_is_the_share_of_criteria_met(extracted: Bridge) -> None:
    totara = extracted.totara
    three, none = totara.new_course(criteria=3), totara.new_course(criteria=0)
    user = totara.learners()[0]
    for course in (three, none):
        totara.enrol(user, course)
        totara.start(user, course)
    totara.meet_criterion(user, three, totara.criteria(three)[0])
    extracted.extract()
    found = extracted.rows(
        "SELECT course_id, progress FROM bridge.completion WHERE course_id IN (:three, :none)", three=three, none=none
    )
    assert {row["course_id"]: row["progress"] for row in found} == {three: 33, none: None}


def test_all_that_can_happen_between_two_extracts(extracted: Bridge) -> None:
    totara = extracted.totara
    pairs = {
        "completed": totara.pair_with(status=25),
        "again": totara.pair_with(status=50),
        "rpl": totara.pair_with(status=10),
        "edited": totara.pair_with(status=50, nth=5),
        "deleted": totara.pair_with(status=50, nth=9),
    }
    totara.complete(*pairs["completed"])
    totara.archive(*pairs["again"])
    totara.recreate(*pairs["again"])
    totara.complete(*pairs["again"])
    totara.complete_by_rpl(*pairs["rpl"], at=int(time.time()) - 400 * DAY, note="Prior certificate")
    totara.edit_date(*pairs["edited"], at=1_600_000_000)
    totara.delete_completion(*pairs["deleted"])
    news = extracted.extract()
    assert not news.full_compare
    assert news.read == 4
    assert (news.completions.created, news.completions.changed, news.completions.deleted) == (0, 4, 1)
    assert (news.instances.new, news.instances.revised, news.instances.archived, news.instances.lost) == (3, 1, 1, 1)
    assert (news.queued, news.reported) == (3, 0)
    queued = extracted.rows(
        """SELECT i.user_id, i.course_id
           FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id"""
    )
    assert {tuple(row.values()) for row in queued} == {pairs["completed"], pairs["again"], pairs["rpl"]}
    assert_nothing_changed(extracted.full_compare())
