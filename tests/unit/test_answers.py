"""The table from an answer to verdicts, row by row."""

import json
import ssl
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.oracle import answers
from totara_bridge.oracle.verdict import Outcome, Reading, Verdict
from totara_bridge.printable import CUT

ENDPOINT = "https://oracle.example/completions"
TWO = ("A", "B")
ONE = ("A",)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SENT, FAILED, DEAD, RELEASED = Outcome.SENT, Outcome.FAILED, Outcome.DEAD, Outcome.RELEASED

ADF_ERROR = {
    "title": "Bad Request",
    "status": "400",
    "o:errorDetails": [
        {"detail": "The learner is not known.", "o:errorCode": "WLF-17", "o:errorPath": "/items/0/userId"}
    ],
}


def read(keys: tuple[str, ...], status: int, body: Any = b"", **headers: str) -> Reading:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answers.read(keys, status, named, raw, endpoint=ENDPOINT, now=NOW)


def outcomes(reading: Reading) -> dict[str, Outcome]:
    return {key: verdict.outcome for key, verdict in reading.verdicts.items()}


def attempts(reading: Reading) -> list[str]:
    return [key for key, verdict in reading.verdicts.items() if verdict.counts_attempt]


def result(key: str, status: object, **more: Any) -> dict[str, Any]:
    return {"idempotencyKey": key, "status": status, **more}


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b" \r\n", {}, {"count": 2}, [], {"results": None}, {"error": None}])
def test_2xx_with_an_empty_body_or_json_without_results_is_all_sent(status: int, body: Any) -> None:
    reading = read(TWO, status, body)
    assert outcomes(reading) == {"A": SENT, "B": SENT}
    assert reading.outcome == "sent"
    assert reading.problem is None


@pytest.mark.parametrize("status", [200, 207, 400, 422])
def test_results_decide_each_item(status: int) -> None:
    error = {"code": "WLF-1", "message": "No such course."}
    keys = ("stored", "duplicate", "rejected", "retry", "missing", "odd")
    reading = read(
        keys,
        status,
        {
            "results": [
                result("stored", "stored", reference="OLC1"),
                result("duplicate", "duplicate", reference=77),
                result("rejected", "rejected", error=error),
                result("retry", "retry", error={"message": "Locked."}),
                result("odd", "perhaps"),
                result("never sent", "stored"),
                "no result at all",
            ]
        },
    )
    assert reading.verdicts == {
        "stored": Verdict(SENT, "OLC1"),
        "duplicate": Verdict(SENT, "77"),
        "rejected": Verdict(DEAD, None, "rejected", "WLF-1", "No such course.", counts_attempt=True),
        "retry": Verdict(FAILED, None, "retry", None, "Locked.", counts_attempt=True),
        "missing": Verdict(FAILED, None, "missing", None, "The answer has no result for this item."),
        "odd": Verdict(FAILED, None, "unknown_word", None, "The result has the status perhaps.", counts_attempt=True),
    }
    assert reading.outcome == "partly"


def test_no_item_uses_an_attempt_when_none_of_a_batch_was_sent() -> None:
    reading = read(TWO, 200, {"results": [result("A", "retry"), result("B", "retry")]})
    assert outcomes(reading) == {"A": FAILED, "B": FAILED}
    assert attempts(reading) == []


def test_an_item_alone_uses_an_attempt() -> None:
    assert attempts(read(ONE, 200, {"results": [result("A", "retry")]})) == ["A"]
    assert attempts(read(ONE, 200, {"results": []})) == ["A"]


@pytest.mark.parametrize("words", [("stored", "rejected"), ("rejected", "stored")])
def test_of_two_results_for_one_key_the_positive_one_holds(words: tuple[str, str]) -> None:
    reading = read(ONE, 200, {"results": [result("A", word) for word in words]})
    assert outcomes(reading) == {"A": SENT}


@pytest.mark.parametrize(
    "body",
    [
        b"<html><title>Sign in</title></html>",
        b'{"results":[{"idempotencyKey":"A","sta',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        {"results": "none"},
        {"error": {"code": "X", "message": "Database is down."}},
    ],
)
def test_2xx_with_another_body_is_failed_and_never_sent(body: Any) -> None:
    reading = read(TWO, 200, body)
    assert outcomes(reading) == {"A": FAILED, "B": FAILED}
    assert attempts(reading) == []
    assert reading.problem is None


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_batch_is_released_to_be_split(status: int) -> None:
    reading = read(TWO, status, ADF_ERROR)
    assert outcomes(reading) == {"A": RELEASED, "B": RELEASED}
    assert reading.split
    assert reading.words == "WLF-17: The learner is not known. (/items/0/userId)"
    assert attempts(reading) == []


@pytest.mark.parametrize("status", [400, 422])
def test_an_item_refused_alone_is_dead_with_oracles_words_once_it_is_known_whose_fault_it_is(status: int) -> None:
    reading = read(ONE, status, ADF_ERROR)
    verdict = reading.verdicts["A"]
    assert reading.isolated
    assert (verdict.outcome, verdict.code) == (DEAD, "WLF-17")
    assert verdict.words == "The learner is not known. (/items/0/userId)"


def test_413_releases_a_batch_to_be_split() -> None:
    reading = read(TWO, 413)
    assert outcomes(reading) == {"A": RELEASED, "B": RELEASED}
    assert reading.split
    assert attempts(reading) == []


def test_413_of_an_item_alone_is_dead() -> None:
    reading = read(ONE, 413, b"Too large")
    assert outcomes(reading) == {"A": DEAD}
    assert not reading.split


def test_401_wants_a_new_token_and_uses_no_attempt() -> None:
    reading = read(ONE, 401, {"error": "invalid_token", "error_description": "It expired."})
    assert reading.wants_new_token
    assert outcomes(reading) == {"A": RELEASED}
    assert attempts(reading) == []
    assert reading.problem is None


def test_a_second_401_is_a_destination_problem() -> None:
    first = read(TWO, 401, {"error": "invalid_token"}, X_Request_Id="r1")
    reading = answers.refused_twice(TWO, first, endpoint=ENDPOINT)
    assert outcomes(reading) == {"A": RELEASED, "B": RELEASED}
    assert not reading.wants_new_token
    assert (reading.status, reading.request_id) == (401, "r1")
    assert ENDPOINT in (reading.problem or "")
    assert "invalid_token" in (reading.problem or "")


def test_409_is_failed_without_an_attempt_even_alone() -> None:
    reading = read(ONE, 409)
    assert outcomes(reading) == {"A": FAILED}
    assert reading.outcome == "in_flight"
    assert attempts(reading) == []


@pytest.mark.parametrize("status", [301, 302, 307, 304, 403, 404, 405, 406, 410, 415, 418, 451, 100, 600])
def test_any_other_status_is_a_destination_problem(status: int) -> None:
    reading = read(TWO, status, {"title": "Forbidden", "detail": "No role."})
    assert outcomes(reading) == {"A": RELEASED, "B": RELEASED}
    assert attempts(reading) == []
    for part in (ENDPOINT, str(status), "Forbidden: No role."):
        assert part in (reading.problem or "")


def test_a_redirect_names_its_target_without_the_query() -> None:
    reading = read(ONE, 302, Location="https://sign.in/here?session=s3cret")
    assert "sign.in/here" in (reading.problem or "")
    assert "s3cret" not in (reading.problem or "")
    assert "points to" not in (read(ONE, 302, Location="http://[::1").problem or "")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_destination_that_cannot_now_is_failed(status: int) -> None:
    reading = read(TWO, status, b"try later", Retry_After="17")
    assert outcomes(reading) == {"A": FAILED, "B": FAILED}
    assert reading.verdicts["A"].words == "try later"
    assert reading.retry_after == 17
    assert attempts(reading) == []
    assert reading.problem is None


@pytest.mark.parametrize(("status", "blamed"), [(429, []), (503, []), (500, ["A"]), (504, ["A"])])
def test_an_item_alone_is_blamed_only_where_it_may_be_the_cause(status: int, blamed: list[str]) -> None:
    assert attempts(read(ONE, status)) == blamed


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("99999999999", 86_400.0),
        (format_datetime(datetime(2026, 3, 1, 12, 1, 30, tzinfo=UTC), usegmt=True), 90.0),
        (format_datetime(datetime(2027, 3, 1, tzinfo=UTC), usegmt=True), 86_400.0),
        (format_datetime(datetime(2026, 3, 1, 11, 0, tzinfo=UTC), usegmt=True), None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert read(ONE, 503, Retry_After=value).retry_after == seconds


def test_a_pause_that_the_token_endpoint_asks_for_comes_along() -> None:
    error = OracleUnavailable("No access token now.", retry_after=30)
    assert answers.read_failure(TWO, error, endpoint=ENDPOINT).retry_after == 30


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
def test_a_narrow_scope_is_named_as_the_reason_of_a_refusal_only(status: int) -> None:
    reading = read(ONE, status)
    lacks = "the token was issued, but for the scope A and not for B"
    assert answers.with_shortfall(reading, None) is reading
    with_reason = answers.with_shortfall(reading, lacks)
    if status == 403:
        assert with_reason.problem == f"{reading.problem} The likely reason: {lacks}."
    else:
        assert with_reason is reading


@pytest.mark.parametrize("name", ["Opc-Request-Id", "X-Request-Id", "X-ORACLE-DMS-ECID", "x-oracle-dms-ecid"])
def test_the_request_id_is_read(name: str) -> None:
    reading = answers.read(ONE, 200, {name: "id-1"}, b"", endpoint=ENDPOINT)
    assert reading.request_id == "id-1"


@pytest.mark.parametrize(
    ("error", "outcome", "word", "blamed"),
    [
        (requests.ConnectTimeout(), FAILED, "unreachable", []),
        (requests.exceptions.ProxyError(), FAILED, "unreachable", []),
        (requests.ReadTimeout(), FAILED, "timeout", ["A"]),
        (requests.ConnectionError(ConnectionResetError(104, "Connection reset by peer")), FAILED, "reset", ["A"]),
        (requests.exceptions.ChunkedEncodingError(), FAILED, "reset", ["A"]),
        (requests.exceptions.SSLError(ssl.SSLError(1, "wrong version number")), RELEASED, "problem", []),
        (requests.exceptions.InvalidURL("bad"), RELEASED, "problem", []),
        (OracleUnavailable("No access token: it is down."), FAILED, "token", []),
        (OracleRefused("No access token: wrong secret."), RELEASED, "problem", []),
    ],
)
def test_no_answer(error: Any, outcome: Outcome, word: str, blamed: list[str]) -> None:
    reading = answers.read_failure(ONE, error, endpoint=ENDPOINT)
    assert outcomes(reading) == {"A": outcome}
    assert reading.outcome == word
    assert attempts(reading) == blamed
    assert (reading.problem is not None) == (outcome is RELEASED)
    assert reading.status is None
    assert attempts(answers.read_failure(TWO, error, endpoint=ENDPOINT)) == []


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (ADF_ERROR, "WLF-17", "The learner is not known. (/items/0/userId)"),
        ({"type": "about:blank", "title": "Bad", "detail": "Very."}, None, "Bad: Very."),
        ({"error": {"code": "E1", "message": "No."}}, "E1", "No."),
        ({"error": {"code": 12, "message": "No."}}, "12", "No."),
        ({"error": "invalid_token", "error_description": "Old."}, "invalid_token", "Old."),
        (b"line one\r\nline\x00two\x1b[31m", None, "line one line two [31m"),
        (b"<html><head><title> Bad\ngateway </title></head><body>secret</body></html>", None, "Bad gateway"),
        (b"<html>no title</html>", None, None),
        ({"items": [{"email": "learner@example.com"}]}, None, None),
        (b"", None, None),
        (b"Authorization: Bearer abcdefgh12345678 is bad", None, "Authorization: [credential] is bad"),
    ],
)
def test_oracles_words(body: Any, code: str | None, words: str | None) -> None:
    verdict = read(ONE, 400, body).verdicts["A"]
    assert (verdict.code, verdict.words) == (code, words)


def test_words_are_short() -> None:
    reading = read(ONE, 400, {"error": {"code": "c" * 10_000, "message": "m" * 10_000}})
    verdict = reading.verdicts["A"]
    assert len(verdict.words or "") == 500
    assert len(verdict.code or "") == 500


@pytest.mark.parametrize(
    "text", ["\n" * 1990 + "Maximiliana is unknown", "\r\n\t" * 700 + "Max", "m" * 501, "a " * 2000]
)
def test_words_that_are_not_whole_end_with_a_mark(text: str) -> None:
    words = read(ONE, 500, text.encode()).words or ""
    assert words.endswith(CUT)
    assert len(words) <= 500


@pytest.mark.parametrize("text", ["m" * 500, "m" + " " * 3000, "\n" * 1990 + "m"])
def test_words_that_are_whole_have_no_mark(text: str) -> None:
    assert read(ONE, 500, text.encode()).words == text.strip()


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=50)
    | st.recursive(
        st.none() | st.text(max_size=5) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["results", "idempotencyKey", "status", "error", "o:errorDetails", "detail", "code"]),
                inner | st.sampled_from(["A", "stored", "rejected"]),
                max_size=4,
            )
        ),
        max_leaves=12,
    ).map(lambda document: json.dumps(document).encode()),
    header=st.text(max_size=10),
)
def test_any_answer_gives_every_key_a_verdict(status: int, body: bytes, header: str) -> None:
    reading = answers.read(TWO, status, {"Retry-After": header, "Location": header}, body, endpoint=ENDPOINT)
    assert list(reading.verdicts) == ["A", "B"]
    if status >= 300 and status not in (400, 422):
        assert reading.having(SENT) == []
