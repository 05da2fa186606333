"""The Pull API as it runs alone, a real server over real HTTP; and the control panel behind Airflow's own login."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.bridge import Bridge
from tests.staging_roles import PULL, as_role
from tests.web import of_all_kinds
from tests.web.panel_client import Login
from tests.web.puller import Puller
from tests.web.serving import serving
from totara_bridge import api_token
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.service import Service


@pytest.fixture(scope="session")
def of_all_kinds_template(postgres: EmbeddedPostgres, staging_template: str, totara_template: str) -> str:
    """A staging database to copy, in which there is a row of every kind that a puller can meet."""
    made: dict[str, Engine] = {}
    for name, template in (("of_all_kinds", staging_template), ("of_all_kinds_totara", totara_template)):
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        made[name] = create_engine(postgres.dsn(name).replace("postgresql:", "postgresql+psycopg:", 1))
    of_all_kinds.stage(Bridge(*made.values()))
    for engine in made.values():
        engine.dispose()
    return "of_all_kinds"


@pytest.fixture
def address(staging: Engine) -> Iterator[str]:
    """Where the Pull API over the staging database is."""
    with serving(Starlette(routes=[Mount(PREFIX, pull_app(Service(as_role(staging, PULL), threads=8)))])) as host:
        yield host + PREFIX


@pytest.fixture
def token(staging: Engine) -> str:
    """A token of the caller ``warehouse`` that may do everything."""
    with staging.begin() as transaction:
        return api_token.issue(transaction, caller="warehouse", by="ann", now=datetime.now(UTC)).token


@pytest.fixture
def puller(address: str, token: str) -> Iterator[Puller]:
    """An external system."""
    with Puller(address, token) as calling:
        yield calling


@pytest.fixture(scope="session")
def login(airflow_metadata: None) -> Login:
    """Airflow's own login."""
    return Login()


@pytest.fixture
def panel(login: Login, staging: Engine) -> Iterator[httpx.Client]:
    """The control panel over the staging database, in the browser of a manager."""
    with login.browser(login.panel(staging), "user") as browser:
        yield browser


@pytest.fixture
def looking(login: Login, staging: Engine) -> Iterator[httpx.Client]:
    """The same, in the browser of somebody who may only look."""
    with login.browser(login.panel(staging), "viewer") as browser:
        yield browser
