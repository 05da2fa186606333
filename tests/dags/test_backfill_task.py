"""The task of ``backfill_completions``: it does what its form says, and refuses what cannot be with one sentence."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException

from tests.bridge import Bridge
from tests.dags.dag_run import run
from totara_bridge.errors import BridgeError, ConfigurationInvalid, RequestInvalid
from totara_bridge.orchestration.tasks.backfill import backfill_destination
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import setting

# Airflow's task runner warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]


@pytest.fixture
def extracted(airflow: Bridge) -> Bridge:
    """The whole past staged and nothing queued."""
    airflow.extract()
    return airflow


def backfill(bridge: Bridge, **asked: Any) -> dict[str, int | None]:
    """What the task returns, as Airflow calls it."""
    dag_run = SimpleNamespace(run_after=bridge.now, triggering_user_name="ann", dag_id="backfill_completions")
    return backfill_destination("oracle", {"from_date": "1970-01-01"} | asked, dag_run, None)


def day(bridge: Bridge, nth: int) -> date:
    """The day of the nth completion."""
    [row] = bridge.rows(
        """SELECT cast(time_completed AS date) AS day FROM bridge.completion_instance
           WHERE NOT after_deletion AND time_completed IS NOT NULL ORDER BY time_completed OFFSET :nth LIMIT 1""",
        nth=nth,
    )
    assert isinstance(row["day"], date)
    return row["day"]


def test_a_dag_run_queues_what_its_form_asks_for_and_sends_it_again(
    extracted: Bridge, dags: dict[str, DAG], oracle: SandboxOracle
) -> None:
    since, until = (day(extracted, nth) for nth in (200, 800))
    [expected] = extracted.rows(
        """SELECT count(*) AS items FROM bridge.completion_instance i
           JOIN bridge.learner l USING (site, user_id) JOIN bridge.course k USING (site, course_id)
           WHERE NOT i.after_deletion AND i.ended_at IS NULL AND i.status = 'complete' AND l.email LIKE '%1@%'
             AND cast(i.time_completed AS date) BETWEEN :since AND :until""",
        since=since,
        until=until,
    )
    assert 0 < expected["items"] < 600
    form: dict[str, Any] = {"from_date": str(since), "to_date": str(until), "sites": ["sbx"], "dry_run": False}
    form |= {"learners": ["*1@*"], "courses": ["*"], "statuses": ["complete"], "destinations": ["oracle"]}
    form["resend"] = True
    done = run(dags["backfill_completions"], **form)["backfill_oracle_returned"]
    counts = {name: done[name] for name in ("lacking", "queued_now", "resendable", "minutes")}
    assert counts == {"lacking": expected["items"], "queued_now": expected["items"], "resendable": 0, "minutes": None}
    extracted.later(hours=1)  # the task's clock went on
    assert extracted.push(oracle).sent == expected["items"]
    with extracted.staging.begin() as transaction:  # to before the next run
        transaction.exec_driver_sql("UPDATE bridge.export_queue SET sent_at = sent_at - interval '2 hours'")
    done = run(dags["backfill_completions"], **form)["backfill_oracle_returned"]
    assert (done["delivered"], done["resent_now"], done["minutes"]) == (expected["items"], expected["items"], None)


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"from_date": "2026-02-01", "to_date": "2026-01-31"}, RequestInvalid, "lies after To"),
        ({"from_date": "1969-12-31"}, RequestInvalid, "from_date: .*1970-01-01"),
        ({"from_date": None}, RequestInvalid, "from_date: "),
        ({"courses": ["\x00"]}, RequestInvalid, "courses.0: "),
        ({"learners": [f"learner-{n}" for n in range(1001)]}, RequestInvalid, "learners: .*1000"),
        ({"statuses": ["in_progress"]}, RequestInvalid, "statuses.0: "),
        ({"since": "2026-01-01"}, RequestInvalid, "no parameter since"),
        ({"destinations": ["oracel"]}, ConfigurationInvalid, "no destination oracel"),
        ({"sites": ["nope"]}, ConfigurationInvalid, "no site nope"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused(
    airflow: Bridge, asked: dict[str, Any], error: type[BridgeError], words: str
) -> None:
    with pytest.raises(error, match=words):
        backfill(airflow, **asked)


def test_a_destination_that_was_not_chosen_skips(
    airflow: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(TWO)
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    with pytest.raises(AirflowSkipException, match="This run is for second"):
        backfill(airflow, destinations=["second"])
    assert backfill(airflow, destinations=["second", "oracle"])["lacking"] == 0


TWO = """
[[sites]]
code = "sbx"
connection = "totara_sandbox"
[[destinations]]
code = "oracle"
connection = "oracle_sandbox"
[[destinations]]
code = "second"
connection = "oracle_sandbox"
"""


def test_a_site_that_the_route_does_not_take_has_nothing_to_queue(
    extracted: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(TWO.replace("[[destinations]]", '[[sites]]\ncode = "uk"\nconnection = "u"\n[[destinations]]', 1))
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    assert backfill(extracted, sites=["uk"])["lacking"] == 0
    assert backfill(extracted, sites=["uk", "sbx"])["lacking"] == backfill(extracted, sites=[])["lacking"] == 998


def test_switched_off_it_skips(airflow: Bridge) -> None:
    with airflow.staging.begin() as transaction:
        setting.write(transaction, name="enabled", value=False, by="test", now=airflow.now)
    with pytest.raises(AirflowSkipException, match="switched the integration off"):
        backfill(airflow)
