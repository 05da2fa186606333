"""docs/scaling.md counts connections as the code opens them, and adds them up right."""

import inspect
import re
from datetime import timedelta

import pytest
from airflow.configuration import conf

from tests.production.compose_file import FILE, PROJECT
from totara_bridge.push import DrainPlan
from totara_bridge.settings import Settings
from totara_bridge.staging.database import staging
from totara_bridge.web.panel.app import THREADS as PANEL_THREADS
from totara_bridge.web.pull.app import THREADS as PULL_THREADS

PAGE = (PROJECT / "docs" / "scaling.md").read_text()

Table = dict[str, list[str]]


def _table(between: str) -> Table:
    """The rows between two markers of the page by their first cell."""
    [marked] = re.findall(rf"<!-- {between}: begin -->\n(.*?)<!-- {between}: end -->", PAGE, re.S)
    return _rows(marked.splitlines()[2:])


def _rows(lines: list[str]) -> Table:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows}


@pytest.fixture(scope="module")
def connections() -> Table:
    """Of each kind of process: to staging, and to Airflow's database."""
    return _table("connections")


def _drain(requests_in_flight: int) -> int:
    """What a drain task opens."""
    settings = Settings(requests_in_flight=requests_in_flight)
    plan = DrainPlan("oracle", settings, request_timeout=timedelta(seconds=30), time_box=timedelta(minutes=10))
    return plan.connections


def _of_airflow() -> int:
    """What one of Airflow's engines opens at most, by Airflow's defaults."""
    names = ("sql_alchemy_pool_size", "sql_alchemy_max_overflow")
    return sum(int(str(conf.get_default_value("database", name))) for name in names)


def test_a_drain_task_opens_what_the_page_says(connections: Table) -> None:
    """For each request in flight two, and one that keeps the leases."""
    assert connections["a drain task"] == ["2 × `requests_in_flight` + 1", "0"]
    assert [_drain(number) for number in (1, 4, 32)] == [3, 9, 65]


def test_other_tasks_and_commands_open_what_the_page_says(connections: Table) -> None:
    """Nobody asks for more than the default, but a drain."""
    default = inspect.signature(staging).parameters["connections"].default
    package = "".join(path.read_text() for path in (PROJECT / "include").rglob("*.py"))
    asked = set(re.findall(r"\bstaging\(connections=([\w.]+)\)", package))
    assert asked == {"1", "plan.connections"}
    assert connections["any other task"] == [str(default), "0"]
    assert connections["a maintainer's command"] == ["1", "0"]


def test_servers_open_what_the_page_says(connections: Table) -> None:
    """Both apps in a process of the API server, and both of Airflow's engines."""
    inside = connections["a process of the API server: the panel, and the Pull API in it"]
    assert inside == [str(PANEL_THREADS + PULL_THREADS), str(2 * _of_airflow())]
    assert connections["a process of the Pull API alone"] == [str(PULL_THREADS), "0"]
    assert connections["a scheduler, dag-processor or triggerer"] == ["1", str(_of_airflow())]


@pytest.mark.parametrize("size", range(3))
def test_the_sums_are_right_and_the_servers_take_them(size: int) -> None:
    """For each of the three sizes; with three connections that PostgreSQL keeps for its superuser."""
    sums = {name: cells[size] for name, cells in _table("sums").items()}
    drains, in_flight = map(int, sums["drain tasks × requests in flight"].split(" × "))
    others = int(sums["other tasks at the same time (`PARALLELISM` less the drain tasks)"])
    servers, alone = int(sums["API server processes"]), int(sums["processes of the Pull API alone"])
    services, commands = int(sums["schedulers, dag-processors, triggerers"]), int(sums["commands"])
    to_staging = drains * _drain(in_flight) + 2 * others + 16 * servers + 8 * alone + services + commands
    to_airflow = 30 * servers + 15 * services
    assert sums["**to staging, at most**"] == str(to_staging)
    assert sums["**to Airflow's database, at most**"] == str(to_airflow)

    chosen = _rows([line for line in PAGE.splitlines() if line.startswith("| `")])
    parallelism = int(chosen["`AIRFLOW__CORE__PARALLELISM`"][size])
    allowed = int(re.findall(r"\d+", chosen["`max_connections`"][size])[0])
    assert others == parallelism - drains
    assert to_staging + to_airflow + 3 <= allowed


def test_the_compose_file_allows_what_its_defaults_open() -> None:
    """Those of the smallest size, with the Pull API in two processes besides."""
    compose = FILE.read_text()
    allowed = int(re.findall(r"max_connections=(\d+)", compose)[0])
    parallelism = int(re.findall(r"AIRFLOW_PARALLELISM:-(\d+)", compose)[0])
    alone = int(re.findall(r"PULL_WORKERS:-(\d+)", compose)[0])
    [default] = _table("sums")["**to staging, at most**"][:1]
    assert parallelism == 8
    assert int(default) + 8 * alone + 75 + 3 <= allowed
