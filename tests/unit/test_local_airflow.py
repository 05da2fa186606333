"""Airflow's environment is the local run's own, and reaches nothing but loopback."""

from pathlib import Path

import pytest

from totara_bridge.local import airflow
from totara_bridge.local.home import make_home


@pytest.fixture
def environment(short_folder: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("TOTARA_BRIDGE_HOME", short_folder)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_ORACLE_SANDBOX", "http://oracle.example.com")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com")
    monkeypatch.setenv("no_proxy", "example.org")
    return airflow.environment(
        make_home(), port=8123, metadata_url="postgresql://postgres@/airflow?host=/a", staging_url="postgresql://b"
    )


def test_settings_of_another_airflow_do_not_come_in(environment: dict[str, str], short_folder: str) -> None:
    assert "AIRFLOW__CORE__EXECUTOR" not in environment
    assert "AIRFLOW_CONN_ORACLE_SANDBOX" not in environment
    assert environment["AIRFLOW_HOME"] == str(Path(short_folder).resolve() / "airflow")


def test_workers_find_the_api_server_past_any_proxy(environment: dict[str, str]) -> None:
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__PORT"] == "8123"
    assert environment["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8123"
    assert environment["NO_PROXY"] == environment["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_metadata_and_staging_are_two_databases(environment: dict[str, str]) -> None:
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg://postgres@/airflow?host=/a"
    assert environment["TOTARA_BRIDGE_DATABASE_URL"] == "postgresql://b"


def test_a_service_that_was_well_before_it_was_started_anew_is_not_well_yet() -> None:
    health = {
        name: {"status": "healthy", f"latest_{name}_heartbeat": "2026-01-01T00:00:10+00:00"}
        for name in ("scheduler", "dag_processor", "triggerer")
    }
    before, after = 1767225605.0, 1767225615.0  # five seconds to either side
    started = {"scheduler": before, "dag-processor": after, "triggerer": before, "api-server": before}
    assert airflow.unhealthy(health, started) == ["dag-processor"]
    assert airflow.unhealthy(health | {"triggerer": {"status": None}}, started) == ["dag-processor", "triggerer"]
    assert airflow.unhealthy(None, started) == list(airflow.SERVICES)
