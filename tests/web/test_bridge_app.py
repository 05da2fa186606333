"""What Airflow's API server gets of the bridge: closed to everybody without a token, and never in its way."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import psycopg
import pytest
import requests
from fastapi import FastAPI
from sqlalchemy import Engine, text
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.staging_roles import PANEL, address_as
from tests.web.routes import routes
from tests.web.serving import serving
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.staging.migrate import migrate
from totara_bridge.staging.revision import newest_revision
from totara_bridge.web.app import PREFIX, bridge_app
from totara_bridge.web.pull.app import pull_engine

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

#: Looks like one, and was never issued.
UNKNOWN = "tbk_" + "0" * 36

#: What frameworks put there unasked.
PAGES = ("docs", "redoc", "openapi.json", "docs/oauth2-redirect", "static", "static/panel.js", "swagger", "metrics")


def as_airflow_mounts(app: FastAPI) -> FastAPI:
    """A root app that begins and ends what is mounted in it as Airflow's does."""

    @asynccontextmanager
    async def lifespan(root: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for route in root.routes:
                if isinstance(route, Mount) and isinstance(route.app, FastAPI):
                    await stack.enter_async_context(route.app.router.lifespan_context(route.app))
            yield

    root = FastAPI(lifespan=lifespan)
    root.mount(PREFIX, app)
    return root


@contextmanager
def mounted(app: FastAPI) -> Iterator[str]:
    """The address of the Pull API in such a root app."""
    with serving(as_airflow_mounts(app), lifespan="on") as host:
        yield f"{host}{PREFIX}/api/v1"


@pytest.fixture
def host(staging: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An API server with the bridge in it, over an empty staging database."""
    _use(address_as(staging, PANEL), monkeypatch)
    with serving(as_airflow_mounts(bridge_app()), lifespan="on") as address:
        yield address


def test_no_route_answers_without_a_token(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # those of the control panel take Airflow's login instead, see test_panel_access.py
    found = [each for each in routes(bridge_app(), PREFIX) if each[0].startswith(f"{PREFIX}/api/")]
    assert len(found) >= 7
    with requests.Session() as session:
        session.trust_env = False
        for address, methods in found:
            for method in METHODS:
                answer = session.request(method, host + address, timeout=60)
                assert answer.status_code == (401 if method in methods else 405), (method, address)
                assert answer.headers["content-type"] == "application/problem+json"


def test_there_are_no_pages_beside_the_routes(host: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for place in (PREFIX, f"{PREFIX}/api", f"{PREFIX}/api/v1"):
            for page in ("", *PAGES):
                address = f"{host}{place}/{page}"
                answer = session.get(address, allow_redirects=False, timeout=60)
                expected = 401 if address.endswith("/api/v1/openapi.json") else 404
                assert (answer.status_code, answer.headers["content-type"]) == (
                    expected,
                    "application/problem+json",
                ), address


def test_staging_that_is_down_or_of_another_revision_is_told_until_it_is_right(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = "pull_comes_late"
    _use(postgres.dsn(name), monkeypatch)
    app = bridge_app()
    with caplog.at_level(logging.ERROR), mounted(app) as address:
        for _ in range(2):
            assert _asked(address) == (503, "urn:totara-bridge:problem:unavailable", "30")
            assert _asked(address, token="")[0] == 401  # waits for no database
        postgres.ensure_database(name)
        for _ in range(2):
            assert _asked(address) == (503, "urn:totara-bridge:problem:out-of-date", "60")
        migrate(_driver(postgres.dsn(name)))
        assert _asked(address) == (401, "urn:totara-bridge:problem:unauthorized", None)
        with psycopg.connect(postgres.dsn(name)) as connection:  # migrated away under the running server
            connection.execute("ALTER TABLE bridge.api_token RENAME COLUMN sha256 TO digest")
            connection.execute("UPDATE bridge.totara_bridge_alembic_version SET version_num = '9999'")
            connection.execute("UPDATE bridge.compatibility SET oldest_code = '9998'")
        for _ in range(2):
            assert _asked(address) == (503, "urn:totara-bridge:problem:out-of-date", "60")
        with psycopg.connect(postgres.dsn(name)) as connection:
            connection.execute("ALTER TABLE bridge.api_token RENAME COLUMN digest TO sha256")
            connection.execute("UPDATE bridge.totara_bridge_alembic_version SET version_num = %s", [newest_revision()])
        assert _asked(address) == (401, "urn:totara-bridge:problem:unauthorized", None)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 3  # each once
    assert "cannot be reached" in told[0]
    assert "at revision none" in told[1]
    assert "make migrate" in told[1]
    assert "at revision 9999, which only code of revision 9998 and later works with" in told[2]
    postgres.drop_database(name)


@pytest.mark.parametrize("url", [None, "mysql://somewhere", "postgresql://bridge:secret@host:port/bridge"])
def test_a_wrong_address_keeps_no_server_from_starting(
    url: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if url is None:
        monkeypatch.delenv("TOTARA_BRIDGE_DATABASE_URL", raising=False)
    else:
        monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", url)
    with mounted(bridge_app()) as address:
        assert _asked(address) == (503, "urn:totara-bridge:problem:misconfigured", "300")
    assert "TOTARA_BRIDGE_DATABASE_URL" in caplog.text
    assert "secret" not in caplog.text


def test_it_connects_at_the_first_request_and_ends_its_connections(
    staging: Engine, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    _use(address_as(staging, PANEL), monkeypatch)
    with mounted(bridge_app()) as address:
        assert _connections(staging) == 0
        assert _asked(address, token=UNKNOWN)[0] == 401  # looks for it
        assert _connections(staging) >= 1
    wait_until(lambda: _connections(staging) == 0)


class Listening:
    """Middleware that takes down what a log would have of each query, after the answer."""

    def __init__(self, app: ASGIApp, heard: list[bytes]) -> None:
        """Around this app."""
        self._app, self._heard = app, heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self._app(scope, receive, send)
        if scope["type"] == "http":
            self._heard.append(scope["query_string"])


def test_no_query_is_left_for_a_log_wherever_below_the_prefix(staging: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(address_as(staging, PANEL), monkeypatch)
    heard: list[bytes] = []
    root = as_airflow_mounts(bridge_app())
    root.add_middleware(Listening, heard=heard)
    paths = ("/api/v1/completions", "/api/v1/nowhere", "/api/v1", "/api/completions", "/")
    with serving(root, lifespan="on") as host, requests.Session() as session:
        session.trust_env = False
        session.get(f"{host}/elsewhere?of=others", timeout=60)
        for path in paths:
            session.get(f"{host}{PREFIX}{path}?email=learner@example.com", timeout=60)
    assert heard == [b"of=others", *[b""] * len(paths)]


def test_a_statement_takes_a_request_only_so_long(staging: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(address_as(staging, PANEL), monkeypatch)
    engine = pull_engine()
    with engine.connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "20s"
    engine.dispose()


def _asked(address: str, *, token: str = UNKNOWN) -> tuple[int, str, str | None]:
    """The status, the kind of problem, and when to ask again."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{address}/status", headers={"X-Api-Key": token}, timeout=60)
    return answer.status_code, answer.json()["type"], answer.headers.get("retry-after")


def _connections(staging: Engine) -> int:
    """How many there are to the database, but for the tests' own."""
    with staging.connect() as connection:
        return int(
            connection.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'totara-bridge'"
                )
            ).scalar_one()
        )


def _use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", url)


def _driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
