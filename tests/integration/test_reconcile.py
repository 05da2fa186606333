"""What a reconcile finds between Totara and staging: each difference by itself, and that it changes nothing."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.bridge import SITE, Bridge
from tests.reconciled import all_else, differences, numbers, reconcile
from totara_bridge.errors import RequestInvalid, SiteBusy, SiteReplaced, Transient
from totara_bridge.staging import site
from totara_bridge.totara.query import ReadQuery

pytestmark = pytest.mark.staging("has_read")

NONE = (0, 0, 0, 0)
BEGUN = "status = 'in_progress'"


def change(bridge: Bridge, statement: str, **values: object) -> int:
    with bridge.staging.begin() as transaction:
        return transaction.execute(text(statement), values).rowcount


@pytest.fixture
def extracted(bridge: Bridge) -> Bridge:
    """A bridge that has staged all of its Totara, an hour ago."""
    bridge.later(hours=1)
    return bridge


def one(bridge: Bridge) -> dict[str, object]:
    [found] = differences(bridge)
    return found


def test_what_was_just_extracted_does_not_differ(extracted: Bridge) -> None:
    found = reconcile(extracted)
    assert numbers(found) == NONE
    assert found.totals == {"completed": 1004, "erased": 0, "set_aside": 0}
    assert differences(extracted) == []


def some(bridge: Bridge, condition: str) -> dict[str, object]:
    """A staged instance."""
    return bridge.rows(f"SELECT * FROM bridge.completion_instance i WHERE {condition} ORDER BY id LIMIT 1")[0]


def test_a_completion_that_is_gone_from_staging_is_missing(extracted: Bridge) -> None:
    row = some(extracted, "archived_at IS NULL AND time_completed IS NOT NULL")
    pair = {"user": row["user_id"], "course": row["course_id"]}
    assert change(extracted, "DELETE FROM bridge.completion WHERE user_id = :user AND course_id = :course", **pair) == 1
    assert numbers(reconcile(extracted)) == (1, 0, 0, 0)
    told = one(extracted)
    assert (told["kind"], told["place"], told["record_key"]) == ("missing", "staging", row["record_key"])
    assert told["here"] == f"an instance that is complete, completed {row['time_completed']:%Y-%m-%d %H:%M:%S} UTC"
    change(extracted, "DELETE FROM bridge.completion_instance WHERE id = :id", id=row["id"])
    assert numbers(reconcile(extracted)) == (1, 0, 0, 0)
    assert one(extracted) == {
        "kind": "missing", "place": "staging", "user_id": row["user_id"], "course_id": row["course_id"],
        "record_key": None, "totara": f"complete, completed {row['time_completed']:%Y-%m-%d %H:%M:%S} UTC",
        "here": "nothing",
    }  # fmt: skip


def test_an_instance_that_is_gone_from_staging_is_missing(extracted: Bridge) -> None:
    row = some(extracted, "archived_at IS NULL")
    change(extracted, "DELETE FROM bridge.completion_instance WHERE id = :id", id=row["id"])
    assert numbers(reconcile(extracted)) == (1, 0, 0, 0)
    assert str(one(extracted)["here"]).endswith("; no instance")


def test_an_archived_completion_that_is_gone_from_staging_is_missing(extracted: Bridge) -> None:
    row = some(extracted, "archived_at IS NOT NULL")
    change(extracted, "DELETE FROM bridge.completion_instance WHERE id = :id", id=row["id"])
    assert numbers(reconcile(extracted)) == (1, 0, 0, 0)
    told = one(extracted)
    assert (told["totara"], told["here"]) == (
        f"archived, completed {row['time_completed']:%Y-%m-%d %H:%M:%S} UTC (row {row['history_id']} of the history)",
        "nothing",
    )


@pytest.mark.parametrize(
    ("table", "condition"),
    [("course_completions", "status IN (50, 75)"), ("course_completions", "status = 25"),
     ("course_completion_history", "true")],
)  # fmt: skip
def test_what_is_gone_from_totara_without_a_word_in_its_log_is_extra(
    extracted: Bridge, table: str, condition: str
) -> None:
    with extracted.totara.engine.begin() as connection:
        least = f"SELECT min(id) FROM ttr_{table} WHERE {condition}"
        connection.execute(text(f"DELETE FROM ttr_{table} WHERE id = ({least})"))
    assert numbers(reconcile(extracted)) == (0, 1, 0, 0)
    assert one(extracted)["totara"] == "nothing"
    completed = reconcile(extracted).totals["completed"]
    assert completed == (1004 if "25" in condition else 1003)


def test_a_date_that_was_changed_without_a_word_in_totaras_log_is_different(extracted: Bridge) -> None:
    row = some(extracted, "archived_at IS NULL AND time_completed IS NOT NULL")
    extracted.totara.sql_update_without_log(int(str(row["user_id"])), int(str(row["course_id"])), at=1_600_000_000)
    assert numbers(reconcile(extracted)) == (0, 0, 1, 0)
    assert one(extracted)["totara"] == "complete, completed 2020-09-13 12:26:40 UTC"


@pytest.mark.parametrize(
    ("changed", "said", "here"),
    [
        (("completion", "progress = 7", BEGUN), "in progress; progress 0", "in progress; progress 7"),
        (("completion", "row_id = -9", BEGUN), None, "in progress; row -9"),
        (("completion", "grade = 12.5", BEGUN), "in progress; grade none", "in progress; grade 12.50000"),
        (("completion", "rpl = 'from Zoë'", BEGUN), "in progress; recognised in these words",
         "in progress; recognised in other words"),
        (("completion", "time_started = '2001-02-03'", BEGUN), None, "in progress; started 2001-02-03 00:00:00 UTC"),
        (("completion", "status = 'not_started'", BEGUN), "in progress", "not started"),
        (("completion_instance", "time_completed = '2001-02-03'", "archived_at IS NULL"), None, None),
        (("completion_instance", "row_id = -9", "archived_at IS NULL"), None, None),
        (("completion_instance", "time_completed = '2001-02-03'", "archived_at IS NOT NULL"), None, None),
    ],
)  # fmt: skip
def test_what_is_otherwise_in_staging_is_different(
    extracted: Bridge, changed: tuple[str, str, str], said: str | None, here: str | None
) -> None:
    table, to, condition = changed
    least = f"(SELECT min({{}}) FROM bridge.{table} WHERE {condition})"
    key = "row_id" if table == "completion" else "id"
    assert change(extracted, f"UPDATE bridge.{table} SET {to} WHERE {key} = {least.format(key)}") == 1
    assert numbers(reconcile(extracted)) == (0, 0, 1, 0)
    told = one(extracted)
    assert said is None or told["totara"] == said
    assert here is None or told["here"] == here
    assert told["totara"] != told["here"]


def test_a_completion_that_is_complete_only_here_is_extra(extracted: Bridge) -> None:
    row = some(extracted, "archived_at IS NULL")
    with extracted.totara.engine.begin() as connection:
        connection.execute(
            text("UPDATE ttr_course_completions SET status = 25, timecompleted = NULL, rpl = NULL WHERE id = :id"),
            {"id": row["row_id"]},
        )
    assert numbers(reconcile(extracted)) == (0, 1, 0, 0)
    assert one(extracted)["totara"] == "in progress"


def test_what_totara_changed_since_the_extract_is_pending(extracted: Bridge) -> None:
    totara = extracted.totara
    new = totara.pair_with(status=25)
    totara.complete(*new)
    totara.archive(*totara.pair_with(status=50))
    totara.delete_completion(*totara.pair_with(status=50, nth=1))
    totara.edit_date(*totara.pair_with(status=50, nth=2), at=1_600_000_000)
    assert numbers(reconcile(extracted)) == (0, 0, 0, 4)
    assert differences(extracted) == []
    # as it was at the last extract: that is what is staged
    [counted] = extracted.rows("SELECT sum(completed) AS n FROM bridge.reconciled_count")
    assert counted["n"] == 1004
    extracted.extract()
    found = reconcile(extracted)
    assert (numbers(found), found.totals["completed"]) == (NONE, 1004)


def test_a_course_whose_criteria_were_unlocked_is_pending_as_a_whole(extracted: Bridge) -> None:
    extracted.totara.reset_course(extracted.totara.pair_with(status=50)[1])
    found = reconcile(extracted)
    assert numbers(found)[:3] == (0, 0, 0)
    assert found.found.pending > 1
    extracted.extract()
    assert numbers(reconcile(extracted)) == NONE


def test_a_totara_that_was_restored_differs(extracted: Bridge) -> None:
    """Its log ends before the watermark, so it does not say what has changed."""
    pair = extracted.totara.pair_with(status=25)
    extracted.totara.complete(*pair)
    extracted.extract()
    with extracted.totara.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE ttr_course_completions SET status = 25, timecompleted = NULL WHERE (userid, course) = (:u, :c)"
            ),
            {"u": pair[0], "c": pair[1]},
        )
        connection.execute(text("DELETE FROM ttr_course_completion_log WHERE timemodified > 1790000000"))
    assert numbers(reconcile(extracted)) == (0, 1, 0, 0)


def test_it_changes_nothing_but_its_results_and_may_run_twice(extracted: Bridge) -> None:
    extracted.totara.complete(*extracted.totara.pair_with(status=25))
    extracted.totara.sql_update_without_log(*extracted.totara.pair_with(status=50), at=10**13)
    change(
        extracted, "DELETE FROM bridge.completion_instance WHERE id = (SELECT min(id) FROM bridge.completion_instance)"
    )
    before = all_else(extracted)
    found = reconcile(extracted)
    first = differences(extracted)
    assert all_else(extracted) == before
    extracted.later(hours=1)
    assert (numbers(reconcile(extracted)), differences(extracted)) == (numbers(found), first)
    assert all_else(extracted) == before
    made = extracted.rows("SELECT site, made_by, missing, repaired, made_at FROM bridge.reconciliation ORDER BY id")
    assert [row.pop("made_at") for row in made][1] == extracted.now
    assert made == [{"site": SITE, "made_by": "ann", "missing": 1, "repaired": False}] * 2
    counted = extracted.rows("SELECT DISTINCT reconciliation_id AS id FROM bridge.reconciled_count")
    assert counted == extracted.rows("SELECT max(id) AS id FROM bridge.reconciliation")


def test_what_was_found_is_kept_for_400_days(extracted: Bridge) -> None:
    change(
        extracted, "DELETE FROM bridge.completion_instance WHERE id = (SELECT min(id) FROM bridge.completion_instance)"
    )
    reconcile(extracted)
    extracted.later(days=399)
    reconcile(extracted)
    for kept, days in ((2, 2), (1, 401)):
        extracted.later(days=days)
        reconcile(extracted)
        made = extracted.rows("SELECT id FROM bridge.reconciliation ORDER BY id")
        assert len(made) == kept
        assert made == extracted.rows(
            "SELECT DISTINCT reconciliation_id AS id FROM bridge.reconciled_difference ORDER BY 1"
        )


def test_no_more_than_the_first_differences_are_kept_of_each_kind_some(extracted: Bridge) -> None:
    change(extracted, "DELETE FROM bridge.completion_instance")
    change(extracted, "UPDATE bridge.completion SET progress = 3 WHERE status = 'in_progress'")
    found = reconcile(extracted).found
    assert found.missing == 1004
    assert found.different > 10
    told = [row["kind"] for row in differences(extracted)]
    assert len(told) == 1000
    assert told.count("different") == found.different
    assert told == sorted(told, key=["missing", "extra", "different"].index)


def test_a_site_that_is_being_extracted_is_left_alone(extracted: Bridge) -> None:
    with extracted.staging.begin() as other:
        assert site.reserve(other, SITE)
        with pytest.raises(SiteBusy, match="wait for it to end"):
            reconcile(extracted)
    assert extracted.rows("SELECT FROM bridge.reconciliation") == []


@pytest.mark.staging("empty")
def test_a_site_that_was_never_extracted_has_nothing_to_compare(bridge: Bridge) -> None:
    with pytest.raises(RequestInvalid, match="run extract_completions first"):
        reconcile(bridge)


def test_another_totara_is_not_compared(extracted: Bridge) -> None:
    with extracted.totara.engine.begin() as connection:
        connection.execute(text("UPDATE ttr_course SET timecreated = 5 WHERE id = 1"))
    with pytest.raises(SiteReplaced):
        reconcile(extracted)


def test_a_connection_that_was_changed_is_extracted_first(extracted: Bridge) -> None:
    extracted.connection = replace(extracted.connection, query=ReadQuery(course_ids=(2,)))
    with pytest.raises(Transient, match="run extract_completions first"):
        reconcile(extracted)
