"""A real Airflow knows both connection types, masks their secrets, and its tasks get checked connections."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import sqlalchemy as sa
from airflow._shared.secrets_masker import should_hide_value_for_key
from airflow.models import Connection
from airflow.providers_manager import ProvidersManager

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.orchestration.oracle_hook import OracleHook
from totara_bridge.orchestration.provider import get_provider_info
from totara_bridge.orchestration.totara_hook import TotaraHook
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara.schema import create
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.totara.query import ReadQuery

# Airflow 3.3's own API server and "Test connection" still go this way.
pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")

_TOTARA: dict[str, Any] = {
    "conn_type": "totara",
    "host": "https://learn.example.com",
    "password": "t0ken",
    "extra": {
        "database_url": "postgresql://reader@db.example.com/totara",
        "database_password": "s3cret-database",
        "timeout_ms": 1500,
        "query": {"course_ids": [7]},
    },
}
_ORACLE: dict[str, Any] = {
    "conn_type": "oracle_completions",
    "host": "https://oracle.example.com",
    "login": "client",
    "password": "s3cret-client",
    "extra": {
        "oauth_url": "https://idcs.example.com/oauth2/v1/token",
        "scope": "urn:x",
        "path": "/learning/completions",
        "timeout_ms": "2500",
        "client_authentication": "body",
    },
}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Keep a connection in the environment as JSON; gives its id."""

    def keep(connection: dict[str, Any], **extra: Any) -> str:
        fields = {**connection["extra"], **extra}
        monkeypatch.setenv("AIRFLOW_CONN_LMS", json.dumps({**connection, "extra": fields}))
        return "lms"

    return keep


@pytest.mark.parametrize(
    ("kind", "name", "fields"),
    [
        (
            "totara",
            "Totara",
            "source database_url database_password table_prefix timeout_ms requests_in_flight recheck_days api_client "
            "api_secret report time_zone days_of is_active is_source is_target query",
        ),
        (
            "oracle_completions",
            "Oracle (completions)",
            "oauth_url scope path timeout_ms client_authentication is_active",
        ),
    ],
)
def test_airflow_lists_the_type_with_its_fields(kind: str, name: str, fields: str) -> None:
    manager = ProvidersManager()
    hook = manager.hooks[kind]
    assert hook is not None
    assert (hook.hook_name, hook.package_name, hook.connection_testable) == (name, "totara-bridge", True)
    widgets = [key for key in manager.connection_form_widgets if key.startswith(f"extra__{kind}__")]
    assert widgets == [f"extra__{kind}__{field}" for field in fields.split()]


def test_reading_the_provider_imports_nothing_heavy() -> None:
    heavy = "{'airflow', 'requests', 'sqlalchemy', 'pydantic'}"
    program = f"import sys, totara_bridge.orchestration.provider; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_the_form_calls_the_standard_fields_what_they_are() -> None:
    behaviours = ProvidersManager().field_behaviours
    assert behaviours["totara"]["relabeling"] == {
        "host": "Server URL",
        "password": "API token",
        "port": "Port (enter 0)",
    }
    assert behaviours["oracle_completions"]["relabeling"] == {
        "host": "Base URL",
        "login": "Client ID",
        "password": "Client secret",
        "port": "Port (enter 0)",
    }


def test_airflow_masks_the_secrets_and_nothing_else() -> None:
    keys = [key for kind in get_provider_info()["connection-types"] for key in kind["conn-fields"]]
    assert [key for key in keys if should_hide_value_for_key(key)] == ["database_password", "api_secret"]


def test_a_task_gets_a_checked_totara_connection(store: Callable[..., str]) -> None:
    connection = TotaraHook(store(_TOTARA)).connection()
    assert connection.database_url.host == "db.example.com"
    assert connection.database_url.password == "s3cret-database"
    assert (connection.server_url, connection.api_token) == ("https://learn.example.com", "t0ken")
    assert (connection.timeout, connection.query) == (1.5, ReadQuery(course_ids=(7,)))


def test_a_task_gets_a_checked_oracle_access(store: Callable[..., str]) -> None:
    access = OracleHook(store(_ORACLE)).access()
    assert access.endpoint == "https://oracle.example.com/learning/completions"
    assert access.token_url == "https://idcs.example.com/oauth2/v1/token"
    assert (access.client_id, access.client_secret, access.scope) == ("client", "s3cret-client", "urn:x")
    assert (access.timeout, access.client_authentication) == (2.5, "body")


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"is_active": False}, "The connection lms is not active, so nothing is read from this Totara: turn"),
        ({"is_active": "false"}, "The connection lms is not active, so nothing is read from this Totara: turn"),
        ({"is_source": False}, "The connection lms is not a source, so nothing is read from this Totara: turn"),
        ({"is_target": True}, 'The connection lms has "Is target" on, but nothing can be written to a Totara yet'),
    ],
)
def test_a_totara_task_stops_with_one_sentence(
    store: Callable[..., str], extra: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        TotaraHook(store(_TOTARA, **extra)).connection()
    assert str(caught.value).startswith(sentence)


def test_an_oracle_task_stops_with_one_sentence(store: Callable[..., str]) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        OracleHook(store(_ORACLE, is_active=False)).access()
    assert str(caught.value) == (
        'The connection lms is not active, so nothing is sent to this Oracle: turn "Is active" on, or take '
        "the destination out of bridge.toml."
    )


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"token_url": "https://x"}, "token_url: Extra inputs are not permitted (known: oauth_url, scope, path"),
        ({"timeout_ms": "soon"}, "timeout_ms: Input should be a valid integer"),
        ({"client_authentication": "post"}, "client_authentication: Input should be 'basic' or 'body'"),
    ],
)
def test_an_oracle_field_that_cannot_be(store: Callable[..., str], extra: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        OracleHook(store(_ORACLE, **extra)).access()
    assert str(caught.value).startswith(f"The connection lms has fields that cannot be: {words}")


def _airflows_test(monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], **extra: Any) -> tuple[bool, str]:
    """What the API server does when "Test" is clicked: the connection under a passing name, as a URI."""
    given = Connection(**{**connection, "conn_id": "abcdef", "extra": json.dumps({**connection["extra"], **extra})})
    monkeypatch.setenv("AIRFLOW_CONN_ABCDEF", given.get_uri())
    passed, said = given.test_connection()
    assert "abcdef" not in said
    return passed, said


@pytest.fixture(scope="module")
def totara(new_database: Callable[[str], str]) -> dict[str, Any]:
    """A connection to the recorded site."""
    address = new_database("totara")
    engine = sa.create_engine(address.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    create(engine)
    seed(engine)
    return {**_TOTARA, "extra": {"database_url": address}}


def test_airflows_test_of_a_totara(monkeypatch: pytest.MonkeyPatch, totara: dict[str, Any]) -> None:
    passed, said = _airflows_test(monkeypatch, totara)
    assert (passed, said.partition(", newest log row")[0]) == (True, "Totara 17.3 (Build: 20230130): 1600 completions")
    passed, said = _airflows_test(monkeypatch, totara, is_source=False)
    assert passed
    assert said.endswith(" It is not active or not a source, so its site's tasks stop.")
    passed, said = _airflows_test(monkeypatch, totara, table_prefix="mdl_", query={"course_ids": [7]})
    assert not passed
    assert said.startswith("No table in the database totara_")
    passed, said = _airflows_test(monkeypatch, totara, is_target=True)
    assert (passed, said) == (
        False,
        'This connection has "Is target" on, but nothing can be written to a Totara yet: turn it off.',
    )


def test_airflows_test_of_an_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    with SandboxOracle() as oracle:
        connection = {
            "conn_type": "oracle_completions",
            "host": oracle.url,
            "login": oracle.client_id,
            "password": oracle.client_secret,
            "extra": {"oauth_url": oracle.token_url, "timeout_ms": 20_000},
        }
        passed, said = _airflows_test(monkeypatch, connection)
        assert (passed, said.partition(" was reached")[0]) == (
            True,
            f"The token from {oracle.token_url} holds 3600 s, and {oracle.url}/completions",
        )
        passed, said = _airflows_test(monkeypatch, connection, is_active="false")
        assert passed
        assert said.endswith(" It is not active, so its destination's tasks stop.")
        passed, said = _airflows_test(monkeypatch, connection, scope="urn:wrong")
        assert not passed
        assert "correct the scope 'urn:wrong'" in said


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything with 200: its address, and what came, headers and all."""
    came: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(f"{self.path}\n{self.headers}")
            body = b'{"access_token": "the-token"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", came
        server.shutdown()
        thread.join()


def test_the_totara_hook_sends_no_field_as_a_header(store: Callable[..., str], listener: tuple[str, list[str]]) -> None:
    address, came = listener
    TotaraHook(store({**_TOTARA, "host": address, "login": "someone"})).run("/x")
    (request,) = came
    assert request.startswith("/x\n")
    assert not [word for word in ("s3cret", "t0ken", "Authorization", "database_url") if word in request]


def test_the_oracle_hook_sends_a_token_and_never_the_secret(
    store: Callable[..., str], listener: tuple[str, list[str]]
) -> None:
    address, came = listener
    OracleHook(store({**_ORACLE, "host": address}, oauth_url=f"{address}/token")).run("/x")
    assert [request.partition("\n")[0] for request in came] == ["/token", "/x"]
    assert "Authorization: Bearer the-token" in came[1]
    assert not [word for word in ("s3cret", "oauth_url", "scope") if word in came[1]]
