"""The external GraphQL API as the bridge asks it, over real HTTP: tokens, limits, and what is not there."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from tests.asked_totara import Clock, connection_to
from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.sandbox.totara.http.graphql import PATH, graphql_switches
from totara_bridge.sandbox.totara.http.oauth import PATH as TOKEN_PATH
from totara_bridge.sandbox.totara.http.oauth import tokens
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.site import Fault
from totara_bridge.totara.graphql import GraphqlClient, TokenHolder
from totara_bridge.totara.graphql.answers import TooComplex
from totara_bridge.totara.graphql.client import FieldMissing

STATUS = "query { totara_webapi_status { status } }"
FIELD = "totara_webapi_status"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(totara: Engine, clock: Clock) -> Iterator[SandboxTotara]:
    with SandboxTotara(totara, clock=clock) as running:
        yield running


@pytest.fixture
def client(sandbox: SandboxTotara, clock: Clock) -> Iterator[GraphqlClient]:
    connection = connection_to(sandbox)
    with GraphqlClient(connection, TokenHolder(connection, clock=clock), pause=clock.pause) as asking:
        yield asking


def issued(sandbox: SandboxTotara) -> int:
    return tokens(sandbox.site).issued


def test_a_query_is_answered_with_one_token_for_many(client: GraphqlClient, sandbox: SandboxTotara) -> None:
    for _ in range(3):
        assert client.query(STATUS, {}, field=FIELD) == {"status": "ok"}
    assert issued(sandbox) == 1


def test_a_site_in_maintenance_answers_as_usual(client: GraphqlClient, sandbox: SandboxTotara) -> None:
    sandbox.site.switches.maintenance = True
    assert client.query(STATUS, {}, field=FIELD) == {"status": "ok"}


def test_totaras_time_is_known_from_its_answers(client: GraphqlClient) -> None:
    client.query(STATUS, {}, field=FIELD)
    assert (client.clock or 0) > 1_700_000_000


@pytest.mark.parametrize(("lifetime", "early"), [(86_400, 60), (100, 10)])
def test_a_token_is_renewed_before_it_runs_out(
    client: GraphqlClient, sandbox: SandboxTotara, clock: Clock, lifetime: int, early: int
) -> None:
    graphql_switches(sandbox.site).token_lifetime = lifetime
    client.query(STATUS, {}, field=FIELD)
    clock.now += lifetime - early - 1
    client.query(STATUS, {}, field=FIELD)
    assert issued(sandbox) == 1
    clock.now += 1
    client.query(STATUS, {}, field=FIELD)
    assert issued(sandbox) == 2


def test_a_token_that_is_not_taken_is_replaced_once(client: GraphqlClient, sandbox: SandboxTotara) -> None:
    client.query(STATUS, {}, field=FIELD)
    tokens(sandbox.site).revoke()
    assert client.query(STATUS, {}, field=FIELD) == {"status": "ok"}
    assert issued(sandbox) == 2


def test_a_token_that_is_not_taken_without_a_reason_is_replaced_too(
    client: GraphqlClient, sandbox: SandboxTotara
) -> None:
    graphql_switches(sandbox.site).response_debug = False
    client.query(STATUS, {}, field=FIELD)
    tokens(sandbox.site).revoke()
    assert client.query(STATUS, {}, field=FIELD) == {"status": "ok"}


def test_many_threads_share_one_token_and_one_replacement(sandbox: SandboxTotara) -> None:
    connection = connection_to(sandbox)
    holder = TokenHolder(connection)
    together = threading.Barrier(4)

    def ask(_: int) -> object:
        with GraphqlClient(connection, holder) as client:
            together.wait()
            return client.query(STATUS, {}, field=FIELD)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == [{"status": "ok"}] * 4
        assert issued(sandbox) == 1
        tokens(sandbox.site).revoke()
        assert list(threads.map(ask, range(4))) == [{"status": "ok"}] * 4
    assert issued(sandbox) == 2


def test_a_client_that_is_disabled_gets_no_token(client: GraphqlClient, sandbox: SandboxTotara) -> None:
    client.query(STATUS, {}, field=FIELD)
    graphql_switches(sandbox.site).client_on = False
    with pytest.raises(TotaraRefused, match=r"gives no access token for this API client.*enable the client"):
        client.query(STATUS, {}, field=FIELD)


def test_a_wrong_secret_is_refused_and_not_told(sandbox: SandboxTotara) -> None:
    with (
        GraphqlClient(connection_to(sandbox, api_secret="wr0ng-secret")) as client,
        pytest.raises(TotaraRefused, match='correct "API client ID"') as raised,
    ):
        client.query(STATUS, {}, field=FIELD)
    assert "wr0ng" not in str(raised.value)


def test_a_service_account_that_is_suspended(client: GraphqlClient, sandbox: SandboxTotara) -> None:
    graphql_switches(sandbox.site).service_account_suspended = True
    with pytest.raises(TotaraRefused, match="service account"):
        client.query(STATUS, {}, field=FIELD)


def test_the_feature_is_off(client: GraphqlClient, sandbox: SandboxTotara) -> None:
    graphql_switches(sandbox.site).feature_on = False
    with pytest.raises(TotaraRefused, match="turn on the feature API"):
        client.query(STATUS, {}, field=FIELD)


def test_what_is_not_known_there_is_no_answer(client: GraphqlClient) -> None:
    with pytest.raises(FieldMissing, match="does not know core_course_courses"):
        client.query("query { core_course_courses { items { id } } }", {}, field="core_course_courses")


def test_too_complex_is_told_apart(client: GraphqlClient, sandbox: SandboxTotara) -> None:
    graphql_switches(sandbox.site).maximum_complexity = 20
    with pytest.raises(TooComplex, match="maximum allowed complexity of 20"):
        client.query("query { core_user_users { items { id username } } }", {}, field="core_user_users")


def test_where_too_much_was_asked_it_waits_and_goes_on(
    client: GraphqlClient, sandbox: SandboxTotara, clock: Clock
) -> None:
    graphql_switches(sandbox.site).complexity_per_minute = 1
    client.query(STATUS, {}, field=FIELD)
    assert client.query(STATUS, {}, field=FIELD) == {"status": "ok"}
    assert len(clock.paused) > 1
    assert 60 <= sum(clock.paused) < 300
    assert all(1 <= each <= 60 for each in clock.paused)


def test_as_long_as_it_is_told_it_waits(client: GraphqlClient, sandbox: SandboxTotara, clock: Clock) -> None:
    sandbox.site.faults.put([Fault(status=429, headers=(("Retry-After", "17"),), path=PATH)])
    assert client.query(STATUS, {}, field=FIELD) == {"status": "ok"}
    assert clock.paused == [17]


def test_it_does_not_wait_for_ever(client: GraphqlClient, sandbox: SandboxTotara, clock: Clock) -> None:
    sandbox.site.faults.put([Fault(status=429, path=PATH)] * 1_000)
    with pytest.raises(TotaraUnavailable, match="too many requests"):
        client.query(STATUS, {}, field=FIELD)
    assert sum(clock.paused) <= 300
    sandbox.site.faults.put([Fault(status=429, headers=(("Retry-After", "301"),), path=PATH)])
    with pytest.raises(TotaraUnavailable, match="in 301 s, as it wants"):
        client.query(STATUS, {}, field=FIELD)
    assert sum(clock.paused) <= 300


@pytest.mark.parametrize("path", [PATH, TOKEN_PATH])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503, body="<html>"),
        Fault(status=200, body="<html><title>Maintenance</title>"),
        Fault(close=True),
    ],
    ids=["503", "a page", "hangs up"],
)
def test_trouble_at_the_site_is_for_later(
    client: GraphqlClient, sandbox: SandboxTotara, path: str, fault: Fault
) -> None:
    sandbox.site.faults.put([Fault(**vars(fault) | {"path": path})])
    with pytest.raises(TotaraUnavailable):
        client.query(STATUS, {}, field=FIELD)
    assert client.query(STATUS, {}, field=FIELD) == {"status": "ok"}
