"""An Airflow of the tests' own, on the embedded PostgreSQL."""

import json

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from sqlalchemy import Engine

from tests.bridge import Bridge
from tests.dags.dag_run import DAGS
from totara_bridge.sandbox.oracle.server import SandboxOracle


@pytest.fixture(scope="session")
def bag() -> DagBag:
    return DagBag(dag_folder=DAGS)


@pytest.fixture(scope="session")
def dags(bag: DagBag) -> dict[str, DAG]:
    return dict(bag.dags)


@pytest.fixture
def airflow(
    airflow_metadata: None, staging: Engine, totara: Engine, oracle: SandboxOracle, monkeypatch: pytest.MonkeyPatch
) -> Bridge:
    """The DAGs' surroundings: connections and the staging database, as every Airflow process has them."""
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", staging.url.render_as_string(False).replace("+psycopg", ""))
    monkeypatch.setenv(
        "AIRFLOW_CONN_TOTARA_SANDBOX",
        json.dumps({"conn_type": "totara", "extra": {"database_url": totara.url.render_as_string(False)}}),
    )
    monkeypatch.setenv(
        "AIRFLOW_CONN_ORACLE_SANDBOX",
        json.dumps(
            {
                "conn_type": "oracle_completions",
                "host": oracle.url,
                "login": oracle.client_id,
                "password": oracle.client_secret,
                "extra": {"oauth_url": oracle.token_url},
            }
        ),
    )
    return Bridge(staging, totara)
