"""The feeds of learners and courses: who and what there is, what it is called now, and who is gone."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from requests.utils import parse_header_links
from sqlalchemy import Connection, text

from tests.bridge import SITE, Bridge
from tests.web.puller import Puller
from totara_bridge.erase import erase
from totara_bridge.staging import pull, pull_directory
from totara_bridge.staging.pull_directory import COURSES, USERS, CourseFilter, UserFilter
from totara_bridge.staging.pull_form import Form

pytestmark = pytest.mark.staging("has_read")


@pytest.fixture
def staged(bridge: Bridge) -> Bridge:
    """A bridge that has read its Totara."""
    return bridge


def extract(bridge: Bridge) -> None:
    """Later, all of it."""
    bridge.later(minutes=1)
    bridge.full_compare()


def pages(puller: Puller, path: str, **first: Any) -> Iterator[dict[str, Any]]:
    """Each page until there is no more now."""
    page = puller.fetch(path, **first)
    yield page
    while page["more"]:
        page = puller.fetch(path, cursor=page["cursor"], limit=first.get("limit"))
        yield page


def items(puller: Puller, path: str, **first: Any) -> list[dict[str, Any]]:
    return [item for page in pages(puller, path, **first) for item in page["items"]]


def end(puller: Puller, path: str) -> str:
    """The cursor behind everything that there is now."""
    *_, last = pages(puller, path, limit=5000)
    return str(last["cursor"])


def news(puller: Puller, path: str, cursor: str) -> list[dict[str, Any]]:
    """What was changed since then."""
    return items(puller, path, cursor=cursor)


def completion_news(puller: Puller, cursor: str) -> list[str]:
    return [item["id"] for item in items(puller, "/completions", cursor=cursor)]


@pytest.mark.parametrize(("path", "table"), [("/users", "learner"), ("/courses", "course")])
@pytest.mark.parametrize("limit", [1, 7, 500])
def test_all_are_there_once_in_the_order_of_their_versions(
    staged: Bridge, puller: Puller, path: str, table: str, limit: int
) -> None:
    with staged.staging.begin() as transaction:
        transaction.execute(text("DELETE FROM bridge.learner WHERE deleted_at IS NOT NULL"))
    [expected] = staged.rows(f"SELECT array_agg(change_seq ORDER BY change_seq) AS all_of_them FROM bridge.{table}")
    if limit == 1:  # a page for each takes long: the last few
        behind = expected["all_of_them"][-5]
        with staged.staging.begin() as transaction:
            transaction.execute(text(f"DELETE FROM bridge.{table} WHERE change_seq <= :it"), {"it": behind})
        expected["all_of_them"] = expected["all_of_them"][-4:]
    found = list(pages(puller, path, limit=limit))
    assert [item["version"] for page in found for item in page["items"]] == expected["all_of_them"]
    assert all(len(page["items"]) <= limit for page in found)
    assert len({item["id"] for page in found for item in page["items"]}) == len(expected["all_of_them"])


def test_what_a_user_is(staged: Bridge, puller: Puller) -> None:
    user = staged.totara.new_user(
        username="zoe.lukasik", firstname="Zoë", lastname='O"Łukasik', email="Zoe@Example.test", idnumber="E-77"
    )
    staged.totara.enrol(user, staged.totara.courses()[0])
    staged.totara.suspend_user(user)
    extract(staged)
    [found] = puller.fetch("/users", userid=user)["items"]
    [row] = staged.rows("SELECT change_seq, changed_at FROM bridge.learner WHERE user_id = :user", user=user)
    assert datetime.fromisoformat(found["changedAt"]) == row["changed_at"]
    assert found == {
        "id": f"sbx-{user}",
        "version": row["change_seq"],
        "site": "sbx",
        "userId": user,
        "username": "zoe.lukasik",
        "idnumber": "E-77",
        "email": "Zoe@Example.test",
        "firstname": "Zoë",
        "lastname": 'O"Łukasik',
        "suspended": True,
        "deleted": False,
        "erased": False,
        "changedAt": found["changedAt"],
    }


def test_what_a_course_is(staged: Bridge, puller: Puller) -> None:
    course = staged.totara.new_course(shortname="FIRE", idnumber="CRS-F", fullname="Fire & “safety”", visible=0)
    staged.totara.enrol(staged.totara.learners()[0], course)
    extract(staged)
    [found] = puller.fetch("/courses", courseid=course)["items"]
    [row] = staged.rows("SELECT change_seq, changed_at FROM bridge.course WHERE course_id = :it", it=course)
    assert datetime.fromisoformat(found["changedAt"]) == row["changed_at"]
    assert found == {
        "id": f"sbx-{course}",
        "version": row["change_seq"],
        "site": "sbx",
        "courseId": course,
        "shortname": "FIRE",
        "idnumber": "CRS-F",
        "fullname": "Fire & “safety”",
        "categoryId": 1,
        "visible": False,
        "changedAt": found["changedAt"],
    }


def test_another_name_moves_the_learner_and_no_completion(staged: Bridge, puller: Puller) -> None:
    (user, course) = staged.totara.pair_with(status=50)
    users, courses, done = end(puller, "/users"), end(puller, "/courses"), end(puller, "/completions")
    staged.totara.rename_user(user, "Newman")
    extract(staged)
    assert [(each["userId"], each["lastname"]) for each in news(puller, "/users", users)] == [(user, "Newman")]
    assert news(puller, "/courses", courses) == []
    assert completion_news(puller, done) == []
    item = puller.fetch(f"/completions/{SITE}-{user}-{course}")
    assert item["user"]["lastname"] == "Newman"  # whoever fetches it for another reason gets the new one


def test_another_name_moves_the_course_and_no_completion(staged: Bridge, puller: Puller) -> None:
    (_, course) = staged.totara.pair_with(status=50)
    users, courses, done = end(puller, "/users"), end(puller, "/courses"), end(puller, "/completions")
    staged.totara.move_course(course, category=staged.totara.new_category())
    extract(staged)
    assert [each["courseId"] for each in news(puller, "/courses", courses)] == [course]
    assert (news(puller, "/users", users), completion_news(puller, done)) == ([], [])


def test_what_changes_between_two_pages_comes_again(staged: Bridge, puller: Puller) -> None:
    first = puller.fetch("/users", limit=2)
    staged.totara.rename_user(first["items"][0]["userId"], "Newman")
    extract(staged)
    rest = items(puller, "/users", cursor=first["cursor"])
    assert [each["id"] for each in rest].count(first["items"][0]["id"]) == 1
    assert rest[-1]["lastname"] == "Newman"


def test_who_is_deleted_is_told_to_those_who_have_a_cursor_with_the_name_as_last_known(
    staged: Bridge, puller: Puller
) -> None:
    (user, _) = staged.totara.pair_with(status=50)
    [before] = puller.fetch("/users", userid=user)["items"]
    cursor = end(puller, "/users")
    staged.totara.delete_user(user)
    extract(staged)
    [told] = news(puller, "/users", cursor)
    assert told == before | {"deleted": True, "version": told["version"], "changedAt": told["changedAt"]}
    assert told["version"] > before["version"]
    page = puller.fetch("/users", userid=user)
    assert page["items"] == []
    assert user not in {each["userId"] for each in next(pages(puller, "/users", limit=5000))["items"]}
    assert puller.fetch("/users", username=before["username"])["items"] == []


def test_who_is_erased_is_told_without_any_name_in_the_order_of_changes(staged: Bridge, puller: Puller) -> None:
    pairs = [staged.totara.pair_with(status=50, nth=n) for n in range(9)]
    gone, before, after = list(dict.fromkeys(user for user, _ in pairs))[:3]
    [known] = puller.fetch("/users", userid=gone)["items"]
    cursor, narrowed = end(puller, "/users"), puller.fetch("/users", userid=gone)["cursor"]
    by_name = puller.fetch("/users", username=known["username"])["cursor"]
    staged.totara.rename_user(before, "Before")
    extract(staged)
    erase(staged.staging, site=SITE, user_id=gone, by="ann", dry_run=False, now=staged.now)
    staged.totara.rename_user(after, "After")
    extract(staged)

    found = news(puller, "/users", cursor)
    assert [each["userId"] for each in found] == [before, gone, after]
    erased = {
        "id": f"sbx-{gone}", "version": found[1]["version"], "site": "sbx", "userId": gone,
        "username": None, "idnumber": None, "email": None, "firstname": None, "lastname": None,
        "suspended": False, "deleted": True, "erased": True, "changedAt": found[1]["changedAt"],
    }  # fmt: skip
    assert found[1] == erased
    assert news(puller, "/users", narrowed) == [found[1]]
    assert news(puller, "/users", by_name) == [found[1]]  # nobody knows any more that it was they who were called so
    assert puller.fetch("/users", userid=gone)["items"] == []
    for name in ("username", "idnumber", "email"):
        assert puller.fetch("/users", **{name: known[name]})["items"] == []
    # extracts bring nobody back, and an erasure that is asked for again tells nobody anything
    cursor = end(puller, "/users")
    erase(staged.staging, site=SITE, user_id=gone, by="ann", dry_run=False, now=staged.now)
    extract(staged)
    assert news(puller, "/users", cursor) == []


@pytest.fixture
def people(staged: Bridge) -> None:
    """Three learners and three courses of two sites: whoever is asked for, another one must not come."""
    said = """
        INSERT INTO bridge.site (code, connection, fingerprint, first_seen_at) VALUES ('oth', 'other', 7, now());
        INSERT INTO bridge.learner (site, user_id, username, id_number, email, first_name, last_name, suspended,
                                    changed_at)
        VALUES ('oth', 900001, 'same', 'N-1', 'Same@Example.TEST', 'A', 'B', false, now()),
               ('sbx', 900001, 'same', 'N-1', 'same@example.test', 'A', 'B', false, now()),
               ('sbx', 900002, 'Same', 'n-1', 'same@example.test.au', 'A', 'B', false, now());
        INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible, changed_at)
        VALUES ('oth', 900001, 1, 'S', 'C-1', 'F', true, now()), ('sbx', 900001, 1, 'S', 'C-1', 'F', true, now()),
               ('sbx', 900002, 1, 'S', 'c-1', 'F', true, now())
    """
    with staged.staging.begin() as transaction:
        for statement in said.split(";"):
            transaction.execute(text(statement))


@pytest.mark.parametrize(
    ("path", "asked", "expected"),
    [
        ("/users", {"userid": 900001}, ["oth-900001", "sbx-900001"]),
        ("/users", {"userid": 900001, "site": "sbx"}, ["sbx-900001"]),
        ("/users", {"site": "oth"}, ["oth-900001"]),
        ("/users", {"username": "same"}, ["oth-900001", "sbx-900001"]),
        ("/users", {"username": "same", "site": "oth"}, ["oth-900001"]),
        ("/users", {"username": "Same"}, ["sbx-900002"]),
        ("/users", {"email": "SAME@example.test"}, ["oth-900001", "sbx-900001"]),
        ("/users", {"email": "same@EXAMPLE.test", "userid": 900001, "site": "sbx"}, ["sbx-900001"]),
        ("/users", {"email": "same@example"}, []),
        ("/users", {"idnumber": "N-1"}, ["oth-900001", "sbx-900001"]),
        ("/users", {"idnumber": "N-1", "username": "Same"}, []),
        ("/users", {"userid": 900003}, []),
        ("/courses", {"courseid": 900001}, ["oth-900001", "sbx-900001"]),
        ("/courses", {"courseid": 900001, "site": "sbx"}, ["sbx-900001"]),
        ("/courses", {"site": "oth"}, ["oth-900001"]),
        ("/courses", {"idnumber": "C-1"}, ["oth-900001", "sbx-900001"]),
        ("/courses", {"idnumber": "C-1", "courseid": 900002}, []),
    ],
)
@pytest.mark.usefixtures("people")
def test_each_parameter_takes_its_own_and_leaves_the_others(
    puller: Puller, path: str, asked: dict[str, Any], expected: list[str]
) -> None:
    for limit in (1, None):
        assert sorted(each["id"] for each in items(puller, path, **asked, limit=limit)) == expected
    # the cursor holds what was asked for
    *_, last = pages(puller, path, **asked)
    assert puller.fetch(path, cursor=last["cursor"])["items"] == []


@pytest.mark.parametrize(
    ("path", "asked", "parameter"),
    [
        ("/users", {"userid": 0}, "userid"),
        ("/users", {"userid": 2**63}, "userid"),
        ("/users", {"courseid": 1}, "courseid"),
        ("/users", {"since": "2026-01-01"}, "since"),
        ("/users", {"email": ""}, "email"),
        ("/users", {"username": "a\0"}, "username"),
        ("/users", {"site": "nowhere"}, "site"),
        ("/users", {"limit": 5001}, "limit"),
        ("/courses", {"limit": 0}, "limit"),
        ("/courses", {"courseid": "x"}, "courseid"),
        ("/courses", {"userid": 1}, "userid"),
        ("/courses", {"site": "nowhere"}, "site"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    puller: Puller, path: str, asked: dict[str, Any], parameter: str
) -> None:
    answer = puller.get(path, **asked)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert [each["parameter"] for each in answer.json()["errors"]] == [parameter]


def test_a_cursor_is_good_for_its_own_feed_only(staged: Bridge, puller: Puller) -> None:
    cursors = {path: end(puller, path) for path in ("/users", "/courses", "/completions")}
    for path in cursors:
        for of, cursor in cursors.items():
            assert puller.get(path, cursor=cursor).status_code == (200 if of == path else 400)


@pytest.mark.parametrize("path", ["/users", "/courses"])
def test_all_forms_say_the_same(staged: Bridge, puller: Puller, path: str) -> None:
    everything = items(puller, path)
    lines = puller.get(path, accept="application/x-ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == everything
    lines.encoding = "utf-8"
    table = puller.get(path, accept="text/csv")
    rows = list(csv.DictReader(io.StringIO(table.content.decode())))
    assert [list(row) for row in rows[:1]] == [list(everything[0])]
    assert [(row["id"], int(row["version"])) for row in rows] == [(each["id"], each["version"]) for each in everything]
    for answer in (lines, table):  # each says where to go on: behind what it told
        [link] = parse_header_links(answer.headers["link"])
        assert link["rel"] == "next"
        behind = puller.session.get(puller.address + path + link["url"], timeout=60)
        assert (behind.json()["items"], behind.json()["more"]) == ([], False)


def test_an_empty_bridge_has_a_cursor_that_goes_on(bridge: Bridge, puller: Puller) -> None:
    with bridge.staging.begin() as transaction:
        transaction.execute(text("TRUNCATE bridge.learner, bridge.course, bridge.watermark"))
    empty = {path: puller.fetch(path) for path in ("/users", "/courses")}
    bridge.extract()
    for path, page in empty.items():
        assert (page["items"], page["more"]) == ([], False)
        with_deletions = items(puller, path, cursor=page["cursor"])
        assert [each for each in with_deletions if not each.get("deleted")] == items(puller, path)


def fill(connection: Connection) -> None:
    """Many learners, and some who were erased."""
    connection.execute(
        text(
            """INSERT INTO bridge.learner (site, user_id, username, id_number, email, first_name, last_name, suspended,
                                           changed_at)
               SELECT 'fil', n, 'u' || n, 'E' || n, 'u' || n || '@example.test', 'A', 'B', false, now()
               FROM generate_series(1, 20000) n"""
        )
    )
    connection.execute(
        text(
            """INSERT INTO bridge.erased_learner (site, user_id, erased_at, erased_by)
               SELECT 'fil', n, now(), 'ann' FROM generate_series(30001, 31000) n"""
        )
    )
    connection.execute(
        text(
            """INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible,
                                          changed_at)
               SELECT 'fil', n, 1, 'S', 'C' || n, 'F', true, now() FROM generate_series(1, 20000) n"""
        )
    )
    connection.execute(text("INSERT INTO bridge.site VALUES ('fil', 'x', 1, now()), ('ano', 'x', 2, now())"))


@pytest.mark.parametrize(
    ("feed", "wanted", "most"),
    [
        (USERS, pull_directory.users(UserFilter()), 300),
        (USERS, pull_directory.users(UserFilter(deletions=False)), 300),
        (USERS, pull_directory.users(UserFilter(user_id=7000)), 100),
        (USERS, pull_directory.users(UserFilter(user_id=30500, site="fil")), 100),
        (USERS, pull_directory.users(UserFilter(username="u7000", deletions=False)), 100),
        (USERS, pull_directory.users(UserFilter(email="U7000@example.test", deletions=False)), 100),
        (USERS, pull_directory.users(UserFilter(id_number="E7000", user_id=7000, deletions=False)), 100),
        (USERS, pull_directory.users(UserFilter(username="u7000")), 300),  # and whoever was erased
        (COURSES, pull_directory.courses(CourseFilter()), 300),
    ],
)
def test_a_page_reads_little_more_than_it_gives(
    staged: Bridge, feed: pull.Feed, wanted: pull.Wanted, most: int
) -> None:
    with staged.staging.begin() as connection:  # the numbers are those of one transaction
        fill(connection)
        connection.execute(text("ANALYZE bridge.learner, bridge.erased_learner, bridge.course, bridge.site"))
        for _ in range(2):
            for _ in range(7):  # PostgreSQL makes another plan after some
                before = blocks(connection)
                page = pull.page(connection, feed, Form.JSON, wanted, after=5000, limit=100)
                assert page.count == (1 if most == 100 else 100)
            assert blocks(connection) - before < most
            connection.execute(text("DISCARD PLANS"))


def blocks(connection: Connection) -> int:
    """How many blocks of our tables were read so far, in this transaction."""
    statement = """
        SELECT sum(pg_stat_get_xact_blocks_fetched(c.oid)) FROM pg_class c
        WHERE c.relnamespace = cast('bridge' AS regnamespace) AND c.relkind IN ('r', 'i')
    """
    return int(connection.execute(text(statement)).scalar_one())


def test_reading_all_learners_to_find_one_would_be_noticed(staged: Bridge) -> None:
    named = pull_directory.users(UserFilter(username="u7000"))
    with staged.staging.begin() as connection:
        fill(connection)
        before = blocks(connection)
        pull.page(connection, USERS, Form.JSON, pull.Wanted(named.conditions, values=named.values), after=0, limit=100)
        assert blocks(connection) - before > 300
