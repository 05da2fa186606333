"""Web services that refuse, fail or hang: one sentence each, and what was heard until then is kept."""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.bridge import Bridge
from tests.crawled_site import ENROLLED, STATUS, CrawledSite, crawled
from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.sandbox.totara.http.oauth import CLIENT_ID, CLIENT_SECRET
from totara_bridge.sandbox.totara.http.site import Fault, Switches
from totara_bridge.sandbox.totara.http.tokens import BRIDGE_FUNCTIONS, REST_TOKEN, RestToken, Service
from totara_bridge.totara.web_services import check

MAINTENANCE = '{"exception":"moodle_exception","errorcode":"sitemaintenance","message":"The site is undergoing it"}'
ACCESS = r"gives the token no access to core_webservice_get_site_info: look in Totara"


@pytest.fixture
def site(bridge: Bridge) -> Iterator[CrawledSite]:
    with crawled(bridge) as running:
        yield running


def no_web_services(switches: Switches) -> None:
    switches.web_services_on = False


def no_rest(switches: Switches) -> None:
    switches.rest_on = False


def maintenance(switches: Switches) -> None:
    switches.maintenance = True


def no_service(switches: Switches) -> None:
    switches.service = Service(enabled=False)


def expired(switches: Switches) -> None:
    switches.tokens[REST_TOKEN] = RestToken(expires_at=1.0)


def another_address(switches: Switches) -> None:
    switches.tokens[REST_TOKEN] = RestToken(allowed_ips=frozenset({"192.0.2.1"}))


def unknown_token(switches: Switches) -> None:
    switches.tokens.clear()


@pytest.mark.parametrize(
    ("switch", "error", "words"),
    [
        (no_web_services, TotaraRefused, r"web services or their REST protocol off \(403\)"),
        (no_rest, TotaraRefused, r"web services or their REST protocol off \(403\)"),
        (maintenance, TotaraUnavailable, "is in maintenance mode: it will be asked again"),
        (no_service, TotaraRefused, ACCESS),
        (expired, TotaraRefused, ACCESS),
        (another_address, TotaraRefused, ACCESS),
        (unknown_token, TotaraRefused, r"does not know the token: .* put it into \"API token\""),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_crawled(
    site: CrawledSite, switch: Callable[[Switches], None], error: type[Exception], words: str
) -> None:
    switch(site.site.site.switches)
    for ask in (site.extract, lambda: check(site.connection)):
        with pytest.raises(error, match=words) as raised:
            ask()
        assert REST_TOKEN not in str(raised.value)
    assert not site.asked()


def test_all_missing_functions_are_named_at_once(site: CrawledSite) -> None:
    site.site.site.switches.service = Service(BRIDGE_FUNCTIONS - {ENROLLED, STATUS})
    with pytest.raises(TotaraRefused, match=f"add {ENROLLED}, {STATUS} in Totara under Server > Web services"):
        site.extract()
    assert not site.asked()


def test_all_missing_capabilities_are_named_at_once(site: CrawledSite) -> None:
    site.allow(without=["moodle/course:viewparticipants", "report/completion:view"])
    with pytest.raises(TotaraRefused) as raised:
        site.extract()
    assert "The token's user wsuser may not do what is needed" in str(raised.value)
    assert f"call {ENROLLED} (Sorry" in str(raised.value)
    assert "View participants" in str(raised.value)
    assert "report/completion:view" in str(raised.value)
    site.allow("moodle/course:viewparticipants")
    with pytest.raises(TotaraRefused, match="report/completion:view"):
        check(site.connection)


def test_what_will_be_lacking_is_said_by_the_test_and_once_in_a_crawl(
    site: CrawledSite, caplog: pytest.LogCaptureFixture
) -> None:
    site.allow_everything()
    assert check(site.connection) == "Totara Site A: 2 courses are read as the user wsuser."
    site.allow(without=["moodle/course:update", "moodle/course:enrolreview", "moodle/site:viewuseridentity"])
    functions = BRIDGE_FUNCTIONS - {"core_course_get_categories", "core_cohort_get_cohorts"}
    site.site.site.switches.service = Service(functions)
    said = check(site.connection)
    lacks = said.partition("It does not give: ")[2].split("; ")
    assert [each.rpartition(" (")[2].rstrip(").") for each in lacks] == [
        "capability moodle/course:update",
        "function core_course_get_categories",
        "functions core_cohort_get_cohorts and core_cohort_get_cohort_members",
        "capability moodle/course:enrolreview",
        "capability moodle/site:viewuseridentity",
        "capability moodle/site:viewuseridentity",
    ]
    with caplog.at_level(logging.WARNING):
        assert site.extract().read == 160
    assert [each for each in caplog.messages if "do not give" in each] == [
        f"Web services of Totara Site A do not give: {'; '.join(lacks)}"
    ]


def test_an_api_client_that_gets_no_token_is_found_by_the_test(site: CrawledSite) -> None:
    wrong = replace(site.connection, api_client=CLIENT_ID, api_secret="wrong")
    with pytest.raises(TotaraRefused) as raised:
        check(wrong)
    with pytest.raises(TotaraRefused, match=re.escape(str(raised.value))):
        site.extract(api_client=CLIENT_ID, api_secret="wrong")
    assert len(site.asked()) == 1
    assert check(replace(wrong, api_secret=CLIENT_SECRET)).endswith("(capability moodle/course:update).")


def test_a_course_whose_completions_may_not_be_seen_is_left_out(
    site: CrawledSite, caplog: pytest.LogCaptureFixture
) -> None:
    body = '{"exception":"moodle_exception","errorcode":"cannotviewreport","message":"You cannot view this report"}'
    closed = Fault(function=STATUS, status=200, body=body, content_type="application/json")
    site.site.site.faults.put([Fault(function=STATUS)] * 100 + [closed])
    extracted = site.extract(requests_in_flight=1)
    assert extracted.set_aside == 0
    assert 80 < extracted.read < 160
    assert "do not show who completed 1 courses (4)" in caplog.text or "1 courses (5)" in caplog.text
    site.later(hours=1)
    assert site.extract().read == 160


def interrupted(site: CrawledSite, fault: Fault, *, after: int, **connection: Any) -> str:
    """Crawl until the fault ends it; what is said."""
    site.site.site.faults.put([Fault(function=STATUS)] * after + [fault] * 40)
    with pytest.raises(TotaraUnavailable) as raised:
        site.extract(**connection)
    assert not site.staged()
    site.site.site.faults.put([])
    return str(raised.value)


def test_maintenance_in_the_middle_ends_the_crawl_and_the_next_one_goes_on(site: CrawledSite) -> None:
    fault = Fault(function=STATUS, status=200, body=MAINTENANCE, content_type="application/json")
    assert "is in maintenance mode" in interrupted(site, fault, after=100, requests_in_flight=2)
    heard, first = site.booked(), site.probed()
    assert len(heard) > 50
    site.later(minutes=30)
    assert site.extract().read == 160
    assert site.asked() - first == dict.fromkeys(site.enrolled().keys() - heard.keys(), 1)


def test_an_address_that_hangs_ends_the_crawl_and_the_next_one_goes_on(site: CrawledSite) -> None:
    fault = Fault(function=STATUS, delay=1)
    said = interrupted(site, fault, after=60, requests_in_flight=1, timeout=0.3)
    assert "did not answer in time" in said
    assert len(site.booked()) > 50
    site.later(minutes=30)
    assert site.extract().read == 160


def test_some_503_and_broken_connections_are_tried_again(site: CrawledSite) -> None:
    busy, gone = Fault(function=STATUS, status=503), Fault(function=STATUS, close=True)
    fine = Fault(function=STATUS)
    site.site.site.faults.put([*[fine] * 20, busy, *[fine] * 20, gone, *[fine] * 20, busy])
    assert site.extract().read == 160
    assert (site.asked() - site.probed()).total() == 160 + 3


def test_a_site_that_stays_busy_ends_the_crawl(site: CrawledSite) -> None:
    said = interrupted(site, Fault(function=STATUS, status=503), after=60, requests_in_flight=1)
    assert "answered 503: it will be asked again later" in said
    first = site.asked()
    assert max((first - site.probed()).values()) == 3


def test_a_site_that_wants_a_long_rest_gets_it(site: CrawledSite) -> None:
    fault = Fault(function=STATUS, status=429, headers=(("Retry-After", "3600"),))
    assert "429" in interrupted(site, fault, after=60, requests_in_flight=1)
    assert max((site.asked() - site.probed()).values()) == 1


def test_a_site_that_refuses_everybody_ends_the_crawl(site: CrawledSite) -> None:
    body = '{"exception":"coding_exception","errorcode":"codingerror","message":"Coding error detected"}'
    fault = Fault(function=STATUS, status=200, body=body, content_type="application/json")
    site.site.site.faults.put([Fault(function=STATUS)] + [fault] * 2_000)
    with pytest.raises(TotaraRefused, match=r"did not answer for 101 learners .*codingerror: Coding error detected"):
        site.extract()
