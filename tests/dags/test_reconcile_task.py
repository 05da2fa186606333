"""``reconcile_completions`` in Airflow's own task runner."""

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from sqlalchemy import text

from tests.bridge import Bridge
from tests.dags.dag_run import run
from tests.reconciled import all_else
from totara_bridge.errors import RequestInvalid
from totara_bridge.orchestration.tasks.reconcile import reconcile_site
from totara_bridge.staging import setting

# Airflow's task runner warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]

BY_ANN = SimpleNamespace(dag_id="reconcile_completions", triggering_user_name="ann")
ALIKE = {"missing": 0, "extra": 0, "different": 0, "pending": 0}
COUNTED = {"completed": 1004, "erased": 0, "set_aside": 0, "queued": 0, "held": 0}


@pytest.fixture
def extracted(airflow: Bridge, dags: dict[str, DAG]) -> Bridge:
    """All of a Totara is staged, and it has three open items."""
    airflow.queue_new(3)
    with airflow.totara.engine.begin() as connection:
        connection.execute(text("UPDATE ttr_course_completion_log SET timemodified = timemodified - 86400"))
    return airflow


def lose_an_item(bridge: Bridge) -> None:
    with bridge.staging.begin() as transaction:
        transaction.execute(
            text("DELETE FROM bridge.export_queue WHERE id = (SELECT min(id) FROM bridge.export_queue)")
        )


def test_it_compares_and_changes_nothing(extracted: Bridge, dags: dict[str, DAG]) -> None:
    before = all_else(extracted)
    done = run(dags["reconcile_completions"])
    assert done["reconcile_sbx_returned"] == ALIKE | COUNTED | {"completed": 1007}
    lose_an_item(extracted)
    assert run(dags["reconcile_completions"])["reconcile_sbx_returned"]["missing"] == 1
    after = all_else(extracted)
    assert {table for table, rows in after.items() if rows != before[table]} <= {
        "export_queue",
        "item_count",
        "item_event",
    }
    made = extracted.rows("SELECT made_by, repaired FROM bridge.reconciliation")
    assert [row["repaired"] for row in made] == [False, False]


def test_a_repair_queues_what_is_missing_and_says_so(extracted: Bridge, dags: dict[str, DAG]) -> None:
    lose_an_item(extracted)
    done = run(dags["reconcile_completions"], sites=["sbx"], repair=True)["reconcile_sbx_returned"]
    assert done == ALIKE | COUNTED | {"completed": 1007, "queued": 1}
    assert extracted.states() == {"queued": 3}


def test_what_differs_is_an_alert_until_it_is_repaired(extracted: Bridge, dags: dict[str, DAG]) -> None:
    def alerts() -> list[tuple[str, str, bool]]:
        run(dags["watch_delivery"])
        found = extracted.rows("SELECT name, subject, resolved_at IS NULL AS open FROM bridge.alert ORDER BY id")
        return [(row["name"], row["subject"], row["open"]) for row in found if row["name"].startswith("reconcile")]

    lose_an_item(extracted)
    assert alerts() == []
    run(dags["reconcile_completions"], sites=["sbx"], repair=False)
    assert alerts() == alerts() == [("reconcile_differences", "sbx", True)]
    run(dags["reconcile_completions"], sites=["sbx"], repair=True)
    assert alerts() == [("reconcile_differences", "sbx", False)]


def test_a_site_that_was_never_extracted_is_skipped(airflow: Bridge, dags: dict[str, DAG]) -> None:
    assert run(dags["reconcile_completions"])["reconcile_sbx"] == "skipped"


def test_switched_off_it_skips(extracted: Bridge, dags: dict[str, DAG]) -> None:
    with extracted.staging.begin() as transaction:
        setting.write(transaction, name="enabled", value=False, by="test", now=extracted.now)
    assert run(dags["reconcile_completions"])["reconcile_sbx"] == "skipped"


def test_what_it_cannot_be_asked_is_refused(airflow: Bridge, dags: dict[str, DAG]) -> None:
    with pytest.raises(ParamValidationError, match="'nope' is not one of"):
        run(dags["reconcile_completions"], sites=["nope"])
    with pytest.raises(RequestInvalid, match=r"no parameter site \(it has sites, repair, confirm_deletions\)"):
        reconcile_site("sbx", {"site": "sbx"}, None, BY_ANN)
    for asked in ({"repair": True}, {"sites": ["sbx"]}):
        with pytest.raises(RequestInvalid, match="a repair of named sites only"):
            reconcile_site("sbx", {**asked, "confirm_deletions": True}, None, BY_ANN)
