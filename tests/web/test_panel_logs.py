"""The logs, page by page and as CSV: each row is found by what it is, none is lost between pages, few rows are read."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import requests
from sqlalchemy import Engine, text

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.oracle import answers
from totara_bridge.staging.body import Body, keep
from totara_bridge.web.panel.log_words import ACTIONS, OUTCOMES

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
BATCH = "00000000-0000-4000-8000-000000000001"

_MANY = text(
    """
    INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, http_status, outcome)
    SELECT gen_random_uuid(), 'oracle', cast(:start AS timestamptz) + n * interval '1 second', 1, 1, 200, 'sent'
    FROM generate_series(1, :count) n
    """
)

#: Requests, oldest first, a minute apart: destination, status, outcome, error.
SENT: list[tuple[str, int | None, str, str | None]] = [
    ("oracle", 200, "sent", None),
    ("oracle", 207, "partly", None),
    ("second", 200, "sent", None),
    ("oracle", 429, "unavailable", "slow down"),
    ("oracle", 503, "unavailable", "=SUM(A1)"),
    ("second", None, "timeout", "no answer in time (timed out)"),
    ("oracle", 404, "problem", 'it said "no", twice'),
]


@pytest.fixture
def logged(staging: Engine) -> Engine:
    """A database with these requests, numbered from 1."""
    with staging.begin() as transaction:
        for number, (destination, status, outcome, error) in enumerate(SENT):
            transaction.execute(
                text(
                    "INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, http_status, outcome,"
                    " error) VALUES (:batch, :destination, :at, 120, :items, :status, :outcome, :error)"
                ),
                {
                    "batch": BATCH,
                    "destination": destination,
                    "at": START + timedelta(minutes=number),
                    "items": number + 10,
                    "status": status,
                    "outcome": outcome,
                    "error": error,
                },
            )
    return staging


def ids(answer: httpx.Response) -> list[int]:
    """Of the rows of a page."""
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["rows"]]


def test_a_row_says_all_that_is_known(panel: httpx.Client, logged: Engine) -> None:
    page = panel.get("/api/requests", params={"limit": 1}).json()
    assert page["rows"] == [
        {
            "id": 7,
            "at": "2026-03-01T12:06:00.000000+00:00",
            "destination": "oracle",
            "batch": BATCH,
            "items": 16,
            "http_status": 404,
            "outcome": "problem",
            "duration_ms": 120,
            "error": 'it said "no", twice',
            "request_id": None,
            "body_kept": False,
        }
    ]
    assert page["more"] is True
    assert ids(panel.get("/api/requests", params={"limit": 2, "after": page["cursor"]})) == [6, 5]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [7, 6, 5, 4, 3, 2, 1]),
        ({"destination": "second"}, [6, 3]),
        ({"destination": "nowhere"}, []),
        ({"outcome": "sent"}, [3, 1]),
        ({"outcome": ["sent", "timeout"]}, [6, 3, 1]),
        ({"status": "429"}, [4]),
        ({"status": "2xx"}, [3, 2, 1]),
        ({"status": ["5xx", "none"]}, [6, 5]),
        ({"status": ["4xx", "207"], "destination": "oracle"}, [7, 4, 2]),
        ({"since": "2026-03-01T12:04:00Z"}, [7, 6, 5]),
        ({"until": "2026-03-01T12:02:00Z"}, [2, 1]),
        ({"since": "2026-03-01T14:01:00+02:00", "until": "2026-03-01T12:03:00Z"}, [3, 2]),
        ({"since": "2026-03-02"}, []),
    ],
)
def test_requests_are_found_by_what_they_are(
    looking: httpx.Client, logged: Engine, asked: dict[str, Any], found: list[int]
) -> None:
    answer = looking.get("/api/requests", params=asked)
    assert ids(answer) == found
    assert (answer.json()["more"], answer.json()["cursor"]) == (False, None)
    lines = list(csv.DictReader(io.StringIO(looking.get("/api/requests.csv", params=asked).text)))
    assert [int(line["id"]) for line in lines] == found


def test_pages_follow_each_other_also_within_one_moment(panel: httpx.Client, logged: Engine) -> None:
    with logged.begin() as transaction:
        transaction.execute(text("UPDATE bridge.export_log SET at = :at"), {"at": START})
    seen: list[int] = []
    after = None
    for more in (True, True, False):
        page = panel.get("/api/requests", params={"limit": 3} | ({"after": after} if after else {}))
        seen += ids(page)
        after = page.json()["cursor"]
        assert page.json()["more"] is more
    assert seen == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("address", ["requests", "requests.csv"])
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"status": "abc"},
            "status.0: abc is no HTTP status: write a number such as 429, a class such as 5xx, or none",
        ),
        ({"status": "600"}, "600 is no HTTP status"),
        ({"since": "yesterday"}, "since: it is no time: write it like 2026-01-31T12:00:00Z"),
        ({"until": "2026-03-01T12:00:00"}, "until: it does not say in which zone it is"),
        ({"after": "7"}, "after: it is no place in a log: take the cursor of a page as it is, or leave it out"),
        ({"after": "999999999999999999-1"}, "after: it is no place in a log"),
        ({"limit": "0"}, "limit: Input should be greater than or equal to 1"),
        ({"destination": "a\0"}, "destination: "),
        ({"colour": "red"}, "colour: "),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    panel: httpx.Client, address: str, asked: dict[str, str], words: str
) -> None:
    refused = panel.get(f"/api/{address}", params=asked)
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
    assert words in refused.json()["detail"]


def test_a_request_is_shown_with_what_was_kept_of_it(looking: httpx.Client, logged: Engine) -> None:
    with logged.begin() as transaction:
        keep(transaction, Body('{"items":[]}', '{"results":[]}'), log_id=2, destination="oracle", at=START)
    shown = looking.get("/api/requests/2").json()
    assert shown["body"] == {"request": '{"items":[]}', "answer": '{"results":[]}'}
    assert (shown["items"], shown["http_status"]) == (11, 207)
    assert shown["means"] == "Some of its items were stored; each item has its own result."
    assert looking.get("/api/requests/1").json()["body"] is None
    assert [row["id"] for row in looking.get("/api/requests").json()["rows"] if row["body_kept"]] == [2]


def test_a_request_that_is_not_there(panel: httpx.Client) -> None:
    gone = panel.get("/api/requests/99")
    assert (gone.status_code, gone.json()["detail"]) == (
        404,
        "There is no request 99 in the log: it may have been purged.",
    )
    for number in ("0", "x", "9223372036854775808"):
        assert panel.get(f"/api/requests/{number}").status_code == 400


def test_the_csv_is_whole_and_no_formula_is_in_it(looking: httpx.Client, logged: Engine) -> None:
    answer = looking.get("/api/requests.csv", params={"since": "2026-03-01T12:03:00Z"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="requests.csv"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.splitlines()[0] == (
        "id,at,destination,batch,items,http_status,outcome,duration_ms,error,request_id,body_kept"
    )
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [line["error"] for line in lines] == [
        'it said "no", twice',
        "no answer in time (timed out)",
        "'=SUM(A1)",
        "slow down",
    ]
    assert lines[1]["http_status"] == ""
    assert lines[0]["at"] == "2026-03-01T12:06:00.000000+00:00"


def test_a_csv_of_many_pieces_has_each_row_once(panel: httpx.Client, staging: Engine) -> None:
    with staging.begin() as transaction:
        transaction.execute(_MANY, {"start": START, "count": 2345})
    lines = list(csv.DictReader(io.StringIO(panel.get("/api/requests.csv", params={"destination": "oracle"}).text)))
    assert [int(line["id"]) for line in lines] == [*range(2345, 0, -1)]


def test_every_outcome_that_is_logged_has_its_words(panel: httpx.Client) -> None:
    assert panel.get("/api/logs").json() == {"outcomes": OUTCOMES, "actions": ACTIONS}
    assert {*_outcomes(), "shadow"} == set(OUTCOMES)


def _outcomes() -> Iterator[str]:
    """What requests can come to: every status with every kind of body, and every failure."""
    results = json.dumps({"results": [{"idempotencyKey": "A", "status": "stored"}]}).encode()
    refused = json.dumps({"results": [{"idempotencyKey": "A", "status": "rejected"}]}).encode()
    for status in range(200, 600):
        for keys in (["A"], ["A", "B"]):
            for body in (b"", b"<html>", results, refused, b'{"error":{"message":"no"}}'):
                reading = answers.read(keys, status, {}, body, endpoint="here")
                if not reading.wants_new_token:
                    yield reading.outcome
    failures = (
        requests.ConnectTimeout(),
        requests.ReadTimeout(),
        requests.ConnectionError(),
        requests.exceptions.SSLError(),
        requests.exceptions.ContentDecodingError(),
        OracleUnavailable("no token"),
        OracleRefused("no token"),
    )
    for failure in failures:
        yield answers.read_failure(["A"], failure, endpoint="here").outcome
