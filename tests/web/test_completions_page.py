"""Pages of completions over real HTTP: what an item is, and what following the cursor shows."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from requests.utils import parse_header_links
from sqlalchemy import Engine
from starlette.applications import Starlette

from tests.staging_roles import PULL, address_as
from tests.web.puller import Puller
from tests.web.serving import serving
from tests.web.staged import START, Staged
from totara_bridge.web.pull import alone
from totara_bridge.web.pull.app import PREFIX

ALL = "2000-01-01"


@pytest.fixture
def staged(staging: Engine) -> Staged:
    """Staging without completions."""
    return Staged(staging)


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


def pages(puller: Puller, **first: Any) -> Iterator[dict[str, Any]]:
    """Each page until there is no more now."""
    page = puller.fetch(**first)
    yield page
    while page["more"]:
        place = {"cursor": page["cursor"]} | ({"limit": first["limit"]} if "limit" in first else {})
        page = puller.fetch(**place)
        yield page


class TestAnItem:
    def test_has_all_that_is_known(self, staged: Staged, puller: Puller) -> None:
        staged.learner(3, first_name="Zoë", last_name='O"Neil\n', suspended=True)
        staged.course(20)
        staged.completion(
            3, 20, status="complete", progress=100, grade="87.50000", rpl="a \\ certificate",
            time_enrolled=START, time_started=START + timedelta(hours=1), time_completed=START + timedelta(hours=2),
        )  # fmt: skip
        archived = staged.instance(3, 20, archived_at=START, history_id=4)
        current = staged.instance(3, 20, revision=2, ended_at=START)
        staged.acknowledge(3, 20)
        [item] = puller.fetch(since=ALL)["items"]
        assert item == {
            "id": "sbx-3-20",
            "version": 1,
            "site": "sbx",
            "userId": 3,
            "courseId": 20,
            "status": "complete",
            "progress": 100,
            "grade": 87.5,
            "rpl": "a \\ certificate",
            "timeenrolled": "2026-01-01T12:00:00+00:00",
            "timestarted": "2026-01-01T13:00:00+00:00",
            "timecompleted": "2026-01-01T14:00:00+00:00",
            "changedAt": "2026-01-01T12:01:00.000000+00:00",
            "deleted": False,
            "user": {
                "username": "user3",
                "idnumber": "E-3",
                "email": "User3@example.com",
                "firstname": "Zoë",
                "lastname": 'O"Neil\n',
                "suspended": True,
                "deleted": False,
            },
            "course": {"shortname": "C-20", "idnumber": "N-20", "fullname": "Course 20", "categoryId": 5},
            "instances": [
                {
                    "recordKey": archived,
                    "revision": 1,
                    "status": "complete",
                    "timecompleted": "2026-01-01T12:00:00+00:00",
                    "archived": True,
                    "ended": False,
                },
                {
                    "recordKey": current,
                    "revision": 2,
                    "status": "complete",
                    "timecompleted": "2026-01-02T12:00:00+00:00",
                    "archived": False,
                    "ended": True,
                },
            ],
            "acknowledgement": {
                "status": "processed",
                "reference": None,
                "message": None,
                "version": 1,
                "acknowledgedAt": "2026-01-01T12:00:00.000000+00:00",
            },
        }

    def test_of_which_little_is_known_says_so(self, staged: Staged, puller: Puller) -> None:
        staged.completion(2**63 - 1, 2**63 - 1, row_id=1, grade="NaN")
        [item] = puller.fetch(since=ALL)["items"]
        assert item["id"] == f"sbx-{2**63 - 1}-{2**63 - 1}"
        assert item["userId"] == item["courseId"] == 2**63 - 1
        assert [item[name] for name in ("user", "course", "acknowledgement", "grade", "rpl", "progress")] == [None] * 6
        assert item["instances"] == []

    def test_has_no_acknowledgement_of_another_caller(self, staged: Staged, puller: Puller) -> None:
        staged.completion(3, 20)
        staged.acknowledge(3, 20, caller="lms")
        assert puller.fetch(since=ALL)["items"][0]["acknowledgement"] is None

    def test_is_there_by_its_id(self, staged: Staged, puller: Puller) -> None:
        staged.learner(3)
        staged.completion(3, 20)
        staged.completion(3, 21, deleted_at=START)
        listed = puller.fetch(since=ALL)["items"]
        assert [puller.fetch(f"/completions/{item['id']}") for item in listed] == listed
        assert listed[1]["deleted"] is True

    @pytest.mark.parametrize(
        "word",
        ["sbx-3-21", "sbx-4-20", "two-3-20", "sbx-3", "SBX-3-20", f"sbx-{2**63}-20", "sbx-03-20", "%00", "x" * 500],
    )
    def test_is_not_there_by_another(self, staged: Staged, puller: Puller, word: str) -> None:
        staged.completion(3, 20)
        answer = puller.get(f"/completions/{word}")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:totara-bridge:problem:not-found")


class TestFollowing:
    @pytest.mark.parametrize("limit", [1, 7, 500])
    def test_shows_everything_once(self, staged: Staged, puller: Puller, limit: int) -> None:
        made = [staged.completion(user, course) for user in range(1, 6) for course in range(1, 5)]
        assert [each for page in pages(puller, since=ALL, limit=limit) for each in ids(page)] == made

    def test_ends_with_a_cursor_to_go_on_from(self, staged: Staged, puller: Puller) -> None:
        staged.completion(3, 20)
        last = puller.fetch(since=ALL)
        assert last["more"] is False
        nothing = puller.fetch(cursor=last["cursor"])
        assert (nothing["items"], nothing["more"]) == ([], False)
        staged.completion(3, 21)
        assert ids(puller.fetch(cursor=nothing["cursor"])) == ["sbx-3-21"]

    def test_a_full_page_that_is_the_last_knows_it(self, staged: Staged, puller: Puller) -> None:
        staged.completion(3, 20)
        assert puller.fetch(since=ALL, limit=1)["more"] is False

    def test_of_an_empty_bridge(self, staged: Staged, puller: Puller) -> None:
        page = puller.fetch(since=ALL)
        assert (page["items"], page["more"]) == ([], False)
        staged.completion(3, 20)
        assert ids(puller.fetch(cursor=page["cursor"])) == ["sbx-3-20"]

    def test_shows_again_what_changes_between_two_pages(self, staged: Staged, puller: Puller) -> None:
        for course in (1, 2, 3):
            staged.completion(3, course)
        first = puller.fetch(since=ALL, limit=2)
        staged.change(3, 1, status="complete")
        second = puller.fetch(cursor=first["cursor"])
        assert (ids(first), ids(second)) == (["sbx-3-1", "sbx-3-2"], ["sbx-3-3", "sbx-3-1"])
        assert second["items"][1]["version"] > first["items"][0]["version"]

    def test_keeps_to_what_was_asked_for(self, staged: Staged, puller: Puller) -> None:
        staged.completion(3, 20)
        cursor = puller.fetch(since=ALL, courseid=20, status="complete,in_progress")["cursor"]
        staged.completion(3, 21)
        staged.completion(4, 20)
        assert ids(puller.fetch(cursor=cursor)) == ["sbx-4-20"]

    def test_a_page_that_finds_nothing_wanted_costs_the_next_one_nothing(self, staged: Staged, puller: Puller) -> None:
        for course in range(1, 4):
            staged.completion(3, course)
        page = puller.fetch(since=ALL, courseid=99)
        assert (page["items"], page["more"]) == ([], False)
        assert page["cursor"] == puller.fetch(cursor=page["cursor"])["cursor"]

    def test_by_the_link(self, staged: Staged, puller: Puller) -> None:
        made = [staged.completion(3, course) for course in range(1, 6)]
        answer = puller.get("/completions", since=ALL, limit=2)
        found = ids(answer.json())
        while answer.json()["more"]:
            [link] = parse_header_links(answer.headers["Link"])
            assert link["rel"] == "next"
            answer = puller.get("/completions" + link["url"])
            found += ids(answer.json())
        assert found == made

    def test_a_restored_database_asks_to_begin_again(self, staged: Staged, puller: Puller) -> None:
        staged.completion(3, 20)
        cursor = puller.fetch(since=ALL)["cursor"]
        staged.sql("DELETE FROM bridge.completion")
        for accept in ("application/json", "application/x-ndjson", "text/csv"):
            answer = puller.get("/completions", cursor=cursor, accept=accept)
            assert (answer.status_code, answer.json()["type"]) == (410, "urn:totara-bridge:problem:cursor-ahead")
            assert "since" in answer.json()["detail"]

    def test_so_does_one_whose_new_changes_have_reached_the_number_of_the_cursor(
        self, staged: Staged, puller: Puller
    ) -> None:
        for course in range(20, 23):
            staged.completion(3, course)
        cursor = puller.fetch(since=ALL)["cursor"]
        staged.sql("DELETE FROM bridge.completion WHERE course_id > 20")  # a backup had only the first
        [(known,)] = staged.sql("SELECT change_seq FROM bridge.completion")
        staged.sql("SELECT setval('bridge.change_seq', :known)", known=known)
        for course in range(31, 36):
            staged.completion(3, course)
        for accept in ("application/json", "application/x-ndjson", "text/csv"):
            answer = puller.get("/completions", cursor=cursor, accept=accept)
            assert (answer.status_code, answer.json()["type"]) == (410, "urn:totara-bridge:problem:cursor-ahead")

    def test_nothing_that_changes_makes_a_cursor_ahead(self, staged: Staged, puller: Puller) -> None:
        for course in range(20, 23):
            staged.completion(3, course)
        cursors = [puller.fetch(since=ALL, limit=number)["cursor"] for number in (1, 2, 3)]
        for course in (22, 21, 20, 22):
            staged.change(3, course)
            assert all(puller.fetch(cursor=cursor)["items"] for cursor in cursors)


class TestDeletions:
    @pytest.fixture(autouse=True)
    def deletion(self, staged: Staged) -> None:
        """Of two completions one is no more."""
        [(now,)] = staged.sql("SELECT now()")
        staged.completion(3, 20, changed_at=now)
        staged.completion(3, 21, changed_at=now, deleted_at=now)

    def test_are_in_no_first_page(self, puller: Puller) -> None:
        assert ids(puller.fetch()) == ["sbx-3-20"]
        lines = puller.get("/completions", accept="application/x-ndjson").text.splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["sbx-3-20"]

    def test_are_there_since_a_time(self, puller: Puller) -> None:
        assert ids(puller.fetch(since=ALL)) == ["sbx-3-20", "sbx-3-21"]

    def test_are_there_with_a_cursor(self, staged: Staged, puller: Puller) -> None:
        cursor = puller.fetch()["cursor"]
        staged.change(3, 20, deleted_at=START)
        [item] = puller.fetch(cursor=cursor)["items"]
        assert (item["id"], item["deleted"]) == ("sbx-3-20", True)


def test_the_first_page_goes_back_as_far_as_the_setting_says(staged: Staged, puller: Puller) -> None:
    [(now,)] = staged.sql("SELECT now()")
    staged.completion(3, 20, changed_at=now - timedelta(days=31))
    staged.completion(3, 21, changed_at=now - timedelta(days=29))
    staged.completion(3, 22, changed_at=now)
    assert ids(puller.fetch()) == ["sbx-3-21", "sbx-3-22"]
    staged.sql(
        "INSERT INTO bridge.setting (scope, name, value, changed_at, changed_by)"
        """ VALUES ('bridge', 'pull_since', '"P1D"', now(), 'ann')"""
    )
    assert ids(puller.fetch()) == ["sbx-3-22"]


def test_an_answer_comes_compressed_to_whoever_takes_it_so(
    staged: Staged, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [staged.completion(3, course) for course in range(1, 51)]
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address_as(staged.staging, PULL))
    app: Starlette = alone()
    with serving(app, lifespan="on") as host, Puller(host + PREFIX, token) as puller:
        page = puller.get("/completions", since=ALL)
        lines = puller.get("/completions", since=ALL, accept="application/x-ndjson")
        assert page.headers["Content-Encoding"] == lines.headers["Content-Encoding"] == "gzip"
        assert ids(page.json()) == [json.loads(line)["id"] for line in lines.iter_lines()] == made
