"""An Airflow of the tests' own, on the embedded PostgreSQL."""

import pytest


@pytest.fixture(scope="session")
def airflow_metadata() -> None:
    """Airflow's metadata database, made once."""
    from airflow.utils.db import initdb  # noqa: PLC0415  imports half of Airflow

    initdb()
