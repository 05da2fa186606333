"""What each parameter of completions takes and leaves, and what is said of one that is wrong."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.web.puller import Puller
from tests.web.staged import START, Staged
from totara_bridge.web.problem import Problem
from totara_bridge.web.pull.completions import CompletionsAsked
from totara_bridge.web.pull.parameters import read

ALL = "2000-01-01"


@pytest.fixture
def staged(staging: Engine) -> Staged:
    """Staging without completions."""
    return Staged(staging)


@pytest.mark.parametrize(
    ("asked", "parameter", "words"),
    [
        ({"since": "2026-01-02", "until": "2026-01-01"}, "until", "before since"),
        (
            {"completed_since": "2026-01-02", "completed_until": "2026-01-01"},
            "completed_until",
            "before completed_since",
        ),
        ({"email": "ann work@example.com"}, "email", "write it as %2B"),
    ],
)
def test_what_nothing_can_fulfil_is_refused(puller: Puller, asked: dict[str, str], parameter: str, words: str) -> None:
    answer = puller.get("/completions", **asked)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["parameter"] == parameter
    assert words in error["detail"]


def test_every_cursor_that_is_given_is_taken(staged: Staged, puller: Puller) -> None:
    longest = dict.fromkeys(("username", "email", "idnumber", "course_idnumber"), "é" * 255)
    page = puller.fetch(since=ALL, status="not_started,in_progress,complete,complete_rpl", **longest)
    assert puller.fetch(cursor=page["cursor"])["items"] == []


def found(puller: Puller, **asked: Any) -> list[str]:
    """Which completions there are; the same by a cursor, and as lines."""
    page = puller.fetch(**{"since": ALL} | asked)
    assert page["more"] is False
    lines = puller.get("/completions", accept="text/csv", **{"since": ALL} | asked).text.splitlines()[1:]
    ids = [item["id"] for item in page["items"]]
    assert [line.split(",")[0] for line in lines] == ids
    return ids


#: What is asked for, and which completions that takes of those below.
TAKEN: list[tuple[dict[str, Any], list[str]]] = [
    ({"userid": 3}, ["sbx-3-20", "sbx-3-21", "two-3-20"]),
    ({"userid": 3, "site": "sbx"}, ["sbx-3-20", "sbx-3-21"]),
    ({"userid": 99}, []),
    ({"courseid": 20}, ["sbx-3-20", "sbx-4-20", "two-3-20"]),
    ({"courseid": 20, "userid": 3, "site": "two"}, ["two-3-20"]),
    ({"status": "complete"}, ["sbx-3-20"]),
    ({"status": "complete,complete_rpl"}, ["sbx-3-20", "sbx-3-21"]),
    ({"username": "user3"}, ["sbx-3-20", "sbx-3-21"]),
    ({"username": "User3"}, []),
    ({"username": "user3", "userid": 4}, []),
    ({"username": "user3", "site": "two"}, []),
    ({"email": "uSER3@example.COM"}, ["sbx-3-20", "sbx-3-21"]),
    ({"idnumber": "E-4"}, ["sbx-4-20"]),
    ({"idnumber": "E-4", "username": "user4", "email": "user3@example.com.au"}, ["sbx-4-20"]),
    ({"course_idnumber": "N-21"}, ["sbx-3-21", "two-3-20"]),
    ({"course_idnumber": "N-21", "idnumber": "X"}, ["two-3-20"]),
    ({"course_idnumber": "none"}, []),
    ({"site": "two"}, ["two-3-20"]),
    ({"completed_since": "2026-01-01T12:00:00Z"}, ["sbx-3-20", "sbx-3-21"]),
    ({"completed_since": "2026-01-01T12:00:01Z"}, ["sbx-3-21"]),
    ({"completed_until": "2026-01-02T12:00:00Z"}, ["sbx-3-20"]),
    ({"completed_until": "2026-01-02T12:00:00.000001Z"}, ["sbx-3-20", "sbx-3-21"]),
    ({"completed_since": "2026-01-02", "completed_until": "2026-01-03"}, ["sbx-3-21"]),
    ({"since": "2026-01-01T12:03:00Z"}, ["sbx-4-20", "two-3-20"]),
    ({"since": "2026-01-01T12:03:00.000001Z"}, ["two-3-20"]),
    ({"since": "2026-01-01T13:03:00+01:00", "until": "2026-01-01T13:04+01:00"}, ["sbx-4-20"]),
    ({"until": "2026-01-01T12:02:00Z"}, ["sbx-3-20"]),
    ({"until": "2026-01-01T12:02:00.000001Z"}, ["sbx-3-20", "sbx-3-21"]),
    ({"until": "2026-01-01T12:02:00.000001Z", "userid": 3}, ["sbx-3-20", "sbx-3-21"]),
    ({"until": "2026-01-01T12:02:00.000001Z", "courseid": 21}, ["sbx-3-21"]),
    ({"until": "2001-01-01"}, []),
]


class TestWhatIsTaken:
    @pytest.fixture(autouse=True)
    def completions(self, staged: Staged) -> None:
        """Two learners at one site and one at another, with the same numbers; two courses."""
        staged.learner(3)
        staged.learner(4, email="user3@EXAMPLE.com.au")
        staged.learner(3, site="two", username="other", id_number="X", email="other@example.com")
        staged.course(20)
        staged.course(21)
        staged.course(20, site="two", id_number="N-21")
        staged.completion(3, 20, status="complete", time_completed=START)
        staged.completion(3, 21, status="complete_rpl", time_completed=START + timedelta(days=1))
        staged.completion(4, 20)
        staged.completion(3, 20, site="two", status="not_started")

    def test(self, puller: Puller, subtests: pytest.Subtests) -> None:
        for asked, taken in TAKEN:
            with subtests.test(asked=asked):
                assert found(puller, **asked) == taken

    def test_is_the_same_page_by_page(self, puller: Puller) -> None:
        page = puller.fetch(since=ALL, userid=3, until="2036-01-01", limit=1)
        ids = [page["items"][0]["id"]]
        while page["more"]:
            page = puller.fetch(cursor=page["cursor"], limit=1)
            ids += [item["id"] for item in page["items"]]
        assert ids == ["sbx-3-20", "sbx-3-21", "two-3-20"]

    def test_that_was_acknowledged_by_this_caller_as_it_is_now(self, staged: Staged, puller: Puller) -> None:
        staged.acknowledge(3, 20)
        staged.acknowledge(3, 21, older=True)
        staged.acknowledge(4, 20, caller="lms")
        assert found(puller, acknowledged="true") == ["sbx-3-20"]
        assert found(puller, acknowledged="false") == ["sbx-3-21", "sbx-4-20", "two-3-20"]
        staged.change(3, 20, status="in_progress")
        assert found(puller, acknowledged="true") == []
        assert found(puller, acknowledged="false")[-1] == "sbx-3-20"

    def test_that_changed_in_one_merge_is_together(self, staged: Staged, puller: Puller) -> None:
        at = START + timedelta(hours=5)
        together = [staged.completion(9, course, changed_at=at) for course in range(1, 40)]
        assert found(puller, since=at.isoformat()) == together
        assert found(puller, since=(at + timedelta(microseconds=1)).isoformat()) == []
        assert set(found(puller, until=at.isoformat())) & set(together) == set()

    def test_is_found_by_every_moment(self, staged: Staged, puller: Puller) -> None:
        """Halving finds each boundary, also where numbers are missing between changes."""
        for course in range(30, 60):
            staged.sql("SELECT nextval('bridge.change_seq') FROM generate_series(1, :gap)", gap=course % 7)
            staged.completion(8, course)
        changed = [(item["id"], item["changedAt"]) for item in puller.fetch(since=ALL)["items"]]
        for place, (_, at) in enumerate(changed):
            since = puller.fetch(since=at)["items"]
            assert [item["id"] for item in since] == [each for each, _ in changed[place:]]


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"since": "2026-01-01T12:00:00"}, "zone"),
            ({"since": "2026-01-01T12:00:00 01:00"}, "%2B"),
            ({"since": "yesterday"}, "2026-01-31T12:00:00Z"),
            ({"since": ""}, "2026-01-31T12:00:00Z"),
            ({"until": "2026-02-30"}, "no such time"),
            ({"until": "0001-01-01T00:00:00+05:00"}, "no such time"),
            ({"until": "9999-12-31T23:59:59-05:00"}, "no such time"),
            ({"completed_since": "20260101"}, "no time"),
            ({"completed_until": "2026-01-01T25:00:00Z"}, "no such time"),
            ({"completed_until": "٢٠٢٦-01-01"}, "no time"),
            ({"userid": 2**63}, str(2**63 - 1)),
            ({"userid": 0}, "1"),
            ({"userid": "1_0"}, "whole number"),
            ({"userid": "٣"}, "whole number"),
            ({"courseid": "9" * 5000}, "whole number"),
            ({"courseid": -1}, "1"),
            ({"limit": 0}, "1"),
            ({"limit": 5001}, "5000"),
            ({"limit": -1}, "1"),
            ({"limit": ""}, "whole number"),
            ({"status": ""}, "complete_rpl"),
            ({"status": "complete,done"}, "complete_rpl"),
            ({"status": "complete," * 4 + "complete"}, "complete_rpl"),
            ({"acknowledged": "1"}, "true"),
            ({"username": ""}, "at least 1"),
            ({"email": "\0"}, "NUL"),
            ({"idnumber": "x" * 256}, "255"),
            ({"nothing": "1"}, "no such parameter"),
        ],
        ids=lambda each: str(each)[:60],
    )
    def test_is_said(self, asked: dict[str, Any], words: str) -> None:
        with pytest.raises(Problem) as refused:
            read(CompletionsAsked, [(name, str(value)) for name, value in asked.items()])
        assert refused.value.status == 400
        assert [error["parameter"] for error in refused.value.errors] == [*asked]
        assert words in refused.value.detail

    def test_is_answered(self, staged: Staged, puller: Puller, subtests: pytest.Subtests) -> None:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"limit": 0}, "greater"),
            ({"site": "nowhere"}, "site"),
            ({"userid": [3, 4]}, "once"),
            ({"cursor": "x"}, "cursor"),
            ({"cursor": ""}, "cursor"),
        ]
        for asked, words in wrong:
            with subtests.test(asked=asked):
                answer = puller.get("/completions", **asked)
                assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
                assert [error["parameter"] for error in answer.json()["errors"]] == [*asked]
                assert words in answer.json()["detail"]

    def test_beside_a_cursor(self, staged: Staged, puller: Puller) -> None:
        cursor = puller.fetch(courseid=20)["cursor"]
        answer = puller.get("/completions", cursor=cursor, courseid=20, site="sbx")
        assert answer.status_code == 400
        assert [error["parameter"] for error in answer.json()["errors"]] == ["courseid", "site"]
        assert puller.get("/completions", cursor=cursor, limit=9999).status_code == 400
        assert puller.get("/users", cursor=cursor).status_code == 400
