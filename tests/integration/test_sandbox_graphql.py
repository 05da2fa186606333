"""The sandbox's external API as a client meets it: pages and their traps, limits, tokens, live changes."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.graphql_asking import Asking
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.http.oauth import CLIENT_ID, CLIENT_SECRET, PATH, tokens
from totara_bridge.sandbox.totara.http.server import SandboxTotara

NOW = 1_800_000_000.0
STATUS = "{ totara_webapi_status { status } }"
USERS = """query($q: core_user_users_query) {
  core_user_users(query: $q) { total next_cursor items { id } }
}"""
BAD_TOKEN = "Missing, expired or invalid access token. Ensure the Authorization header is set to a valid Bearer token."


class _Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def asking(totara: Engine, clock: _Clock) -> Iterator[Asking]:
    with SandboxTotara(totara, clock=clock) as sandbox, Asking(sandbox) as client:
        yield client


def _pages(asking: Asking, *, column: str = "id", direction: str = "ASC", limit: int = 10) -> list[str]:
    """The ids of all users, as a client gets them that follows the cursor to its end."""
    ids, cursor = list[str](), None
    while cursor != "":
        pagination: dict[str, Any] = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        q = {"pagination": pagination, "sort": [{"column": column, "direction": direction}]}
        page = asking.data(USERS, q=q)["core_user_users"]
        assert page["total"] == 204
        ids += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
    return ids


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_pages_by_id_give_everybody_once(asking: Asking, direction: str) -> None:
    ids = _pages(asking, direction=direction, limit=51)
    assert len(ids) == len(set(ids)) == 204
    assert [int(each) for each in ids] == sorted(map(int, ids), reverse=direction == "DESC")


@pytest.mark.parametrize(("column", "given"), [("timemodified", 24), ("firstname", 159), ("username", 204)])
def test_pages_by_a_column_with_equal_values_lose_users_as_measured(asking: Asking, column: str, given: int) -> None:
    assert len(_pages(asking, column=column)) == given


def test_the_cursor_carries_the_limit(asking: Asking) -> None:
    first = asking.data(USERS, q={"pagination": {"limit": 3}})["core_user_users"]["next_cursor"]
    assert base64.b64decode(first) == b'{"limit":3,"columns":{"id":3}}'
    second = asking.data(USERS, q={"pagination": {"limit": 50, "cursor": first}})["core_user_users"]["items"]
    assert [each["id"] for each in second] == ["4", "5", "6"]


def test_without_a_limit_a_page_has_twenty(asking: Asking) -> None:
    assert len(asking.data(USERS)["core_user_users"]["items"]) == 20


@pytest.mark.parametrize(
    "cursor", ["e30=", base64.b64encode(b'{"limit":3,"columns":{"timemodified":"1"}}').decode(), "bm8=", "é"]
)
def test_a_cursor_that_is_none_of_these_pages_is_an_error(asking: Asking, cursor: str) -> None:
    error = asking.error(USERS, q={"pagination": {"cursor": cursor}})
    assert error["debugMessage"].endswith("Invalid cursor given, expected array encoded as json and base64.")


def test_fields_and_jobs_of_users_come_nested(asking: Asking) -> None:
    query = """{ core_user_users(query: {pagination: {limit: 3}}) { items { id __typename
      custom_fields { shortname data data_type }
      job_assignments { idnumber userid startdate(format: ISO8601) enddate
      organisation { idnumber } position { idnumber } managerja { id } } } } }"""
    guest, _, learner = asking.data(query)["core_user_users"]["items"]
    assert guest == {"id": "1", "__typename": "core_user", "custom_fields": [], "job_assignments": []}
    assert learner["custom_fields"] == [{"shortname": "costcentre", "data": "CC-1", "data_type": "text"}]
    (job,) = learner["job_assignments"]
    assert job == {
        "idnumber": "JA1",
        "userid": "3",
        "startdate": "2020-09-13T13:26:40+0100",
        "enddate": None,
        "organisation": {"idnumber": "ORG1"},
        "position": {"idnumber": "POS1"},
        "managerja": None,
    }


def test_jobs_come_in_pages_and_go_with_their_user(asking: Asking, totara: Engine) -> None:
    query = """query($p: core_pagination_input) { totara_job_job_assignments(query: {pagination: $p}) {
      total next_cursor items { id user { username } } } }"""
    page = asking.data(query, p={"limit": 2})["totara_job_job_assignments"]
    assert page["total"] == 20
    assert page["items"] == [{"id": "1", "user": {"username": "u0001"}}, {"id": "2", "user": {"username": "u0002"}}]
    TotaraActs(totara).delete_user(3)
    rest = asking.data(query, p={"limit": 100, "cursor": page["next_cursor"]})["totara_job_job_assignments"]
    assert rest["total"] == 19


def test_a_change_shows_in_the_next_answer(asking: Asking, totara: Engine) -> None:
    query = "{ core_user_users(query: {pagination: {limit: 3}}) { total items { lastname suspended } } }"
    assert asking.data(query)["core_user_users"]["items"][2]["suspended"] is False
    acts = TotaraActs(totara)
    acts.suspend_user(3)
    acts.rename_user(3, "Ångström")
    acts.new_user()
    answer = asking.data(query)["core_user_users"]
    assert answer["total"] == 205
    assert answer["items"][2] == {"lastname": "Ångström", "suspended": True}


def test_a_report_is_ignored_in_silence_before_it_was_there(asking: Asking) -> None:
    query = "{ totara_reportbuilder_get_report(input: {report_id: 1}) { rows { data } } }"
    assert asking.ask(query).json() == {"data": []}
    assert asking.data(f"{{ a: totara_webapi_status {{ status }} {query[1:]}") == {"a": {"status": "ok"}}


def test_introspection_tells_releases_apart_where_it_is_on(asking: Asking) -> None:
    asking.switches.introspection_on = True
    query = "{ __schema { queryType { name fields { name } } } }"
    before = {each["name"] for each in asking.data(query)["__schema"]["queryType"]["fields"]}
    asking.switches.release = (19, 1)
    since = {each["name"] for each in asking.data(query)["__schema"]["queryType"]["fields"]}
    assert before == {"core_user_users", "totara_job_job_assignments", "totara_webapi_status"}
    assert since - before == {"totara_reportbuilder_get_report"}


def test_complexity_is_one_for_each_field_of_each_row(asking: Asking, clock: _Clock) -> None:
    query = "{ core_user_users(query: {pagination: {limit: 100}}) { items { id username } } }"  # 1 + 1 + 200
    asking.switches.complexity_per_minute = 403
    assert [asking.ask(query).status_code for _ in range(3)] == [200, 200, 429]
    refused = asking.ask(query)
    assert refused.json() == {"errors": [{"message": "Too many requests"}], "error": "Too many requests"}
    assert "Retry-After" not in refused.headers
    clock.now += 60
    assert asking.ask(query).status_code == 200


def test_a_page_can_be_too_large_for_the_complexity_allowed(asking: Asking) -> None:
    names = ["id", *(f"f{number}: firstname" for number in range(29))]
    query = f"query($q: core_user_users_query) {{ core_user_users(query: $q) {{ items {{ {' '.join(names)} }} }} }}"
    answer = asking.ask(query, q={"pagination": {"limit": 204}}).json()
    assert answer["errors"][0]["message"] == "Query complexity exceeded maximum allowed complexity of 6000."
    assert "data" not in answer
    assert len(asking.data(query, q={"pagination": {"limit": 190}})["core_user_users"]["items"]) == 190


def test_a_query_may_be_fifteen_deep(asking: Asking) -> None:
    def nested(levels: int) -> str:
        return f"{{ totara_job_job_assignments {{ items {'{ managerja ' * levels} {{ id }} {'} ' * levels} }} }}"

    assert "totara_job_job_assignments" in asking.data(nested(14))
    assert asking.error(nested(15))["message"] == "Max query depth should be 15 but got 16."


def test_a_token_holds_for_its_lifetime(asking: Asking, clock: _Clock) -> None:
    asking.switches.token_lifetime = 100
    assert asking.data(STATUS)
    clock.now += 99
    assert asking.data(STATUS)
    clock.now += 1
    assert asking.error(STATUS)["debugMessage"] == BAD_TOKEN


def test_tokens_are_revoked_and_counted(asking: Asking) -> None:
    assert asking.data(STATUS)
    tokens(asking.site).revoke()
    assert asking.error(STATUS)["debugMessage"] == BAD_TOKEN
    assert tokens(asking.site).issued == 1


def test_two_tokens_are_never_the_same(asking: Asking) -> None:
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    given = [asking.send("POST", PATH, data=form).json()["access_token"] for _ in range(2)]
    assert given[0] != given[1]
    assert CLIENT_SECRET not in "".join(given)


@pytest.mark.parametrize(
    ("header", "error"),
    [("Basic !!!", "invalid_request"), ("Basic bm9jb2xvbg==", "invalid_client"), ("Bearer x", "invalid_request")],
)
def test_a_header_may_name_no_client_or_one_without_a_secret(asking: Asking, header: str, error: str) -> None:
    form = {"grant_type": "client_credentials"}
    assert asking.send("POST", PATH, data=form, headers={"Authorization": header}).json()["error"] == error


def test_an_internal_error_says_nothing_where_nothing_is_told(asking: Asking) -> None:
    asking.switches.response_debug = False
    error = asking.error('{ core_user_users(query: {sort: [{column: "email"}]}) { total } }')
    assert error["message"] == "Internal server error"
    assert "debugMessage" not in error


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("query($q: core_user_users_query!) { core_user_users(query: $q) { total } }", "was not provided"),
        ("query($q: core_pagination_input) { core_user_users(query: {pagination: $q}) { total } }", None),
        ("{ core_user_users(query: {pagination: {limit: true}}) { total } }", "param_integer"),
        ("{ core_user_users(query: {sort: {column: 3}}) { total } }", "String"),
        ('{ core_user_users(query: {sort: {column: "id", direction: UP}}) { total } }', "core_sort_direction_enum"),
        ("{ core_user_users(query: {sort: {}}) { total } }", "non-nullable type String!"),
        ("{ core_user_users(query: 1) { total } }", "core_user_users_query"),
    ],
)
def test_values_of_other_types_are_internal_errors(asking: Asking, query: str, said: str | None) -> None:
    if said is None:
        assert asking.data(query) == {"core_user_users": {"total": 204}}
    else:
        assert said in asking.error(query)["debugMessage"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"3", b"null", b"[3]", b'"x"'])
def test_a_body_that_asks_for_nothing_is_an_error(asking: Asking, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {asking.token()}"}
    answered = asking.send("POST", "/api/graphql.php", data=body, headers=headers)
    assert answered.status_code == 200
    assert "Invalid request, request cannot be empty" in answered.text
