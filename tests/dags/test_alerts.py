"""Alerts of what Airflow sees: tasks that fail for good, credentials that are refused, runs that are late."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.sdk import DAG
from airflow.sdk.execution_time.callback_supervisor import execute_callback
from sqlalchemy import Engine

from tests.bridge import Bridge
from tests.dags import told
from tests.dags.dag_run import run
from tests.receivers import Webhook
from totara_bridge.errors import CredentialsRefused, OracleRefused, OracleUnavailable, RequestInvalid, TotaraUnavailable
from totara_bridge.orchestration.alerts import task_failed, task_succeeded
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import setting

# Airflow's task runner warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]

UNATTENDED = {
    "extract_completions",
    "push_completions",
    "purge_completions",
    "reconcile_completions",
    "watch_delivery",
}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as taking:
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", taking.connection())
        yield taking


def context(error: BaseException | None, task: str = "push_completions.push_oracle", returned: Any = None) -> Any:
    """As much of Airflow's context as a callback gets."""
    dag_id, task_id = task.split(".")
    ti = SimpleNamespace(dag_id=dag_id, task_id=task_id, map_index=-1, xcom_pull=lambda **_: returned)
    return {"exception": error, "ti": ti, "task": SimpleNamespace(op_args=("oracle",)), "run_id": "run-1"}


def test_tasks_that_run_by_themselves_raise_alerts_and_those_that_a_person_starts_do_not(dags: dict[str, DAG]) -> None:
    assert set(dags) >= UNATTENDED
    for dag in dags.values():
        for task in dag.tasks:
            calls = (list[Any](task.on_failure_callback or ()), list[Any](task.on_success_callback or ()))  # type: ignore[arg-type]
            wanted = ([task_failed], [task_succeeded]) if dag.dag_id in UNATTENDED else ([], [])
            assert calls == wanted, task.task_id


def test_refused_credentials_are_an_alert_until_they_let_in(
    airflow: Bridge, dags: dict[str, DAG], oracle: SandboxOracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = _connection(oracle)
    airflow.queue_new(2)
    monkeypatch.setenv("AIRFLOW_CONN_ORACLE_SANDBOX", json.dumps(right | {"password": "wrong"}))
    assert run(dags["push_completions"])["push_oracle"] == "failed"
    assert run(dags["push_completions"])["push_oracle"] == "failed"
    [(name, subject, words, is_open)] = told.alerts(airflow.staging)
    assert (name, subject, is_open) == ("credentials_failing", "oracle", True)
    assert "check the client id, the client secret" in words
    assert "wrong" not in words
    monkeypatch.setenv("AIRFLOW_CONN_ORACLE_SANDBOX", json.dumps(right))
    assert run(dags["push_completions"])["push_oracle_returned"]["sent"] == 2
    assert [row[3] for row in told.alerts(airflow.staging)] == [False]


def _connection(oracle: SandboxOracle) -> dict[str, Any]:
    return {
        "conn_type": "oracle_completions",
        "host": oracle.url,
        "login": oracle.client_id,
        "password": oracle.client_secret,
        "extra": {"oauth_url": oracle.token_url},
    }


@pytest.mark.parametrize("proof", [{"requests": 1}, {"requests": 0, "let_in": 1}])
def test_a_drain_with_nothing_to_send_does_not_prove_the_credentials(airflow: Bridge, proof: dict[str, int]) -> None:
    task_failed(context(CredentialsRefused("No.")))
    task_succeeded(context(None, returned={"requests": 0}))
    assert told.alerts(airflow.staging) == [("credentials_failing", "oracle", "No.", True)]
    task_succeeded(context(None, returned=proof))
    assert told.alerts(airflow.staging) == [("credentials_failing", "oracle", "No.", False)]


def test_a_site_that_refuses_is_an_alert_until_it_is_read(
    airflow: Bridge, dags: dict[str, DAG], totara: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = totara.url.render_as_string(False)
    wrong = {"conn_type": "totara", "extra": {"database_url": url, "table_prefix": "nope_"}}
    right = wrong | {"extra": {"database_url": url}}
    monkeypatch.setenv("AIRFLOW_CONN_TOTARA_SANDBOX", json.dumps(wrong))
    assert run(dags["extract_completions"])["extract_sbx"] == "failed"
    assert [row[:2] for row in told.alerts(airflow.staging)] == [("credentials_failing", "sbx")]
    monkeypatch.setenv("AIRFLOW_CONN_TOTARA_SANDBOX", json.dumps(right))
    assert run(dags["extract_completions"])["extract_sbx"] == "success"
    assert [row[3] for row in told.alerts(airflow.staging)] == [False]


def test_a_task_that_fails_for_good_is_one_alert_until_it_succeeds(
    airflow: Bridge, dags: dict[str, DAG], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = {"conn_type": "totara", "extra": {"database_url": "postgresql://h/d", "is_active": False}}
    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_TOTARA_SANDBOX", json.dumps(idle))
        for _ in range(2):
            assert run(dags["extract_completions"])["extract_sbx"] == "failed"
    [(name, subject, words, is_open)] = told.alerts(airflow.staging)
    assert (name, subject, is_open) == ("run_failed", "extract_completions.extract_sbx", True)
    assert words.startswith("The connection totara_sandbox is not active")
    assert run(dags["extract_completions"])["extract_sbx"] == "success"
    assert [row[3] for row in told.alerts(airflow.staging)] == [False]


def test_a_drain_in_shadow_mode_that_gets_a_token_proves_the_credentials(airflow: Bridge, dags: dict[str, DAG]) -> None:
    with airflow.staging.begin() as transaction:
        setting.write(transaction, scope="oracle", name="shadow", value=True, by="ann", now=airflow.now)
    task_failed(context(CredentialsRefused("No.")))
    assert run(dags["push_completions"])["push_oracle_returned"]["requests"] == 0
    assert told.alerts(airflow.staging) == [("credentials_failing", "oracle", "No.", False)]


def test_that_a_destination_is_down_is_told_by_the_watch_alone(airflow: Bridge) -> None:
    task_failed(context(OracleUnavailable("It is down.")))
    assert told.alerts(airflow.staging) == []


def test_a_drain_with_nothing_to_send_does_not_end_a_failure(airflow: Bridge) -> None:
    task_failed(context(OracleRefused("No such path.")))
    task_succeeded(context(None, returned={"requests": 0}))
    task_failed(context(OracleRefused("No such path.")))
    assert told.alerts(airflow.staging) == [("run_failed", "push_completions.push_oracle", "No such path.", True)]
    task_succeeded(context(None, returned={"requests": 1}))
    assert [row[3] for row in told.alerts(airflow.staging)] == [False]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TotaraUnavailable("Totara does not answer."), "Totara does not answer."),
        (KeyError("Ann Example"), "The task ended with an unexpected KeyError: its log says where."),
        (None, "The task's process was killed, or ended without a word: its log and the worker's may say why."),
    ],
)
def test_only_sentences_of_our_own_are_repeated(airflow: Bridge, error: Exception | None, words: str) -> None:
    task_failed(context(error))
    assert told.alerts(airflow.staging) == [("run_failed", "push_completions.push_oracle", words, True)]
    assert told.rows(airflow.staging, "SELECT run_id FROM bridge.alert") == [("run-1",)]


def test_who_asks_for_what_cannot_be_is_told_by_the_run_alone(airflow: Bridge, dags: dict[str, DAG]) -> None:
    assert run(dags["push_completions"], batchsize=5)["push_oracle"] == "failed"
    task_failed(context(RequestInvalid("No.")))
    assert told.alerts(airflow.staging) == []


def test_an_alert_that_cannot_be_written_fails_nothing(
    airflow: Bridge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    task_failed(context(KeyError("x")))
    task_succeeded(context(None))
    assert [record.getMessage() for record in caplog.records if record.name.endswith("alerts")] == 2 * [
        "an alert could not be written"
    ]


def deadline_of(dag: DAG) -> Any:
    """The one that it has."""
    deadlines: Any = dag.deadline
    [deadline] = deadlines
    return deadline


def late(dag: DAG, run_id: str, state: str = "running") -> None:
    """What Airflow's executor does when a run misses the DAG's deadline."""
    given = {
        "dag_run": {"dag_id": dag.dag_id, "dag_run_id": run_id, "state": state},
        "deadline": {"id": "1", "deadline_time": "2026-03-01T04:30:00Z"},
    }
    done = execute_callback(
        callback_path=deadline_of(dag).callback.path,
        callback_kwargs={"context": given},
        dag_rel_path=Path(f"{dag.dag_id}.py"),
        bundle_path=None,
        log=structlog.get_logger(),
    )
    assert done == (True, None)


@pytest.mark.parametrize(("dag_id", "minutes"), [("extract_completions", 60), ("push_completions", 30)])
def test_a_late_run_is_told_at_once(
    airflow: Bridge, dags: dict[str, DAG], hook: Webhook, dag_id: str, minutes: int
) -> None:
    told.use_channels(airflow.staging, [{"connection": "hook"}])
    assert deadline_of(dags[dag_id]).interval == timedelta(minutes=minutes)
    late(dags[dag_id], "scheduled__1")
    late(dags[dag_id], "scheduled__1")
    words = "The run scheduled__1 was to end by 2026-03-01 04:30:00 UTC and has not."
    assert told.alerts(airflow.staging) == [("run_late", dag_id, words, True)]
    assert [(body["name"], body["run_id"], body["words"]) for body in hook.bodies] == [
        ("run_late", "scheduled__1", words)
    ]


def test_a_run_that_failed_in_time_is_not_late(airflow: Bridge, dags: dict[str, DAG]) -> None:
    late(dags["push_completions"], "scheduled__1", state="failed")
    assert told.alerts(airflow.staging) == []
