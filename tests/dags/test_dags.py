"""The DAGs: every file parses, follows the policy, and its tasks do the work in Airflow's own task runner."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from sqlalchemy import text

from tests.bridge import Bridge
from tests.dags.dag_run import BY_SCHEDULE, DAGS, run
from totara_bridge.errors import ConfigurationInvalid, Permanent, RequestInvalid, StagingOutOfDate, Transient
from totara_bridge.orchestration.tasks.extract import extract_site
from totara_bridge.orchestration.tasks.push import push_destination
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import mapping, setting

# Airflow's task runner warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]


def test_every_file_is_one_dag_of_its_name(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == {file.stem for file in DAGS.glob("*.py")}


def test_every_dag_follows_the_policy(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        assert dag.max_active_runs == 1, dag.dag_id
        assert not dag.catchup, dag.dag_id
        assert "totara-bridge" in dag.tags, dag.dag_id
        assert dag.description, dag.dag_id
        assert dag.doc_md, dag.dag_id
        assert dag.doc_md.strip().startswith("### "), dag.dag_id
        for task in dag.tasks:
            assert task.owner == "totara-bridge", task.task_id
            # watch_delivery comes again in minutes
            assert task.retries == (0 if dag.dag_id == "watch_delivery" else 3), task.task_id
            assert task.retry_policy is not None, task.task_id
        for name, parameter in dag.params.items():
            assert dag.params.get_param(name).description, f"{dag.dag_id}.{name} {parameter}"


def test_every_dag_serialises(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).dag_id == dag.dag_id


def test_dag_files_are_wiring() -> None:
    for file in DAGS.glob("*.py"):
        assert len(file.read_text().splitlines()) <= 90, file


def test_a_permanent_error_fails_at_once_and_a_transient_one_is_retried(dags: dict[str, DAG]) -> None:
    policy = dags["push_completions"].tasks[0].retry_policy
    assert policy is not None
    failed = policy.evaluate(Permanent("x"), 1, 3, {})
    again = policy.evaluate(Transient("x"), 1, 3, {})
    assert (failed.action.value, again.action.value) == ("fail", "retry")


def test_extract_backfill_and_push_deliver_everything_once(
    airflow: Bridge, dags: dict[str, DAG], oracle: SandboxOracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_a_day_on = f"{airflow.now + timedelta(hours=12):%H:%M:%S}"  # no extract is to compare everything again
    monkeypatch.setenv("TOTARA_BRIDGE_EXTRACT__FULL_COMPARE", half_a_day_on)
    extract, backfill, push = (dags[f"{name}_completions"] for name in ("extract", "backfill", "push"))
    first = run(extract)
    assert first["state"] == "success"
    assert first["extract_sbx_returned"]["instances_new"] == 1004
    dry = run(backfill, from_date="1970-01-01")
    assert (dry["backfill_oracle_returned"]["lacking"], dry["backfill_oracle_returned"]["queued_now"]) == (998, 0)
    assert run(backfill, from_date="1970-01-01", dry_run=False)["backfill_oracle_returned"]["queued_now"] == 998
    assert run(push)["push_oracle_returned"]["sent"] == 998
    again = run(extract)["extract_sbx_returned"]
    assert {name: number for name, number in again.items() if number} == {}
    assert run(push)["push_oracle_returned"] == {"sent": 0, "failed": 0, "dead": 0, "released": 0, "requests": 0}
    assert len(oracle.stored_keys()) == 998


def test_a_destination_whose_route_takes_the_site_no_more_hears_of_what_it_has(
    airflow: Bridge, dags: dict[str, DAG], oracle: SandboxOracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bridge.toml"
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    file.write_text(CORRECTED)
    run(dags["extract_completions"])
    pair = airflow.totara.pair_with(status=25)
    airflow.totara.complete(*pair)
    run(dags["extract_completions"])
    airflow.later(hours=1)  # the tasks' clock went on
    assert airflow.push(oracle).sent == 1
    file.write_text(CORRECTED.replace('route.sites = ["sbx"]', 'route.sites = ["uk"]'))
    airflow.totara.edit_date(*pair, at=1_600_000_000)
    returned = run(dags["extract_completions"])["extract_sbx_returned"]
    assert (returned["instances_revised"], returned["corrections"]) == (1, 1)


CORRECTED = """
[[sites]]
code = "sbx"
connection = "totara_sandbox"
[[sites]]
code = "uk"
connection = "totara_uk"
every = "P1D"
[[destinations]]
code = "oracle"
connection = "oracle_sandbox"
corrections = true
route.sites = ["sbx"]
"""


def test_switched_off_it_skips(airflow: Bridge, dags: dict[str, DAG]) -> None:
    with airflow.staging.begin() as transaction:
        setting.write(transaction, name="enabled", value=False, by="test", now=airflow.now)
    assert run(dags["extract_completions"])["extract_sbx"] == "skipped"
    assert run(dags["push_completions"])["push_oracle"] == "skipped"


def test_a_run_for_one_site_reads_it_and_one_for_an_unknown_site_is_refused(
    airflow: Bridge, dags: dict[str, DAG]
) -> None:
    assert run(dags["extract_completions"], sites=["sbx"])["extract_sbx"] == "success"
    with pytest.raises(ParamValidationError, match="'nope' is not one of"):
        run(dags["extract_completions"], sites=["nope"])


def test_a_run_with_an_unknown_parameter_fails(airflow: Bridge, dags: dict[str, DAG]) -> None:
    assert run(dags["push_completions"], batchsize=5)["push_oracle"] == "failed"
    with pytest.raises(RequestInvalid, match=r"no parameter batchsize \(it has none at all\): correct the name"):
        push_destination("oracle", {"batchsize": 5})


def test_an_inactive_connection_fails_with_one_sentence(
    airflow: Bridge, dags: dict[str, DAG], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_TOTARA_SANDBOX",
        json.dumps({"conn_type": "totara", "extra": {"database_url": "postgresql://h/d", "is_active": False}}),
    )
    assert run(dags["extract_completions"])["extract_sbx"] == "failed"
    with pytest.raises(ConfigurationInvalid, match="The connection totara_sandbox is not active"):
        extract_site("sbx", {"sites": None, "full_compare": False, "confirm_deletions": False}, None, BY_SCHEDULE)


def test_an_unmigrated_database_is_refused(airflow: Bridge, dags: dict[str, DAG]) -> None:
    with airflow.staging.begin() as transaction:
        transaction.execute(text("UPDATE bridge.totara_bridge_alembic_version SET version_num = '0000'"))
    assert run(dags["push_completions"])["push_oracle"] == "failed"
    with pytest.raises(StagingOutOfDate, match="run `make migrate`"):
        push_destination("oracle", {})


def test_a_connection_that_is_missing_fails_at_once(airflow: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_ORACLE_SANDBOX")
    with pytest.raises(ConfigurationInvalid, match="There is no Airflow Connection oracle_sandbox: create it"):
        push_destination("oracle", {})


def test_deletions_are_confirmed_for_named_sites_only(airflow: Bridge) -> None:
    with pytest.raises(RequestInvalid, match="name them in Sites"):
        extract_site("sbx", {"sites": None, "full_compare": True, "confirm_deletions": True}, None, BY_SCHEDULE)


NUMBERED = """
[[sites]]
code = "sbx"
connection = "totara_sandbox"
[[destinations]]
code = "oracle"
connection = "oracle_sandbox"
template = "numbered"
[templates.numbered]
version = 1
[templates.numbered.fields]
idempotencyKey = "item_key"
kind = "kind"
revision = "revision"
site = "site"
userId = "user_id"
courseId = "course_id"
status = "status"
progress = "progress"
timecompleted = "time_completed"
learner = { source = "learner_number", required = true }
"""


@pytest.fixture
def held(airflow: Bridge, dags: dict[str, DAG], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """A learner and course whose completion is held, because the template needs the destination's own number."""
    file = tmp_path / "bridge.toml"
    file.write_text(NUMBERED)
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    run(dags["extract_completions"], sites=None)  # a DAG that was tested keeps the conf of its last run
    pair = airflow.totara.pair_with(status=25)
    airflow.totara.complete(*pair)
    extracted = run(dags["extract_completions"], sites=None)["extract_sbx_returned"]
    assert (extracted["queued"], extracted["held"]) == (0, 1)
    return pair


def test_loaded_mappings_let_go_of_what_was_held(
    held: tuple[int, int], dags: dict[str, DAG], oracle: SandboxOracle, caplog: pytest.LogCaptureFixture
) -> None:
    lines = f"site,id,number\r\nsbx,{held[0]},L-1\r\nuk,1,L-2\r\n"
    asked = {"destination": "oracle", "kind": "learner", "csv": lines}
    counts = {"added": 1, "changed": 0, "unchanged": 0, "removed": 0, "refused": 1}
    assert run(dags["load_mappings"], **asked)["load_returned"] == counts | {"unheld": 0}
    assert "line 3 was not loaded: its site is none of sbx" in caplog.text
    assert run(dags["push_completions"])["push_oracle_returned"]["sent"] == 0
    assert run(dags["load_mappings"], **asked, dry_run=False)["load_returned"] == counts | {"unheld": 1}
    assert run(dags["push_completions"])["push_oracle_returned"]["sent"] == 1
    [item] = oracle.items()
    assert item["payload"]["learner"] == "L-1"


def test_a_push_looks_whether_held_items_can_go(
    airflow: Bridge, held: tuple[int, int], dags: dict[str, DAG], oracle: SandboxOracle
) -> None:
    number = mapping.Mapping("sbx", held[0], "L-1")
    with airflow.staging.begin() as transaction:
        mapping.put(transaction, number, destination="oracle", kind="learner", by="ann", now=airflow.now)
    assert run(dags["push_completions"])["push_oracle_returned"]["sent"] == 1


def test_csv_without_its_header_fails(airflow: Bridge, dags: dict[str, DAG]) -> None:
    asked = {"destination": "oracle", "kind": "course", "csv": "sbx,7,C-7"}
    assert run(dags["load_mappings"], **asked)["load"] == "failed"
