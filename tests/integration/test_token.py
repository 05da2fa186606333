"""One token for all threads, over real sockets: when it is fetched, and what is said when it cannot be."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.bridge import access_to
from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.sandbox.oracle.server import SandboxOracle, listen

SCOPE = "urn:opc:resource:consumer::all"
TOKEN = {"endpoint": "token"}


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def all_at_once(threads: int, work: Callable[[], str]) -> list[str]:
    start = threading.Barrier(threads)

    def one() -> str:
        start.wait()
        try:
            return work()
        except OracleUnavailable as error:
            return str(error)

    with ThreadPoolExecutor(threads) as pool:
        return [done.result() for done in [pool.submit(one) for _ in range(threads)]]


@pytest.mark.parametrize("where", ["basic", "body"])
@pytest.mark.parametrize("scope", ["", SCOPE, f"{SCOPE} urn:opc:resource:expiry=600"])
def test_a_token_is_fetched_once_and_kept(oracle: SandboxOracle, where: str, scope: str) -> None:
    holder = TokenHolder(access_to(oracle, client_authentication=where, scope=scope))
    assert holder.current() == holder.current()
    assert oracle.received()["token_requests"] == 1


def test_all_threads_share_one_fetch(oracle: SandboxOracle) -> None:
    oracle.faults({"match": TOKEN, "action": {"delay": 0.2}})
    holder = TokenHolder(access_to(oracle))
    assert len(set(all_at_once(8, holder.current))) == 1
    assert oracle.received()["token_requests"] == 1


def test_all_threads_share_one_failure(oracle: SandboxOracle) -> None:
    oracle.faults({"match": TOKEN, "action": {"delay": 0.5, "status": 503}})
    holder = TokenHolder(access_to(oracle))
    assert len(set(all_at_once(8, holder.current))) == 1
    assert oracle.received()["token_requests"] < 8
    oracle.faults()
    assert holder.current()


def test_it_is_renewed_before_it_expires(oracle: SandboxOracle) -> None:
    clock = Clock()
    holder = TokenHolder(access_to(oracle), clock=clock)
    first = holder.current()
    clock.now += 3539
    assert holder.current() == first
    clock.now += 2
    assert holder.current() != first
    assert oracle.received()["token_requests"] == 2


def test_a_short_life_is_used_for_nine_tenths(oracle: SandboxOracle) -> None:
    oracle.settings(token_lifetime=100)
    clock = Clock()
    holder = TokenHolder(access_to(oracle), clock=clock)
    first = holder.current()
    clock.now += 89
    assert holder.current() == first
    clock.now += 2
    assert holder.current() != first


def test_a_token_without_a_lifetime_is_kept_until_it_is_refused(oracle: SandboxOracle) -> None:
    oracle.settings(tell_lifetime=False)
    clock = Clock()
    holder = TokenHolder(access_to(oracle), clock=clock)
    first = holder.current()
    clock.now += 10_000_000
    assert holder.current() == first
    assert holder.replace(first) != first


def test_a_refused_token_is_replaced_once_for_all_threads(oracle: SandboxOracle) -> None:
    holder = TokenHolder(access_to(oracle))
    refused = holder.current()
    oracle.faults({"match": TOKEN, "action": {"delay": 0.2}})
    (replacement,) = set(all_at_once(8, lambda: holder.replace(refused)))
    assert replacement != refused
    assert holder.current() == replacement
    assert oracle.received()["token_requests"] == 2


@pytest.mark.parametrize("granted", ["narrow", f"{SCOPE} more", "https://renamed.example/all"])
def test_another_scope_is_accepted_and_said(
    oracle: SandboxOracle, caplog: pytest.LogCaptureFixture, granted: str
) -> None:
    oracle.settings(granted_scope=granted)
    assert TokenHolder(access_to(oracle, scope=SCOPE)).current()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert f"granted the scope {granted} instead of {SCOPE}" in record.getMessage()


def test_the_scope_asked_for_is_no_news(oracle: SandboxOracle, caplog: pytest.LogCaptureFixture) -> None:
    oracle.settings(granted_scope=SCOPE)
    assert TokenHolder(access_to(oracle, scope=SCOPE)).current()
    assert not [record for record in caplog.records if record.name.startswith("totara_bridge")]


@pytest.mark.parametrize("where", ["basic", "body"])
def test_a_wrong_secret_is_refused(oracle: SandboxOracle, where: str) -> None:
    holder = TokenHolder(access_to(oracle, client_secret="very-wrong", client_authentication=where))
    with pytest.raises(OracleRefused) as refused:
        holder.current()
    for part in (oracle.token_url, "401", "invalid_client", "Client authentication failed", "client secret"):
        assert part in str(refused.value)
    assert "very-wrong" not in str(refused.value)


def test_a_wrong_scope_is_refused(oracle: SandboxOracle) -> None:
    with pytest.raises(OracleRefused, match=r"400 \(invalid_scope: .*check the client id.*scope"):
        TokenHolder(access_to(oracle, scope="wrong")).current()


def test_a_wrong_address_is_refused(oracle: SandboxOracle) -> None:
    with pytest.raises(OracleRefused, match=r"404 .*check the token URL"):
        TokenHolder(access_to(oracle, token_url=f"{oracle.url}/oauth2/v2/token")).current()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_not_followed(oracle: SandboxOracle, status: int) -> None:
    oracle.faults(
        {"match": TOKEN | {"nth": 1}, "action": {"status": status, "headers": {"Location": oracle.token_url}}}
    )
    with pytest.raises(OracleRefused, match=f"answered {status}"):
        TokenHolder(access_to(oracle)).current()
    assert oracle.received()["token_requests"] == 1


@pytest.mark.parametrize(
    "action",
    [
        {"status": 500},
        {"status": 503, "body": "down for maintenance"},
        {"status": 429, "headers": {"Retry-After": "5"}},
        {"html": True},
        {"close": "before"},
    ],
)
def test_a_token_endpoint_that_cannot_now_is_unavailable(oracle: SandboxOracle, action: dict[str, Any]) -> None:
    oracle.faults({"match": TOKEN | {"next": 1}, "action": action})
    holder = TokenHolder(access_to(oracle))
    with pytest.raises(OracleUnavailable) as unavailable:
        holder.current()
    assert oracle.token_url in str(unavailable.value)
    assert holder.current()


def test_a_token_endpoint_that_hangs_is_unavailable(oracle: SandboxOracle) -> None:
    oracle.faults({"match": TOKEN, "action": {"hang": "before"}})
    with pytest.raises(OracleUnavailable, match="no answer in time"):
        TokenHolder(access_to(oracle, timeout=0.3)).current()


def test_a_token_endpoint_that_is_down_is_unavailable(oracle: SandboxOracle) -> None:
    with listen() as free:
        port = free.getsockname()[1]
    with pytest.raises(OracleUnavailable, match="Connection refused"):
        TokenHolder(access_to(oracle, token_url=f"http://127.0.0.1:{port}/token")).current()


def test_tls_that_fails_is_refused(oracle: SandboxOracle) -> None:
    with pytest.raises(OracleRefused, match="TLS failed"):
        TokenHolder(access_to(oracle, token_url=oracle.token_url.replace("http:", "https:"))).current()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": ""},
        {"access_token": 5},
        {"access_token": "two words"},
        {"access_token": "line\nbreak"},
        {"access_token": "ключ"},
        {"access_token": "fine", "expires_in": "soon"},
        {"error": "server_error"},
    ],
)
def test_an_answer_without_a_usable_token_is_refused(oracle: SandboxOracle, answer: dict[str, Any]) -> None:
    oracle.faults({"match": TOKEN, "action": {"status": 200, "body": answer}})
    with pytest.raises(OracleRefused, match="without a usable access_token"):
        TokenHolder(access_to(oracle)).current()


@pytest.mark.parametrize("where", ["basic", "body"])
def test_nothing_secret_is_said(oracle: SandboxOracle, caplog: pytest.LogCaptureFixture, where: str) -> None:
    caplog.set_level(logging.DEBUG)
    access = access_to(oracle, scope=SCOPE, client_authentication=where)
    holder = TokenHolder(access)
    token = holder.current()
    echo = {"error": "e", "error_description": f"{access.client_secret} " + "x" * 490 + access.client_secret}
    oracle.faults({"match": TOKEN, "action": {"status": 400, "body": echo}})
    with pytest.raises(OracleRefused) as refused:
        holder.replace(token)
    said = [caplog.text, str(refused.value), repr(refused.value), repr(holder), repr(access), repr(vars(holder))]
    for text in said:
        assert token not in text
        assert access.client_secret not in text
    assert refused.value.__cause__ is None
    assert "[secret]" in str(refused.value)
