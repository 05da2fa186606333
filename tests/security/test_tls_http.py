"""Every way out over HTTP tells secrets to a server with a good certificate only, also by an authority of one's own."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine

from tests.asked_totara import as_19_1, connection_to
from tests.bridge import access_to
from tests.exporting import connection as to_file
from tests.security.authority import serving_with
from tests.security.tls_front import tls_front
from totara_bridge.errors import BridgeError
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.check import check as check_oracle
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.sandbox.oracle.app import TOKEN_PATH
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara.http import reports
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.totara.report_file import check as check_file
from totara_bridge.totara.source import SourceKind
from totara_bridge.totara.sources import check as check_totara


@dataclass(frozen=True)
class Way:
    """A way out to a server that a front stands before."""

    port: int  #: of the server
    go: Callable[[str], object]  #: to this address; raises a `BridgeError` where it is not reached


def _post(access: OracleAccess) -> None:
    """Send a batch; the token is there already, as of a token endpoint that is another host."""

    class Known(TokenHolder):
        def current(self) -> str:
            return "known"

    with Sender(access, Known(access)) as sender:
        reading = sender.send(["k1"], ['{"idempotencyKey":"k1"}'])
    if reading.status is None:
        raise BridgeError(reading.problem or "no answer")


def _token(oracle: SandboxOracle, _: SandboxTotara) -> Way:
    return Way(oracle.port, lambda url: TokenHolder(replace(access_to(oracle), token_url=url + TOKEN_PATH)).current())


def _completions(oracle: SandboxOracle, _: SandboxTotara) -> Way:
    return Way(oracle.port, lambda url: _post(replace(access_to(oracle), base_url=url)))


def _test_of_oracle(oracle: SandboxOracle, _: SandboxTotara) -> Way:
    return Way(oracle.port, lambda url: check_oracle(replace(access_to(oracle), base_url=url)))


def _web_services(_: SandboxOracle, totara: SandboxTotara) -> Way:
    usual = connection_to(totara, source=SourceKind.WEB_SERVICES, api_token=totara.token, api_client="", api_secret="")
    return Way(totara.port, lambda url: check_totara(replace(usual, server_url=url)))


def _api(_: SandboxOracle, totara: SandboxTotara) -> Way:
    return Way(totara.port, lambda url: check_totara(connection_to(totara, server_url=url)))


def _file(_: SandboxOracle, totara: SandboxTotara) -> Way:
    return Way(totara.port, lambda url: check_file(to_file(url + reports.PATH)))


WAYS: Mapping[str, Callable[[SandboxOracle, SandboxTotara], Way]] = {
    "Oracle's token": _token,
    "Oracle's completions": _completions,
    "the test of an Oracle": _test_of_oracle,
    "Totara's web services": _web_services,
    "Totara's API": _api,
    "a report's file": _file,
}


@pytest.fixture(scope="module")
def servers(postgres: EmbeddedPostgres, totara_template: str) -> Iterator[tuple[SandboxOracle, SandboxTotara]]:
    """An Oracle and a Totara for all the tests."""
    name = "behind_tls"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {totara_template}")
    engine = create_engine(postgres.dsn(name).replace("postgresql:", "postgresql+psycopg:", 1))
    with SandboxOracle() as oracle, SandboxTotara(engine) as totara:
        as_19_1(totara)
        yield oracle, totara
    engine.dispose()
    postgres.drop_database(name)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, servers: tuple[SandboxOracle, SandboxTotara]) -> Way:
    """Each way in its turn."""
    return WAYS[request.param](*servers)


def test_an_authority_of_ones_own_is_believed_once_it_is_named(
    way: Way, good: Path, request: pytest.FixtureRequest
) -> None:
    with tls_front(way.port, serving_with(good)) as front:
        with pytest.raises(BridgeError, match="TLS"):
            way.go(front.url)
        assert front.let_through == 0  # no secret was shown
        request.getfixturevalue("believed")
        way.go(front.url)
        assert front.let_through > 0


def test_a_server_that_is_not_to_be_believed_is_shown_nothing(
    way: Way, bad: Mapping[str, ssl.SSLContext], believed: None
) -> None:
    for wrong, context in bad.items():
        with tls_front(way.port, context) as front:
            with pytest.raises(BridgeError, match="TLS"):
                way.go(front.url)
            assert front.let_through == 0, wrong


def test_loopback_is_not_reached_through_a_proxy_and_tls_1_2_will_do(
    way: Way, good: Path, believed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where nobody listens
    with tls_front(way.port, serving_with(good, newest=ssl.TLSVersion.TLSv1_2)) as front:
        way.go(front.url)
