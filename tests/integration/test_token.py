"""One token for all threads, over real sockets: when it is fetched, and what is said when it cannot be."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.bridge import SETTINGS, Bridge, access_to
from totara_bridge.errors import CredentialsRefused, OracleRefused, OracleUnavailable
from totara_bridge.oracle.token import TokenHolder, request_token, shortfall
from totara_bridge.sandbox.loopback import listen
from totara_bridge.sandbox.oracle.server import SandboxOracle

SCOPE = "urn:opc:resource:consumer::all"
RESOURCE = "https://oic.integration.ocp.oraclecloud.com:443"
TOKEN = {"endpoint": "token"}
Wait = Callable[[Callable[[], bool]], None]


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def while_one_asks(work: Callable[[], str], oracle: SandboxOracle, wait_until: Wait) -> list[str]:
    """What eight threads get: the first one's token request hangs until the others all wait for it."""
    asked = oracle.received()["token_requests"]
    with ThreadPoolExecutor(8, thread_name_prefix="asks") as pool:
        results = [pool.submit(outcome_of, work)]
        wait_until(lambda: oracle.received()["token_requests"] > asked)
        results += [pool.submit(outcome_of, work) for _ in range(7)]
        wait_until(lambda: waiting() == 7 or any(each.done() for each in results))
        while not all(each.done() for each in results):
            oracle.release()
        return [each.result() for each in results]


def outcome_of(work: Callable[[], str]) -> str:
    try:
        return work()
    except (OracleUnavailable, OracleRefused) as error:
        return str(error)


def waiting() -> int:
    """How many threads have reached the holder's lock and wait for it."""
    verbs = {TokenHolder.current.__code__, TokenHolder.replace.__code__}
    frames = sys._current_frames()
    them = [frames.get(each.ident or 0) for each in threading.enumerate() if each.name.startswith("asks")]
    return sum(each is not None and each.f_code in verbs and "fetches" in each.f_locals for each in them)


@pytest.mark.parametrize("where", ["basic", "body"])
@pytest.mark.parametrize("scope", ["", SCOPE, f"{SCOPE} urn:opc:resource:expiry=600"])
def test_a_token_is_fetched_once_and_kept(oracle: SandboxOracle, where: str, scope: str) -> None:
    holder = TokenHolder(access_to(oracle, client_authentication=where, scope=scope))
    assert holder.current() == holder.current()
    assert oracle.received()["token_requests"] == 1


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({}, None),
        ({"status": 503, "body": "down for maintenance"}, "down for maintenance"),
        ({"html": True}, "not with JSON"),
        ({"close": "before"}, "the connection broke"),
        ({"status": 401, "body": {"error": "invalid_client"}}, "invalid_client"),
    ],
)
def test_threads_that_wait_for_a_fetch_share_what_comes_of_it(
    oracle: SandboxOracle, wait_until: Wait, action: dict[str, Any], said: str | None
) -> None:
    oracle.faults({"match": TOKEN, "action": {"hang": "before"} | action})
    holder = TokenHolder(access_to(oracle))
    (result,) = set(while_one_asks(holder.current, oracle, wait_until))
    assert oracle.received()["token_requests"] == 1
    if said is None:
        assert holder.current() == result
    else:
        assert said in result
        oracle.faults()
        assert holder.current()


def test_threads_that_wait_for_one_that_is_too_slow_share_its_timeout(
    oracle: SandboxOracle, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once_all_wait(*arguments: Any) -> Any:
        until = time.monotonic() + 20
        while waiting() < 7 and time.monotonic() < until:
            time.sleep(0.01)
        return request_token(*arguments)

    # the time for an answer would run while threads still start
    monkeypatch.setattr("totara_bridge.oracle.token.request_token", once_all_wait)
    oracle.faults({"match": TOKEN, "action": {"hang": "before"}})
    holder = TokenHolder(access_to(oracle, timeout=0.5))
    with ThreadPoolExecutor(8, thread_name_prefix="asks") as pool:
        results = list(pool.map(outcome_of, [holder.current] * 8))
    assert len(set(results)) == 1
    assert "no answer in time" in results[0]
    wait_until(lambda: oracle.received()["token_requests"] > 0)
    assert oracle.received()["token_requests"] == 1


def test_a_refused_token_is_replaced_once_for_all_threads(oracle: SandboxOracle, wait_until: Wait) -> None:
    holder = TokenHolder(access_to(oracle))
    refused = holder.current()
    oracle.faults({"match": TOKEN, "action": {"hang": "before"}})
    (replacement,) = set(while_one_asks(lambda: holder.replace(refused), oracle, wait_until))
    assert replacement != refused
    assert holder.current() == replacement
    assert oracle.received()["token_requests"] == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_the_token_endpoint_asks_for_is_kept(oracle: SandboxOracle, status: int) -> None:
    oracle.faults({"match": TOKEN, "action": {"status": status, "headers": {"Retry-After": "30"}}})
    clock = Clock()
    holder = TokenHolder(access_to(oracle), clock=clock)
    with pytest.raises(OracleUnavailable, match="asked again in 30 s, as it wants") as first:
        holder.current()
    clock.now += 10
    with pytest.raises(OracleUnavailable) as again:
        holder.current()
    assert (first.value.retry_after, again.value.retry_after) == (30, 20)
    assert oracle.received()["token_requests"] == 1
    oracle.faults()
    clock.now += 20
    assert holder.current()


def test_a_drain_leaves_a_token_endpoint_alone_that_asks_for_it(bridge: Bridge, oracle: SandboxOracle) -> None:
    bridge.extract()
    bridge.backfill()
    oracle.faults({"match": TOKEN, "action": {"status": 503, "headers": {"Retry-After": "600"}}})
    settings = SETTINGS.model_copy(update={"batch_size": 2, "requests_in_flight": 4})
    with suppress(OracleUnavailable):  # the breaker may open as well
        bridge.push(oracle, settings=settings)
    bridge.later(minutes=9)
    bridge.push(oracle, settings=settings)
    assert oracle.received()["token_requests"] == 1
    assert {row["attempts"] for row in bridge.rows("SELECT attempts FROM bridge.export_queue")} == {0}
    [state] = bridge.rows("SELECT not_before, reason FROM bridge.destination_state")
    assert state["not_before"] > bridge.now
    oracle.faults()
    bridge.push_later(oracle)
    assert set(bridge.states()) == {"sent"}


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


@pytest.mark.parametrize("granted", ["narrow", "https://other.example:443" + SCOPE, "https://renamed.example/all"])
def test_a_narrower_scope_is_accepted_and_said(
    oracle: SandboxOracle, caplog: pytest.LogCaptureFixture, granted: str
) -> None:
    oracle.settings(granted_scope=granted, scopes=[RESOURCE + SCOPE])
    holder = TokenHolder(access_to(oracle, scope=RESOURCE + SCOPE))
    assert holder.current()
    said = f"the token was issued, but for the scope {granted} and not for {RESOURCE + SCOPE}"
    assert holder.shortfall == said
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert said in record.getMessage()


def test_a_new_token_with_the_whole_scope_lacks_nothing(oracle: SandboxOracle) -> None:
    oracle.settings(granted_scope="narrow")
    holder = TokenHolder(access_to(oracle, scope=SCOPE))
    narrow = holder.current()
    oracle.settings(granted_scope=SCOPE)
    holder.replace(narrow)
    assert holder.shortfall is None


@pytest.mark.parametrize("scope", [SCOPE, RESOURCE + SCOPE])
def test_a_scope_goes_with_and_without_its_resource(oracle: SandboxOracle, scope: str) -> None:
    oracle.settings(scopes=[scope])
    assert TokenHolder(access_to(oracle, scope=scope)).current()


@pytest.mark.parametrize("between", ["/", " ", "//"])
def test_a_scope_with_anything_between_resource_and_urn_is_refused(oracle: SandboxOracle, between: str) -> None:
    oracle.settings(scopes=[RESOURCE + SCOPE])
    with pytest.raises(OracleRefused, match=r"400 \(invalid_scope: .* with nothing between an address and the urn"):
        TokenHolder(access_to(oracle, scope=f"{RESOURCE}{between}{SCOPE}")).current()


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (SCOPE, SCOPE),
        (f"{SCOPE} urn:opc:resource:expiry=600", SCOPE),
        (RESOURCE + SCOPE, SCOPE),
        (SCOPE, RESOURCE + SCOPE),
        (SCOPE, f"{SCOPE} more"),
        (SCOPE, None),
        (SCOPE, ""),
        ("", "some"),
    ],
)
def test_a_scope_that_has_it_all_is_no_news(asked: str, granted: str | None) -> None:
    assert shortfall(asked, granted.split() if granted is not None else None) is None


def test_the_scope_asked_for_is_no_news(oracle: SandboxOracle, caplog: pytest.LogCaptureFixture) -> None:
    oracle.settings(granted_scope=SCOPE)
    assert TokenHolder(access_to(oracle, scope=SCOPE)).current()
    assert not [record for record in caplog.records if record.name.startswith("totara_bridge")]


@pytest.mark.parametrize("where", ["basic", "body"])
def test_a_wrong_secret_is_refused(oracle: SandboxOracle, where: str) -> None:
    holder = TokenHolder(access_to(oracle, client_secret="very-wrong", client_authentication=where))
    with pytest.raises(CredentialsRefused) as refused:
        holder.current()
    for part in (oracle.token_url, "401", "invalid_client", "Client authentication failed", "client secret"):
        assert part in str(refused.value)
    assert "very-wrong" not in str(refused.value)


def test_a_wrong_scope_is_refused(oracle: SandboxOracle) -> None:
    with pytest.raises(CredentialsRefused, match=r"400 \(invalid_scope: .*write the scope 'wrong'"):
        TokenHolder(access_to(oracle, scope="wrong")).current()


def test_a_wrong_address_is_refused(oracle: SandboxOracle) -> None:
    with pytest.raises(OracleRefused, match=r"404 .*check the token URL") as refused:
        TokenHolder(access_to(oracle, token_url=f"{oracle.url}/oauth2/v2/token")).current()
    assert not isinstance(refused.value, CredentialsRefused)


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
        {"status": 429},
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


def test_threads_that_waited_for_a_refusal_get_the_same_kind(oracle: SandboxOracle) -> None:
    holder = TokenHolder(access_to(oracle, client_secret="very-wrong"))
    oracle.faults({"match": TOKEN, "action": {"delay": 0.3}})
    with ThreadPoolExecutor(4) as threads:
        failures = [each.exception() for each in [threads.submit(holder.current) for _ in range(4)]]
    assert {type(each) for each in failures} == {CredentialsRefused}
