"""What the connection's query lets through, and audiences, through web services."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.bridge import DESTINATION, Bridge
from tests.crawled_site import ENROLLED, CrawledSite, crawled
from totara_bridge.errors import ConfigurationInvalid, TotaraRefused
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.run import extract_site
from totara_bridge.route import Route
from totara_bridge.sandbox.totara.http.tokens import BRIDGE_FUNCTIONS, Service
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.query import ReadQuery

MEMBERS = "SELECT user_id, audience FROM bridge.audience_member ORDER BY user_id, audience"


@pytest.fixture
def site(bridge: Bridge) -> Iterator[CrawledSite]:
    with crawled(bridge) as running:
        yield running


@pytest.mark.parametrize(
    "query",
    [
        ReadQuery(course_ids=(4, 6)),
        ReadQuery(category_ids=(2,)),
        ReadQuery(course_ids=(4,), audience_idnumbers=("AUD-SALES", "AUD-EMPTY")),
        ReadQuery(course_ids=(4, 5), learner_idnumbers=("EMP00001", "EMP00005", "NOBODY")),
        ReadQuery(course_ids=(4,), audience_idnumbers=("AUD-NONE",)),
    ],
    ids=lambda query: "+".join(query.model_dump(exclude_defaults=True)),
)
def test_the_query_lets_through_what_it_lets_through_of_a_database(site: CrawledSite, query: ReadQuery) -> None:
    bridge = site.bridge
    category = bridge.totara.new_category()
    for course in (2, 3):
        bridge.totara.move_course(course, category=category)
    if query.category_ids:
        query = ReadQuery(category_ids=(category,))
    extract_site(bridge.staging, DatabaseSource(replace(bridge.connection, query=query)), bridge.plan, now=bridge.now)
    enrolled = site.enrolled(range(2, 22))
    expected = {pair for pair in site.staged() if pair in enrolled}
    site.extract(query=query)
    assert site.booked().keys() == expected
    assert bool(expected) == (query.audience_idnumbers != ("AUD-NONE",))
    assert site.called()[ENROLLED] <= 1 + 2 * 2


def test_a_query_for_what_is_not_shown_is_refused(site: CrawledSite) -> None:
    site.allow(without=["moodle/site:viewuseridentity"])
    with pytest.raises(ConfigurationInvalid, match=r'"learner_idnumbers", but web services do not show'):
        site.extract(query=ReadQuery(learner_idnumbers=("EMP00001",)))
    site.allow(without=["moodle/cohort:view"])
    with pytest.raises(ConfigurationInvalid, match=r'"audience_idnumbers", which cannot be applied: .*cohort:view'):
        site.extract(query=ReadQuery(audience_idnumbers=("AUD-SALES",)))
    assert not site.bridge.rows("SELECT * FROM bridge.crawl")


def route_by(site: CrawledSite, *audiences: str) -> None:
    wants = Wants(DESTINATION, route=Route(audiences=audiences))
    site.bridge.plan = replace(site.bridge.plan, destinations=[wants])


def test_the_audiences_of_routes_are_those_of_the_tables(site: CrawledSite) -> None:
    route_by(site, "AUD-SALES", "AUD-ENG", "AUD-NONE")
    site.extract()
    found = site.bridge.rows(MEMBERS)
    site.bridge.extract(force_full_compare=True)
    assert found == site.bridge.rows(MEMBERS)
    assert {row["audience"] for row in found} == {"AUD-SALES", "AUD-ENG"}


@pytest.mark.parametrize("by_function", [True, False])
def test_audiences_that_may_not_be_seen_are_a_sentence(site: CrawledSite, by_function: bool) -> None:
    route_by(site, "AUD-SALES")
    if by_function:
        site.site.site.switches.service = Service(BRIDGE_FUNCTIONS - {"core_cohort_get_cohort_members"})
    else:
        site.allow(without=["moodle/cohort:view"])
    with pytest.raises(TotaraRefused, match=r"may not see audiences, which a route .* names: add the functions"):
        site.extract()
