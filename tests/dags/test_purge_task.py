"""``purge_completions`` in Airflow's own task runner."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from sqlalchemy import text

from tests.bridge import Bridge
from tests.dags.dag_run import run
from totara_bridge.errors import RequestInvalid
from totara_bridge.orchestration.tasks.purge import purge_finished
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import setting

# Airflow's task runner warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]

NOTHING = dict.fromkeys(
    [
        "items", "item_events", "kept_bodies", "log_rows", "acknowledgements", "audit_rows", "alerts", "alert_notices",
    ],
    0,
)  # fmt: skip


@pytest.fixture
def delivered(airflow: Bridge, oracle: SandboxOracle) -> Bridge:
    """Five completions that were delivered a hundred days ago, in one request."""
    airflow.now = datetime.now(UTC) - timedelta(days=100)
    airflow.queue_new(5)
    assert airflow.push(oracle).sent == 5
    return airflow


def audited(bridge: Bridge) -> list[str]:
    found = bridge.rows("SELECT actor FROM bridge.audit_log WHERE action = 'purge' ORDER BY id")
    return [row["actor"] for row in found]


def test_it_deletes_what_is_old_also_while_the_integration_is_off(delivered: Bridge, dags: dict[str, DAG]) -> None:
    with delivered.staging.begin() as transaction:
        setting.write(transaction, name="enabled", value=False, by="test", now=delivered.now)
    dag = dags["purge_completions"]
    goes = NOTHING | {"items": 5, "log_rows": 1}
    assert run(dag, dry_run=True)["purge_returned"] == goes
    assert delivered.states() == {"sent": 5}
    assert run(dag, dry_run=False)["purge_returned"] == goes
    assert delivered.states() == {}
    assert run(dag, dry_run=False)["purge_returned"] == NOTHING


def test_by_its_schedule_it_is_written_down_when_it_deleted_something(delivered: Bridge) -> None:
    by_schedule = SimpleNamespace(dag_id="purge_completions", triggering_user_name=None)
    asked = {"sent_days": None, "log_days": None, "dry_run": False}
    assert purge_finished(asked, by_schedule)["items"] == 5
    assert purge_finished(asked, by_schedule) == NOTHING
    assert audited(delivered) == ["purge_completions"]


def test_days_that_are_asked_for_count_and_so_does_who_asked(delivered: Bridge) -> None:
    by_ann = SimpleNamespace(dag_id="purge_completions", triggering_user_name="ann")
    asked = {"sent_days": 101, "log_days": 99, "dry_run": False}
    assert purge_finished(asked, by_ann) == NOTHING | {"log_rows": 1}
    assert purge_finished(asked, by_ann) == NOTHING
    assert audited(delivered) == ["ann", "ann"]


@pytest.mark.parametrize("asked", [{"sent_days": 0}, {"sent_days": 3651}, {"log_days": 0}, {"log_days": "x"}])
def test_days_are_whole_and_bounded(dags: dict[str, DAG], airflow: Bridge, asked: dict[str, object]) -> None:
    with pytest.raises(ParamValidationError):
        run(dags["purge_completions"], **asked)
    with pytest.raises(RequestInvalid, match=f"^{next(iter(asked))}.*: Input should be "):
        purge_finished(asked, SimpleNamespace(dag_id="purge_completions", triggering_user_name="ann"))


def test_what_it_cannot_be_asked_is_refused(airflow: Bridge) -> None:
    with pytest.raises(RequestInvalid, match=r"no parameter days \(it has sent_days, log_days, only, dry_run\)"):
        purge_finished({"days": 3}, SimpleNamespace(dag_id="purge_completions", triggering_user_name="ann"))


def test_a_setting_that_cannot_be_stops_it_before_it_deletes(delivered: Bridge, dags: dict[str, DAG]) -> None:
    with delivered.staging.begin() as transaction:
        transaction.execute(
            text("INSERT INTO bridge.setting VALUES ('oracle', 'sent_retention', '\"PT1H\"', now(), 'somebody')")
        )
    assert run(dags["purge_completions"], dry_run=False)["purge"] == "failed"
    assert delivered.states() == {"sent": 5}
