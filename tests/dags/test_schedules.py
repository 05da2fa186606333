"""When DAGs run and when they do not: schedules, a site's turn, a destination that is switched off, a paused DAG."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dag import DagModel
from airflow.sdk import DAG, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowSkipException
from airflow.utils.session import create_session
from croniter import croniter
from sqlalchemy import text

from tests.bridge import Bridge
from tests.dags.dag_run import BY_SCHEDULE, DAGS, run
from tests.e2e.running import NEVER
from totara_bridge.orchestration.paused import paused
from totara_bridge.orchestration.switches import warn_if_off
from totara_bridge.orchestration.tasks.extract import extract_site
from totara_bridge.orchestration.tasks.push import push_destination
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import setting

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]

SITE = '[[sites]]\ncode = "sbx"\nconnection = "totara_sandbox"\n'
DESTINATION = '[[destinations]]\ncode = "{}"\nconnection = "oracle_sandbox"\n'
SCHEDULES = """
timezone = "Pacific/Auckland"
[extract]
schedule = "hourly"
[push]
schedule = "*/5 * * * *"
[purge]
schedule = "daily"
[watch]
schedule = "0 6 * * mon-fri"
[reconcile]
schedule = "weekly"
"""

Configure = Callable[[str], None]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Put other words into bridge.toml."""

    def put(words: str) -> None:
        (tmp_path / "bridge.toml").write_text(words)
        monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(tmp_path / "bridge.toml"))

    return put


def test_the_schedules_are_those_of_bridge_toml(configure: Configure) -> None:
    configure(SCHEDULES + SITE + DESTINATION.format("oracle"))
    found = {name: dag.timetable for name, dag in DagBag(dag_folder=DAGS).dags.items()}
    expected = {
        "extract_completions": "0 * * * *",
        "push_completions": "*/5 * * * *",
        "purge_completions": "0 0 * * *",
        "watch_delivery": "0 6 * * mon-fri",
        "reconcile_completions": "0 0 * * 0",
    }
    for name, line in expected.items():
        cron = getattr(found[name], "timetable", found[name])  # of a schedule that waits for an asset besides
        assert isinstance(cron, CronTriggerTimetable)
        assert (cron.expression, str(cron.timezone)) == (line, "Pacific/Auckland"), name
    by_hand = set(found) - set(expected)
    assert {type(found[name]).__name__ for name in by_hand} == {"NullTimetable"}


def test_what_other_tests_take_for_never_has_not_come_since_the_dags_begin() -> None:
    last = croniter(NEVER, datetime.now(UTC)).get_prev(datetime)
    begin = min(dag.start_date for dag in DagBag(dag_folder=DAGS).dags.values() if dag.start_date)
    # Airflow begins a run of it when a DAG is unpaused
    assert last < begin, f"move the start_date of all DAGs beyond {last}"


# a site's turn


def last_read(bridge: Bridge, at: datetime) -> None:
    with bridge.staging.begin() as transaction:
        transaction.execute(text("UPDATE bridge.watermark SET extracted_at = :at"), {"at": at})


@pytest.mark.parametrize("rhythm", ['every = "P1D"', 'schedule = "daily"'])
def test_a_site_is_read_when_its_turn_has_come(airflow: Bridge, configure: Configure, rhythm: str) -> None:
    configure(SITE + rhythm)
    now = datetime.now(UTC)
    extract_site("sbx", {}, _Announced(), BY_SCHEDULE)  # never read yet: at once
    if "schedule" in rhythm:  # a day ahead: midnight may come before the site is asked for
        read, turn = now + timedelta(days=1), f"{now + timedelta(days=2):%Y-%m-%d} 00:00"
    else:
        read, turn = now - timedelta(hours=20), f"{now + timedelta(hours=4):%Y-%m-%d %H:%M}"
    last_read(airflow, read)
    with pytest.raises(AirflowSkipException, match=rf"Its next turn is at {turn} \(UTC\)\.$"):
        extract_site("sbx", {}, _Announced(), BY_SCHEDULE)
    assert (
        extract_site("sbx", {"sites": ["sbx"]}, _Announced(), BY_SCHEDULE)["completions_created"] == 0
    )  # asked for by name
    last_read(airflow, now - timedelta(days=1, seconds=1))
    extract_site("sbx", {}, _Announced(), BY_SCHEDULE)


def test_an_interval_as_long_as_the_schedule_does_not_miss_a_run_that_begins_early(
    airflow: Bridge, configure: Configure
) -> None:
    configure(SITE + 'every = "PT1H"')
    extract_site("sbx", {}, _Announced(), BY_SCHEDULE)
    last_read(airflow, datetime.now(UTC) - timedelta(minutes=55))
    extract_site("sbx", {}, _Announced(), BY_SCHEDULE)


# a destination that is switched off


def test_a_destination_that_is_switched_off_waits_and_the_others_go_on(
    airflow: Bridge, configure: Configure, oracle: SandboxOracle, caplog: pytest.LogCaptureFixture
) -> None:
    configure(SITE + DESTINATION.format("oracle") + DESTINATION.format("waiting"))
    extract_site("sbx", {"sites": ["sbx"]}, _Announced(), BY_SCHEDULE)
    airflow.totara.complete(*airflow.totara.pair_with(status=25))
    with airflow.staging.begin() as transaction:
        setting.write(transaction, scope="waiting", name="enabled", value=False, by="ann", now=airflow.now)
    extracted = extract_site("sbx", {"sites": ["sbx"]}, _Announced(), BY_SCHEDULE)
    assert extracted["queued"] == 2  # for both: nothing is lost
    assert push_destination("oracle", {})["sent"] == 1
    with pytest.raises(AirflowSkipException, match="switched the destination waiting off; what is due waits"):
        push_destination("waiting", {})
    warn_if_off(airflow.staging, ["waiting", "oracle"], logging.getLogger("told"))
    assert "waiting is switched off: what is queued for it waits until it is on again." in caplog.messages
    with airflow.staging.begin() as transaction:
        setting.write(transaction, scope="waiting", name="enabled", value=True, by="ann", now=airflow.now)
    assert push_destination("waiting", {})["sent"] == 1
    assert len(oracle.stored_keys()) == 1  # both are the one sandbox


class _Announced:
    """The events of a task's outlets, outside a task."""

    def __getitem__(self, outlet: object) -> "_Announced":
        return self

    def add(self, asset: object, extra: object) -> None:
        """Take an event."""


# a paused DAG


def pause(dag_id: str, value: bool) -> None:
    with create_session() as session:
        model = session.get(DagModel, dag_id)
        assert model is not None
        model.is_paused = value


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_push_that_is_paused_is_named_by_the_task_that_queues_for_it(
    airflow: Bridge, dags: dict[str, DAG], caplog: pytest.LogCaptureFixture, is_paused: bool
) -> None:
    run(dags["extract_completions"], sites=None)
    pause("push_completions", is_paused)
    caplog.clear()
    run(dags["backfill_completions"], from_date="1970-01-01", dry_run=True)
    said = "push_completions is paused: nothing is sent until you unpause it, and trigger it or wait for its schedule."
    assert said not in caplog.messages  # a dry run queues nothing
    assert run(dags["backfill_completions"], from_date="1970-01-01", dry_run=False)["state"] == "success"
    assert (said in caplog.messages) is is_paused


ASKING = """
from airflow.sdk import DAG, task
from totara_bridge.orchestration.paused import paused
with DAG("asking", schedule=None):
    task(task_id="ask")(paused)("a_dag_of_tomorrow")
"""


def test_a_dag_that_airflow_does_not_know_is_not_called_paused(
    airflow: Bridge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "asking.py").write_text(ASKING)
    bag = DagBag(dag_folder=tmp_path)
    sync_bag_to_db(bag, "dags-folder", None)
    found = run(bag.dags["asking"])
    assert (found["state"], found["ask_returned"]) == ("success", [])
    assert "Airflow does not say whether a_dag_of_tomorrow is paused: " in caplog.text


def test_outside_a_task_nobody_can_be_asked() -> None:
    assert paused("push_completions") == []
