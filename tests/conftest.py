"""What every test may ask for: a real PostgreSQL, and fresh databases in it."""

import gc
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy import Engine, NullPool, create_engine

from tests.bridge import Bridge
from tests.chaos.matrix import CELL, Row, table
from tests.sharing import TOGETHER, ByModule
from tests.short_lived import PLACE, STRATEGY, new_folder
from tests.staging_roles import close, grant_to_roles
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara import schema as totara_schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging.migrate import migrate

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Airflow reads its settings at import: never those of the person who runs the tests.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="tbtest-airflow-", dir=PLACE)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__API_AUTH__JWT_SECRET"] = "as long as the hash of a signature, or there would be a warning of each"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parents[1] / "dags")

#: The same examples each time, however slow or busy the machine is.
settings.register_profile(
    "bridge", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("bridge")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    """Some processes share the tests by modules: what is made once for a module, or one Airflow, is made once."""
    return ByModule(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where some processes share the tests, each begins with those that share a running Airflow.

    They take longest. In one process they come last: Airflow is not to slow down any other.
    """
    shared = hasattr(config, "workerinput")  # pytest-xdist gives its processes that
    turns = {name: turn - len(TOGETHER) if shared else turn + 1 for turn, name in enumerate(TOGETHER)}
    items.sort(key=lambda item: turns.get(item.path.parent.name, 0))


def pytest_collection_finish() -> None:
    """What was imported stays: much processor time went into looking whether it is still needed."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The matrix of all chaos cells that came to their end."""
    reports = [each for some in terminalreporter.stats.values() for each in some if isinstance(each, pytest.TestReport)]
    cells: list[Any] = [
        said for each in reports if each.when == "call" for name, said in each.user_properties if name == CELL
    ]
    if cells:
        terminalreporter.section("the fault matrix")
        for line in table([Row(**each) for each in cells]):
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where nothing may be left out (``TOTARA_BRIDGE_NO_SKIPS``), a skipped test is a failure; pytest lists which."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("TOTARA_BRIDGE_NO_SKIPS") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The embedded server, in a folder that goes when the tests end."""
    folder = new_folder("tbt")
    server = EmbeddedPostgres(folder, durable=False)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres) -> Callable[[str], str]:
    """Make an empty database whose name begins with the given word; gives its address."""
    numbers = itertools.count(1)

    def make(word: str) -> str:
        return postgres.ensure_database(f"{word}_{next(numbers)}")

    return make


@pytest.fixture(scope="session")
def staging_template(postgres: EmbeddedPostgres) -> str:
    """A migrated staging database to copy, with what each role of production may do in it."""
    url = _driver(postgres.ensure_database("staging_template"))
    migrate(url)
    grant_to_roles(url)
    return "staging_template"


@pytest.fixture(scope="session")
def totara_template(postgres: EmbeddedPostgres) -> str:
    """A sandbox Totara with the captured rows to copy."""
    engine = create_engine(_driver(postgres.ensure_database("totara_template")), poolclass=NullPool)
    totara_schema.create(engine)
    seed(engine)
    return "totara_template"


@pytest.fixture(scope="session")
def administrator(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """A connection for making and removing databases, thousands of times."""
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def copy_of(postgres: EmbeddedPostgres, administrator: psycopg.Connection) -> Iterator[Callable[[str], Engine]]:
    """Make a database that is a copy of a template, for the length of a test."""
    made: list[tuple[sql.Identifier, Engine]] = []

    def copy(template: str) -> Engine:
        name = f"{template}_{next(_COPIES)}"
        administrator.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.Identifier(STRATEGY)
            )
        )
        engine = create_engine(_driver(postgres.dsn(name)), pool_size=20)
        made.append((sql.Identifier(name), engine))
        return engine

    yield copy
    for name, engine in made:
        close(engine)
        engine.dispose()
        administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(scope="session")
def has_read(administrator: psycopg.Connection, prepare: Callable[[str], Bridge], staging_template: str) -> str:
    """A staging database to copy, into which the sandbox Totara was extracted: that takes longer than a copy."""
    administrator.execute(f"CREATE DATABASE has_read TEMPLATE {staging_template}")
    prepare("has_read").extract()
    return "has_read"


@pytest.fixture(scope="session")
def prepare(postgres: EmbeddedPostgres, totara_template: str) -> Callable[[str], Bridge]:
    """A bridge over a staging database that is to be copied; it keeps no connections."""

    def bridge(staging: str) -> Bridge:
        both = (staging, totara_template)
        return Bridge(*(create_engine(_driver(postgres.dsn(each)), poolclass=NullPool) for each in both))

    return bridge


@pytest.fixture
def staging(request: pytest.FixtureRequest, copy_of: Callable[[str], Engine]) -> Engine:
    """A staging database: an empty one, or what the mark ``staging`` of the test or its module says."""
    mark = request.node.get_closest_marker("staging")
    template = {"empty": "staging_template", "has_read": "has_read"}[mark.args[0] if mark else "empty"]
    return copy_of(request.getfixturevalue(template))


@pytest.fixture
def totara(copy_of: Callable[[str], Engine], totara_template: str) -> Engine:
    """A sandbox Totara with the captured rows."""
    return copy_of(totara_template)


@pytest.fixture
def bridge(staging: Engine, totara: Engine) -> Bridge:
    """The bridge between the captured Totara and an empty staging database."""
    return Bridge(staging, totara)


@pytest.fixture(scope="session")
def airflow_metadata() -> None:
    """The metadata database of an Airflow of the tests' own, made once."""
    from airflow.utils.db import initdb  # noqa: PLC0415  imports half of Airflow

    initdb()


@pytest.fixture
def oracle() -> Iterator[SandboxOracle]:
    """A sandbox Oracle that has received nothing yet."""
    with SandboxOracle() as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A browser without a screen; ended with its module: other tests have no use for Playwright's event loop."""
    from tests.browser.chromium import started  # noqa: PLC0415  imports Playwright

    with started() as browser:
        yield browser


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Return once the condition holds; the test's own time limit ends a wait in vain."""

    def wait(condition: Callable[[], bool]) -> None:
        while not condition():
            time.sleep(0.05)

    return wait


_COPIES = itertools.count(1)


def _driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
