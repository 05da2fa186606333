"""Each recorded answer of a 17.3's token endpoint and GraphQL API: data, or a sentence with cause and remedy."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from totara_bridge.errors import Permanent, TotaraRefused, TotaraUnavailable, Transient
from totara_bridge.hidden import Hidden
from totara_bridge.totara.graphql.answers import TokenUnknown, TooComplex, TooOften, data_of, token_of
from totara_bridge.totara.http import Answer

RECORDED = Path(__file__).parents[1] / "recorded" / "graphql"
PLACE = "https://learn.example.com/api/graphql.php"
SECRET = "s3cr3t/of-the-client"
HIDDEN = Hidden(frozenset({SECRET}))

#: What an answer means: the class, the cause and the remedy, as the sentence names them.
MEANINGS: dict[str, tuple[type[Exception], str, str]] = {
    "graphql_error_api_disabled": (TotaraRefused, "its API is off", "turn on the feature"),
    "graphql_error_bad_token": (TokenUnknown, "does not take the access token", "API client is enabled"),
    "graphql_error_client_disabled": (TokenUnknown, "does not take the access token", "API client is enabled"),
    "graphql_error_badcursor": (TotaraRefused, "Invalid cursor given", "choose another source"),
    "graphql_error_complexity": (TooComplex, "maximum allowed complexity of 100", "raise the maximum query complexity"),
    "graphql_error_depth": (TotaraRefused, "should be 15 but got 23", "raise the maximum query depth"),
    "graphql_error_get": (TotaraRefused, "only POST method is allowed", 'correct "Server URL"'),
    "graphql_error_introspection_disabled": (TotaraRefused, "does not tell what it can be asked", "nothing is to be"),
    "graphql_error_invalid_json": (TotaraRefused, "did not get the request as it was sent", 'correct "Server URL"'),
    "graphql_error_no_auth": (TotaraRefused, "was not shown the Authorization header", "pass it on to PHP"),
    "graphql_error_rate_limit_429": (TooOften, "more than it allows in a minute", "raise the rate limits"),
    "graphql_error_service_account_suspended": (TotaraRefused, "service account in", "not suspended, deleted, a guest"),
    "graphql_error_sort_column": (TotaraRefused, "sort field must be one of these", "choose another source"),
    "graphql_error_syntax": (TotaraRefused, "Expected Name, found <EOF>", "choose another source"),
    "graphql_error_variable_type": (TotaraRefused, "got invalid value", "choose another source"),
    "graphql_create_user_duplicate": (TotaraRefused, "Username already exists", "may read what is asked"),
    "graphql_selfcomplete_mutation": (TotaraRefused, "not accessible", "give the account the capability"),
    "graphql_update_user_notfound": (TotaraRefused, "", "may read what is asked"),
    "oauth2_token_error_bad_grant": (TotaraRefused, "unsupported_grant_type", 'correct "Server URL"'),
    "oauth2_token_error_bad_secret": (TotaraRefused, "invalid_client", 'correct "API client ID"'),
    "oauth2_token_error_client_disabled": (TotaraRefused, "invalid_client", "enable the client"),
    "oauth2_token_error_missing": (TotaraRefused, "Check the `client_id` parameter", 'correct "Server URL"'),
    "oauth2_token_get": (TotaraRefused, "unsupported_grant_type", 'correct "Server URL"'),
    "oauth2_token_json_body": (TotaraRefused, "unsupported_grant_type", 'correct "Server URL"'),
}
#: What is no error: data, or a token.
GOOD = {
    "graphql_core_user_users_by_id_offset",
    "graphql_core_user_users_lastpage",
    "graphql_core_user_users_limit_10000",
    "graphql_core_user_users_limit_500",
    "graphql_core_user_users_page1",
    "graphql_core_user_users_page2",
    "graphql_batch_two_queries",
    "graphql_create_user",
    "graphql_delete_user",
    "graphql_error_maintenance",  # a site in maintenance answers as usual
    "graphql_job_assignments",
    "graphql_status",
    "graphql_unknown_argument",
    "graphql_unknown_subfield",
    "graphql_update_user",
    "oauth2_token_basic_auth",
    "oauth2_token_ok",
}
#: A list, as nothing of what was asked is known: no error, and no answer either.
NOTHING = {"graphql_course_unreachable"}
#: A list of answers: the bridge never sends a list of queries.
NEVER_ASKED = {"graphql_http_batch"}


def recorded(name: str) -> Answer:
    response = json.loads((RECORDED / f"{name}.json").read_text())["response"]
    body = json.dumps(response["json"]).encode()
    return Answer(response["status"], response["headers"]["Content-Type"], body, None, None)


def meaning_of(answer: Answer, *, token: bool = False) -> Any:
    return token_of(answer, PLACE, HIDDEN) if token else data_of(answer, PLACE, HIDDEN)


def test_no_recorded_answer_is_left_out() -> None:
    files = {path.stem for kind in ("graphql", "oauth2") for path in RECORDED.glob(f"{kind}_*.json")}
    assert files == MEANINGS.keys() | GOOD | NOTHING | NEVER_ASKED


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_an_error_is_a_sentence_with_its_cause_and_a_remedy(name: str) -> None:
    kind, cause, remedy = MEANINGS[name]
    with pytest.raises(kind) as raised:
        meaning_of(recorded(name), token=name.startswith("oauth2"))
    said = str(raised.value)
    assert said.startswith(PLACE)
    assert cause in said
    assert remedy in said.partition(cause)[2] if cause else remedy in said
    assert said.endswith(".")
    assert isinstance(raised.value, Transient if kind is TooOften else Permanent)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_is_no_error_is_given(name: str) -> None:
    if name.startswith("oauth2"):
        assert token_of(recorded(name), PLACE, HIDDEN) == ("<access_token>", 86_400.0)
    else:
        data = data_of(recorded(name), PLACE, HIDDEN)
        assert isinstance(data, dict)
        assert data


def test_what_is_not_known_there_is_an_empty_list() -> None:
    (name,) = NOTHING
    assert data_of(recorded(name), PLACE, HIDDEN) == []


def bare(**error: Any) -> Answer:
    """What a Totara says whose response debug is off."""
    errors = [{"message": "Internal server error", "extensions": {"category": "internal"}, **error}]
    body = json.dumps({"errors": errors, "error": "Internal server error"}).encode()
    return Answer(200, "application/json", body, None, None)


def test_an_error_without_a_reason_may_be_the_token() -> None:
    with pytest.raises(TokenUnknown, match="response debug to Normal"):
        data_of(bare(), PLACE, HIDDEN)


def test_a_field_that_fails_without_a_reason_is_tried_again() -> None:
    with pytest.raises(TotaraUnavailable, match="response debug to Normal"):
        data_of(bare(path=["core_user_users"]), PLACE, HIDDEN)


def test_a_database_in_trouble_is_tried_again() -> None:
    with pytest.raises(TotaraUnavailable, match="Error reading from database"):
        data_of(bare(debugMessage="Error reading from database", path=["core_user_users"]), PLACE, HIDDEN)


def test_part_of_the_data_is_not_taken_for_all_of_it() -> None:
    error = {"message": "Internal server error", "debugMessage": "no such thing", "path": ["core_user_users"]}
    body = json.dumps({"data": {"core_user_users": {"items": []}}, "errors": [error]}).encode()
    with pytest.raises(TotaraRefused, match="no such thing"):
        data_of(Answer(200, "application/json", body, None, None), PLACE, HIDDEN)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>Site in maintenance</title></html>",
        b'{"data":{"core_user_users":{"items":[{"id"',
        b"[" * 100_000,
        b"null",
    ],
    ids=["empty", "a page", "cut", "deep", "null"],
)
@pytest.mark.parametrize("token", [True, False])
def test_an_answer_that_is_no_json_object_may_be_one_later(body: bytes, token: bool) -> None:
    with pytest.raises(TotaraUnavailable, match="not with JSON") as raised:
        meaning_of(Answer(200, "text/html", body, None, None), token=token)
    assert "<" not in str(raised.value)
    if b"maintenance" in body:
        assert "(Site in maintenance)" in str(raised.value)


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_kept_out_without_a_word_is_told_whom_to_ask(status: int) -> None:
    with pytest.raises(TotaraRefused, match=f"answered {status} and says no more.*let this machine's address in"):
        data_of(Answer(status, "text/html", b"", None, None), PLACE, HIDDEN)


@pytest.mark.parametrize("document", [{}, {"error": None}, {"access_token": "a b", "expires_in": 5}, {"data": 3}])
def test_a_token_that_is_none_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(TotaraRefused, match="refuses"):
        token_of(Answer(200, "text/html", json.dumps(document).encode(), None, None), PLACE, HIDDEN)


def test_words_that_are_shown_are_short_and_hold_no_token() -> None:
    said = f"no\n\x1b[31m Bearer eyJhbGciOi.{'x' * 50}.sig {'long ' * 200}"
    with pytest.raises(TotaraRefused) as raised:
        data_of(bare(debugMessage=said), PLACE, HIDDEN)
    assert "eyJ" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize(
    "before", ["", "Bearer ", "x" * 290 + " ", " " * 1_190 + "x "], ids=["", "bearer", "cut", "long"]
)
@pytest.mark.parametrize("said", [SECRET, SECRET.replace("/", "%2F"), SECRET.replace("/", "&#47;"), SECRET.upper()])
def test_words_that_repeat_a_secret_show_no_part_of_it(said: str, before: str) -> None:
    page = f"<title>{before}{said} is wrong</title>".encode()
    wrong = json.dumps({"error": "invalid_client", "hint": f"{before}{said} is wrong"}).encode()
    for answer, token in (
        (bare(debugMessage=f"{before}{said} is wrong"), False),
        (Answer(200, "text/html", page, None, None), False),
        (Answer(200, said, b"no page", None, None), True),
        (Answer(401, "application/json", wrong, None, None), True),
    ):
        with pytest.raises((TotaraRefused, TotaraUnavailable)) as raised:
            meaning_of(answer, token=token)
        assert not re.search("s3c|the-client", str(raised.value), re.IGNORECASE)
