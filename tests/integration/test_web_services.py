"""A Totara that is crawled through its web services, over real HTTP, into a real staging database."""

import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from tests.bridge import SITE, Bridge
from tests.crawled_site import ENROLLED, STATUS, CrawledSite, KilledCrawl, crawl, crawled
from tests.forked import Forked
from totara_bridge.extract.run import extract_site
from totara_bridge.sandbox.totara.http.oauth import CLIENT_ID, CLIENT_SECRET
from totara_bridge.sandbox.totara.http.site import Fault
from totara_bridge.sandbox.totara.http.tokens import REST_TOKEN
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.web_services.client import WebServices
from totara_bridge.totara.web_services.enrolments import Enrolments

ALL_COURSES = ReadQuery()


@pytest.fixture
def site(bridge: Bridge) -> Iterator[CrawledSite]:
    with crawled(bridge) as running:
        yield running


def statuses(found: dict[tuple[int, int], str]) -> dict[tuple[int, int], bool]:
    assert set(found.values()) <= {"complete", "not_started"}
    return {pair: status == "complete" for pair, status in found.items()}


def incomplete(site: CrawledSite) -> set[tuple[int, int]]:
    return {pair for pair, complete in site.enrolled().items() if not complete}


def test_a_whole_site_is_staged_and_a_second_crawl_asks_only_about_who_is_not_complete(site: CrawledSite) -> None:
    extracted = site.extract(query=ALL_COURSES)
    enrolled = site.enrolled(range(2, 22))
    assert len(enrolled) == 1592
    assert statuses(site.staged()) == enrolled == site.booked()
    assert extracted.read == extracted.completions.created == 1592
    assert extracted.instances.new == sum(enrolled.values())
    assert site.asked() - site.probed() == dict.fromkeys(enrolled, 1)
    assert site.called()[ENROLLED] == 1 + 2 * 20
    assert site.site.site.counted.most_in_flight <= site.connection.requests_in_flight

    site.later(hours=1)
    again = site.extract(query=ALL_COURSES)
    assert not again.changed, again.counts()
    assert again.read == 1592
    still_open = [pair for pair, complete in enrolled.items() if not complete]
    assert site.asked() - site.probed() == dict.fromkeys(still_open, 1)


def test_nothing_is_made_up_that_web_services_do_not_say(site: CrawledSite) -> None:
    site.extract()
    unsaid = "time_completed IS NOT NULL OR time_started IS NOT NULL OR time_enrolled IS NOT NULL OR rpl IS NOT NULL"
    assert not site.bridge.rows(f"SELECT * FROM bridge.completion WHERE {unsaid} OR grade IS NOT NULL")
    assert not site.bridge.rows("SELECT * FROM bridge.completion_instance WHERE time_completed IS NOT NULL")


def test_learners_and_courses_are_as_the_tables_say(site: CrawledSite, bridge: Bridge) -> None:
    site.allow_everything()
    learner = "SELECT user_id, username, id_number, email, first_name, last_name FROM bridge.learner ORDER BY user_id"
    course = """SELECT course_id, category_id, category_path, short_name, id_number, full_name, visible
                FROM bridge.course ORDER BY course_id"""
    fingerprint = "SELECT fingerprint FROM bridge.site"
    site.extract(query=ReadQuery(course_ids=(8, 10, 19)))
    crawled_rows = [site.bridge.rows(each) for each in (learner, course, fingerprint)]
    assert {row["short_name"] for row in crawled_rows[1]} == {"C007", "C009", "C018"}
    staged_again = replace(bridge.connection, query=ReadQuery(course_ids=(8, 10, 19)))
    extract_site(bridge.staging, DatabaseSource(staged_again), bridge.plan, now=bridge.now)
    by_database = [site.bridge.rows(each) for each in (learner, course, fingerprint)]
    ids = {row["user_id"] for row in crawled_rows[0]}
    by_database[0] = [row for row in by_database[0] if row["user_id"] in ids]
    assert crawled_rows == by_database


def test_what_a_database_showed_before_stays_as_it_is(site: CrawledSite) -> None:
    site.bridge.extract()
    tables = ("learner", "course", "completion", "completion_instance")
    before = [site.bridge.rows(f"SELECT * FROM bridge.{table} ORDER BY 1, 2, 3") for table in tables]
    extracted = site.extract()
    assert extracted.read == 160
    assert not extracted.changed, extracted.counts()
    assert [site.bridge.rows(f"SELECT * FROM bridge.{table} ORDER BY 1, 2, 3") for table in tables] == before


def test_what_is_not_shown_of_learners_comes_from_the_graphql_api(site: CrawledSite) -> None:
    site.allow(without=["moodle/site:viewuseridentity"])
    shown = "SELECT username, id_number, email, first_name FROM bridge.learner WHERE user_id = 3"
    site.extract()
    assert site.bridge.rows(shown) == [{"username": "u0001", "id_number": "", "email": "", "first_name": ""}]
    site.later(hours=1)
    site.extract(api_client=CLIENT_ID, api_secret=CLIENT_SECRET)
    [row] = site.bridge.rows(shown)
    assert row["id_number"] == "EMP00001"
    assert row["email"] == "u0001@example.com"
    assert row["first_name"]
    [row] = site.bridge.rows("SELECT count(*) AS learners FROM bridge.learner")
    assert row["learners"] == len({user for user, _ in site.enrolled()})


def test_a_completion_is_news_and_one_taken_back_is_found_by_the_recheck(site: CrawledSite) -> None:
    site.extract()
    pair = min(incomplete(site))
    site.bridge.totara.complete(*pair)
    site.later(hours=1)
    assert site.extract().instances.new == 1
    assert site.staged()[pair] == "complete"

    site.bridge.totara.regress(*pair)
    site.later(hours=1)
    assert not site.extract().changed
    site.later(days=45)
    site.extract()
    assert site.staged()[pair] == "not_started"
    assert site.booked() == site.enrolled()


def test_who_is_complete_is_asked_about_again_spread_over_time(site: CrawledSite) -> None:
    site.extract()
    complete = {pair for pair, is_complete in site.enrolled().items() if is_complete}
    rechecked = []
    for days in (29, 8, 9):
        site.later(days=days)
        site.extract()
        rechecked.append(Counter(pair for pair in (site.asked() - site.probed()) if pair in complete))
    assert not rechecked[0]
    assert len(complete) / 4 < len(rechecked[1]) < len(complete) * 3 / 4
    assert rechecked[1] + rechecked[2] == dict.fromkeys(complete, 1)


def test_who_left_a_course_is_forgotten_but_not_lost(site: CrawledSite) -> None:
    site.extract()
    pair = next(pair for pair, complete in site.enrolled().items() if complete)
    site.bridge.totara.unenrol(*pair)
    site.later(hours=1)
    assert not site.extract().changed
    assert pair not in site.booked()
    assert site.staged()[pair] == "complete"


@pytest.mark.parametrize("code", ["usernotenroled", "usernotavailable", "invalidrecordunknown"])
def test_who_leaves_while_the_crawl_goes_on_is_left_out(site: CrawledSite, code: str) -> None:
    body = f'{{"exception":"moodle_exception","errorcode":"{code}","message":"So it is"}}'
    gone = [Fault(function=STATUS), Fault(function=STATUS, status=200, body=body, content_type="application/json")]
    site.site.site.faults.put(gone)
    extracted = site.extract()
    assert (extracted.read, extracted.set_aside) == (159, 0)
    assert len(site.booked()) == 159


def test_who_cannot_be_answered_is_set_aside_and_the_others_are_read(site: CrawledSite) -> None:
    body = '{"exception":"coding_exception","errorcode":"codingerror","message":"Coding error detected"}'
    fault = Fault(function=STATUS, status=200, body=body, content_type="application/json")
    site.site.site.faults.put([Fault(function=STATUS), fault])
    extracted = site.extract()
    assert (extracted.read, extracted.set_aside) == (159, 1)
    [row] = site.bridge.rows("SELECT feed, row_id, user_id, course_id, reason FROM bridge.set_aside")
    assert row["row_id"] == row["user_id"]
    assert (row["user_id"], row["course_id"]) in site.enrolled()
    assert row["feed"] == f"web services, course {row['course_id']}"
    assert "codingerror: Coding error detected" in row["reason"]
    site.later(hours=1)
    assert site.extract().read == 160


def test_a_course_without_criteria_costs_few_calls(site: CrawledSite) -> None:
    with site.bridge.totara.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM ttr_course_completion_criteria WHERE course = 5")
    extracted = site.extract()
    assert extracted.read == 80
    assert {course for _, course in site.staged()} == {4}
    asked = site.asked() - site.probed()
    assert sum(course == 5 for _, course in asked) <= site.connection.requests_in_flight


def test_an_erased_learner_is_neither_staged_nor_kept_in_the_book(site: CrawledSite) -> None:
    user = next(user for user, _ in site.enrolled())
    with site.bridge.staging.begin() as transaction:
        transaction.exec_driver_sql(
            "INSERT INTO bridge.erased_learner (site, user_id, erased_at, erased_by) VALUES (%s, %s, now(), %s)",
            (SITE, user, "ann"),
        )
    site.extract()
    assert not [pair for pair in {**site.staged(), **site.booked()} if pair[0] == user]


@pytest.mark.parametrize("at_most", [1, 3, 8])
def test_there_are_never_more_requests_in_flight_than_the_connection_allows(site: CrawledSite, at_most: int) -> None:
    tokens = site.site.site.switches.tokens
    tokens[REST_TOKEN] = replace(tokens[REST_TOKEN], expires_at=1 << 40)  # the site looks at its clock for each call
    site.site.site.clock = _Together(site, at_most)
    site.site.site.switches.latency = 0.01
    site.extract(requests_in_flight=at_most, query=ReadQuery(course_ids=(4,)))
    assert site.site.site.counted.most_in_flight == at_most


class _Together:
    """A clock at which calls about learners wait until so many are in flight; for half a minute at most."""

    def __init__(self, site: CrawledSite, calls: int) -> None:
        self._site, self._calls = site, calls
        self._until = time.monotonic() + 30

    def __call__(self) -> float:
        crawls = self._site.called()[STATUS] > 1  # the first goes ahead of all others
        while crawls and self._site.site.site.counted.most_in_flight < self._calls and time.monotonic() < self._until:
            time.sleep(0.01)
        return float(self._site.now)


@pytest.fixture
def killed(site: CrawledSite) -> CrawledSite:
    """A site whose first crawl was killed half-way."""
    staging = site.bridge.staging.url.render_as_string(hide_password=False)
    process = Forked(crawl, KilledCrawl(staging, site.connection, site.bridge.plan, site.now, writes=2))
    assert process.wait() == -signal.SIGKILL
    process.close()
    assert 50 < len(site.booked()) < 160
    assert not site.staged()
    return site


def test_a_crawl_that_was_killed_goes_on_with_who_is_left(killed: CrawledSite) -> None:
    heard, first = killed.booked(), killed.probed()
    killed.later(minutes=5)
    assert killed.extract().read == 160
    assert statuses(killed.staged()) == killed.enrolled() == killed.booked()
    assert killed.asked() - first == dict.fromkeys(killed.enrolled().keys() - heard.keys(), 1)

    killed.later(minutes=5)
    assert not killed.extract().changed
    assert killed.asked() - first == dict.fromkeys(incomplete(killed), 1)


def test_a_crawl_that_was_killed_too_long_ago_begins_anew(killed: CrawledSite) -> None:
    complete = {pair for pair, is_complete in killed.booked().items() if is_complete}
    first = killed.probed()
    killed.later(days=2)
    assert killed.extract().read == 160
    assert killed.asked() - first == dict.fromkeys(killed.enrolled().keys() - complete, 1)


def test_pages_miss_nobody_when_some_leave_meanwhile(site: CrawledSite) -> None:
    before = sorted(user for user, course in site.enrolled() if course == 4)
    site.site.site.clock = _Leaving(site, before[:3])
    with (
        WebServices(site.connection) as services,
        Enrolments(services, [4], only_active=True, wanted=lambda _: True, page=7) as enrolments,
    ):
        assert list(enrolments.of(4)) == before[3:]
        assert [each["id"] for each in enrolments.learners()] == before[3:]
    assert site.called()[ENROLLED] > 2 * len(before) / 7


class _Leaving:
    """A clock during whose third reading, which is that of the third page, these learners leave the course."""

    def __init__(self, site: CrawledSite, learners: Sequence[int]) -> None:
        self._site, self._learners, self._readings = site, learners, 0

    def __call__(self) -> float:
        self._readings += 1
        if self._readings == 3:
            for learner in self._learners:
                self._site.bridge.totara.unenrol(learner, 4)
        return float(self._site.now)
