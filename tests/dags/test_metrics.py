"""The bridge's numbers reach StatsD from a task's own process, through Airflow's own metrics."""

import re
from pathlib import Path

import pytest
from airflow.sdk import DAG

from tests.bridge import Bridge
from tests.dags.statsd_server import StatsdServer, run_in_its_own_process
from totara_bridge.errors import OracleRefused
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.staging import setting

# Airflow's task runner warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> StatsdServer:
    """Where Airflow's metrics go; it listens for as long as a test says."""
    server = StatsdServer()
    for name, value in {"ON": "True", "HOST": "127.0.0.1", "PORT": str(server.port)}.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__STATSD_{name}", value)
    return server


def test_a_drain(airflow: Bridge, dags: dict[str, DAG], oracle: SandboxOracle, statsd: StatsdServer) -> None:
    airflow.queue_new(3)
    with statsd:
        assert run_in_its_own_process(dags["push_completions"], "push_oracle") == 0
    told = statsd.told("airflow.totara_bridge.push.oracle.")
    assert told.pop("duration")[1] == "ms"
    assert told == {"sent": (3, "c"), "failed": (0, "c"), "dead": (0, "c"), "requests": (1, "c")}


def test_a_drain_that_fails_tells_what_it_had_done(
    airflow: Bridge, dags: dict[str, DAG], oracle: SandboxOracle, statsd: StatsdServer
) -> None:
    airflow.queue_new(3)
    with airflow.staging.begin() as transaction:
        for name in ("batch_size", "requests_in_flight"):
            setting.write(transaction, name=name, value=1, by="test", now=airflow.now)
    oracle.faults({"match": {"next": 1}, "action": {"delay": 0}}, {"match": {}, "action": {"status": 404}})
    with statsd:
        run_in_its_own_process(dags["push_completions"], "push_oracle")
    told = statsd.told("airflow.totara_bridge.push.oracle.")
    assert (told["sent"], told["duration"][1]) == ((1, "c"), "ms")
    assert told["requests"][0] >= 2


def test_an_extract(airflow: Bridge, dags: dict[str, DAG], statsd: StatsdServer) -> None:
    airflow.extract()
    airflow.totara.complete(*airflow.totara.pair_with(status=25))
    with statsd:
        assert run_in_its_own_process(dags["extract_completions"], "extract_sbx") == 0
    told = statsd.told("airflow.totara_bridge.extract.sbx.")
    assert told["duration"][1] == "ms"
    assert (told["queued"], told["held"]) == ((1, "c"), (0, "c"))
    assert told["read"][0] >= 1


def test_a_watch(airflow: Bridge, dags: dict[str, DAG], oracle: SandboxOracle, statsd: StatsdServer) -> None:
    airflow.queue_new(3)
    oracle.faults({"match": {"next": 1}, "action": {"delay": 0}}, {"match": {}, "action": {"status": 404}})
    with pytest.raises(OracleRefused):
        airflow.push(oracle, settings=Settings(batch_size=1, requests_in_flight=1))
    with statsd:
        assert run_in_its_own_process(dags["watch_delivery"], "check") == 0
    told = statsd.told("airflow.totara_bridge.")
    gauges = {name: value for name, (value, kind) in told.items() if kind == "g"}
    assert gauges.pop("site.sbx.seconds_since_extract") > 0
    assert gauges.pop("queue.oracle.oldest_seconds") > 0
    assert gauges == {
        "alerts.open": 0,
        "queue.oracle.queued": 2,
        "queue.oracle.sending": 0,
        "queue.oracle.failed": 0,
        "queue.oracle.held": 0,
        "queue.oracle.dead": 0,
        "queue.oracle.share_in_time": 1,
    }


def test_the_page_lists_every_number_that_is_told(
    airflow: Bridge, dags: dict[str, DAG], oracle: SandboxOracle, statsd: StatsdServer
) -> None:
    airflow.queue_new(1)
    airflow.push(oracle)
    with statsd:
        for dag, task in (("extract", "extract_sbx"), ("push", "push_oracle"), ("reconcile", "reconcile_sbx")):
            run_in_its_own_process(dags[f"{dag}_completions"], task)
        run_in_its_own_process(dags["watch_delivery"], "check")
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    listed = set(re.findall(r"^\| `(totara_bridge\.[^`]+)`", page, re.MULTILINE))
    states = ("queued", "sending", "failed", "held", "dead")
    listed |= {f"totara_bridge.queue.<destination>.{state}" for state in states}
    listed -= {"totara_bridge.queue.<destination>.<state>"}
    told = {f"totara_bridge.{name}" for name in statsd.told("airflow.totara_bridge.")}
    assert told == {name.replace("<site>", "sbx").replace("<destination>", "oracle") for name in listed}
