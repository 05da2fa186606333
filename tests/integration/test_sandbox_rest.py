"""The sandbox Totara's web services: what was not recorded call by call, its switches and its faults."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests
from sqlalchemy import Engine, text

from tests.free_port import free_port
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.site import Fault
from totara_bridge.sandbox.totara.http.tokens import BRIDGE_FUNCTIONS, RECORDED_CAPABILITIES, REST_TOKEN, RestToken
from totara_bridge.sandbox.totara.http.tokens import Service as ExternalService

PATH = "/webservice/rest/server.php"
NOW = 1_800_000_000

STATUS = "core_completion_get_course_completion_status"
ENROLLED = "core_enrol_get_enrolled_users"
SITE_INFO = "core_webservice_get_site_info"

INVALID_TOKEN = ("moodle_exception", "invalidtoken")
NO_ACCESS = ("webservice_access_exception", "accessexception")
NO_RECORD = ("dml_missing_record_exception", "invalidrecordunknown")
BAD_PARAMETER = ("invalid_parameter_exception", "invalidparameter")
NO_PERMISSION = ("required_capability_exception", "nopermissions")


class Caller:
    """Calls a site's functions."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self._session = session

    def post(self, function: str, *, token: str = REST_TOKEN, form: str = "json", **fields: Any) -> requests.Response:
        given = {"wstoken": token, "wsfunction": function, "moodlewsrestformat": form, **fields.pop("fields", {})}
        return self._session.post(self.url + PATH, data={**given, **fields}, timeout=60)

    def __call__(self, function: str, **fields: Any) -> Any:
        answer = self.post(function, **fields)
        assert answer.status_code == 200
        return answer.json()

    def refusal(self, function: str, **fields: Any) -> tuple[str, str]:
        answer = self(function, **fields)
        return answer["exception"], answer["errorcode"]

    def enrolled(self, course: int, **options: object) -> list[dict[str, Any]]:
        names = {f"options[{number}][name]": name for number, name in enumerate(options)}
        values = {f"options[{number}][value]": value for number, value in enumerate(options.values())}
        answer: list[dict[str, Any]] = self(ENROLLED, courseid=course, fields=names | values)
        return answer

    def completed(self, user: int, course: int) -> bool:
        return bool(self(STATUS, userid=user, courseid=course)["completionstatus"]["completed"])


@pytest.fixture
def sandbox(totara: Engine) -> Iterator[SandboxTotara]:
    with SandboxTotara(totara, clock=lambda: NOW + 0.9) as running:
        yield running


@pytest.fixture
def call(sandbox: SandboxTotara) -> Iterator[Caller]:
    with requests.Session() as session:
        yield Caller(sandbox.url, session)


@pytest.fixture
def acts(totara: Engine) -> TotaraActs:
    return TotaraActs(totara, clock=lambda: NOW)


def _let(sandbox: SandboxTotara, **changes: Any) -> None:
    """Change what the site knows of its token."""
    tokens = sandbox.site.switches.tokens
    tokens[REST_TOKEN] = replace(tokens[REST_TOKEN], **changes)


def _without(capability: str) -> frozenset[str]:
    return RECORDED_CAPABILITIES - {capability}


def test_what_happens_in_totara_shows_in_the_next_answer(call: Caller, acts: TotaraActs) -> None:
    assert not call.completed(138, 4)
    acts.complete(138, 4, at=NOW - 5)
    status = call(STATUS, userid=138, courseid=4)["completionstatus"]
    assert (status["completed"], status["completions"][0]["timecompleted"]) == (True, NOW - 5)
    acts.regress(138, 4)
    assert not call.completed(138, 4)
    acts.complete_by_rpl(138, 4, at=NOW - 500, note="a certificate of 2019")
    assert call.completed(138, 4)


def test_who_leaves_a_course_is_listed_and_answered_no_more(call: Caller, acts: TotaraActs) -> None:
    assert 118 in {one["id"] for one in call.enrolled(4)}
    acts.unenrol(118, 4)
    acts.delete_user(120)
    assert not {118, 120} & {one["id"] for one in call.enrolled(4)}
    assert call.refusal(STATUS, userid=118, courseid=4) == ("moodle_exception", "usernotenroled")
    assert call.refusal(STATUS, userid=120, courseid=4) == ("moodle_exception", "usernotavailable")
    assert 4 not in {one["id"] for one in call("core_enrol_get_users_courses", userid=118)}


def test_a_suspended_enrolment_is_left_out_of_the_active_only(call: Caller, totara: Engine) -> None:
    everybody = {one["id"] for one in call.enrolled(4)}
    with totara.begin() as connection:
        connection.execute(text("UPDATE ttr_user_enrolments SET status = 1 WHERE userid = 118"))
        connection.execute(text("UPDATE ttr_user_enrolments SET timeend = :now WHERE userid = 122"), {"now": NOW})
    assert {one["id"] for one in call.enrolled(4)} == everybody
    assert {one["id"] for one in call.enrolled(4, onlyactive=1)} == everybody - {118, 122}
    assert call.refusal(STATUS, userid=118, courseid=4) == ("moodle_exception", "usernotenroled")


def test_enrolled_users_come_in_pages(call: Caller) -> None:
    every = [one["id"] for one in call.enrolled(4, userfields="id")]
    assert len(every) == 80
    assert every == sorted(every)
    pages = [call.enrolled(4, userfields="id", limitfrom=at, limitnumber=30) for at in (0, 30, 60, 90)]
    assert [one["id"] for page in pages for one in page] == every
    assert [len(page) for page in pages] == [30, 30, 20, 0]
    assert [one["id"] for one in call.enrolled(4, sortby="id", sortdirection="desc")] == every[::-1]


def test_only_asked_for_fields_are_told(call: Caller) -> None:
    assert list(call.enrolled(4, userfields="idnumber,username", limitnumber=1)[0]) == [
        "id", "username", "fullname", "idnumber",
    ]  # fmt: skip
    assert call.refusal(
        ENROLLED, courseid=4, fields={"options[0][name]": "userfields", "options[0][value]": "shoe"}
    ) == (
        "moodle_exception",
        "invaliduserfield",
    )


def test_a_course_without_criteria_cannot_be_asked_about(call: Caller, acts: TotaraActs) -> None:
    course = acts.new_course(criteria=0)
    acts.enrol(118, course)
    assert call.refusal(STATUS, userid=118, courseid=course) == ("moodle_exception", "nocriteriaset")


def test_of_several_criteria_each_is_listed(call: Caller, acts: TotaraActs) -> None:
    course = acts.new_course(criteria=3)
    acts.enrol(118, course)
    acts.meet_criterion(118, course, acts.criteria(course)[1])
    status = call(STATUS, userid=118, courseid=course)["completionstatus"]
    assert [one["complete"] for one in status["completions"]] == [False, True, False]
    assert not status["completed"]


@pytest.mark.parametrize(
    ("function", "fields"),
    [
        (ENROLLED, {"courseid": "04"}),
        (ENROLLED, {"courseid": ""}),
        (ENROLLED, {"courseid": "4.0"}),
        (ENROLLED, {"courseid[0]": "4"}),
        (ENROLLED, {"courseid": "4", "options": "id"}),
        (ENROLLED, {"courseid": "4", "options[0][name]": "limitfrom"}),
        (ENROLLED, {"courseid": "4", "options[0][name]": "sortby", "options[0][value]": "email"}),
        (ENROLLED, {"courseid": "4", "options[0][name]": "sortdirection", "options[0][value]": "up"}),
        (STATUS, {"userid": "118"}),
        ("core_course_get_courses", {"options[ids][0]": "one"}),
        ("core_course_get_courses", {"options[id][0]": "1"}),
        ("core_course_get_courses_by_field", {"field": "fullname", "value": "Course 1"}),
        ("core_course_get_courses_by_field", {"field": "ids", "value": "1,two"}),
        ("core_course_get_categories", {"criteria[0][key]": "colour", "criteria[0][value]": "red"}),
        ("core_cohort_get_cohort_members", {}),
        ("core_user_get_users_by_field", {"field": "city", "values[0]": "City1"}),
        ("core_user_get_users_by_field", {"field": "id", "values[0]": "u0001"}),
        ("core_user_get_users", {}),
        (SITE_INFO, {"userid": "3"}),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(call: Caller, function: str, fields: dict[str, str]) -> None:
    assert call.refusal(function, fields=fields) == BAD_PARAMETER


def test_the_reason_is_told_only_where_the_site_is_debugged(call: Caller, sandbox: SandboxTotara) -> None:
    assert "debuginfo" not in call(ENROLLED, courseid="abc")
    sandbox.site.switches.debugging = True
    assert call(ENROLLED, courseid="abc")["debuginfo"] == "courseid: a whole number is expected"


@pytest.mark.parametrize(
    ("capability", "asked", "words"),
    [
        ("moodle/course:view", {"function": "core_course_get_courses"}, "View courses without participation"),
        ("moodle/course:viewparticipants", {"function": ENROLLED, "courseid": 4}, "View participants"),
        ("moodle/cohort:view", {"function": "core_cohort_get_cohorts"}, "View audiences"),
    ],
)
def test_a_missing_capability_is_named(
    call: Caller, sandbox: SandboxTotara, capability: str, asked: dict[str, Any], words: str
) -> None:
    _let(sandbox, capabilities=_without(capability))
    assert call.refusal(**asked) == NO_PERMISSION
    assert call(**asked)["message"].endswith(f"({words})")


def test_hidden_fields_of_users_cannot_be_searched_for(call: Caller, sandbox: SandboxTotara) -> None:
    asked = {"field": "idnumber", "values[0]": "EMP00003"}
    assert [one["id"] for one in call("core_user_get_users_by_field", fields=asked)] == [5]
    _let(sandbox, capabilities=_without("moodle/site:viewuseridentity"))
    assert call("core_user_get_users_by_field", fields=asked) == []
    assert not {"idnumber", "email"} & set(call.enrolled(4, limitnumber=1)[0])


def test_users_are_searched_by_all_criteria_together(call: Caller, sandbox: SandboxTotara) -> None:
    def found(**criteria: str) -> list[int]:
        pairs = enumerate(criteria.items())
        fields = {f"criteria[{n}][{k}]": v for n, pair in pairs for k, v in zip(("key", "value"), pair, strict=True)}
        return [one["id"] for one in call("core_user_get_users", fields=fields)["users"]]

    everybody = found(email="%@example.com")
    assert len(everybody) > 200
    assert found(email="%@example.com", idnumber="emp00003") == [5]
    assert found(lastname="%") == []
    _let(sandbox, capabilities=RECORDED_CAPABILITIES | {"moodle/site:viewfullnames"})
    assert set(everybody) <= set(found(lastname="%"))
    unknown = call("core_user_get_users", fields={"criteria[0][key]": "shoe", "criteria[0][value]": "44"})
    assert (unknown["users"], unknown["warnings"][0]["item"]) == ([], "shoe")


def test_courses_are_found_by_their_fields(call: Caller, sandbox: SandboxTotara) -> None:
    def found(field: str, value: str) -> list[int]:
        courses = call("core_course_get_courses_by_field", field=field, value=value)["courses"]
        return sorted(one["id"] for one in courses)

    assert (found("id", "4"), found("ids", "4,5"), found("shortname", "C003")) == ([4], [4, 5], [4])
    assert (found("id", "99"), len(found("category", "1")), len(found("", ""))) == ([], 20, 21)
    _let(sandbox, capabilities=_without("moodle/course:viewhiddencourses"))
    assert len(found("category", "1")) == 19
    assert found("shortname", "C018") == []


def test_categories_are_found_with_what_is_below_them(call: Caller, acts: TotaraActs) -> None:
    below = acts.new_category(parent=2)
    acts.move_course(4, category=below)
    asked = {"criteria[0][key]": "id", "criteria[0][value]": "2"}
    found = call("core_course_get_categories", fields=asked)
    assert [(one["id"], one["coursecount"]) for one in found] == [(2, 0), (below, 1)]
    assert [one["id"] for one in call("core_course_get_categories", addsubcategories=0, fields=asked)] == [2]


def test_members_of_several_audiences_come_in_one_answer(call: Caller, acts: TotaraActs) -> None:
    acts.join_audience(138, 3)
    acts.delete_user(5)
    found = call("core_cohort_get_cohort_members", fields={"cohortids[0]": 3, "cohortids[1]": 1})
    assert found[0] == {"cohortid": 3, "userids": [138]}
    assert 5 not in found[1]["userids"]
    assert call.refusal("core_cohort_get_cohort_members", fields={"cohortids[0]": 99}) == NO_RECORD


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"expires_at": float(NOW)}, NO_ACCESS),
        ({"allowed_ips": frozenset({"10.0.0.1"})}, NO_ACCESS),
        ({"user_id": 201}, NO_ACCESS),  # suspended
        ({"user_id": 202}, NO_ACCESS),  # deleted
        ({"user_id": 9999}, NO_RECORD),
        ({"service": ExternalService(enabled=False)}, NO_ACCESS),
        ({"service": ExternalService(restricted_users=frozenset({2}))}, NO_ACCESS),
        ({"service": ExternalService(BRIDGE_FUNCTIONS - {SITE_INFO})}, NO_ACCESS),
        ({"capabilities": frozenset()}, NO_ACCESS),
    ],
)
def test_a_token_that_may_not_is_refused(
    call: Caller, sandbox: SandboxTotara, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert call(SITE_INFO)["userid"] == 203
    _let(sandbox, **changes)
    assert call.refusal(SITE_INFO) == expected


def test_a_restricted_service_serves_its_users_from_their_addresses(call: Caller, sandbox: SandboxTotara) -> None:
    service = ExternalService(frozenset({SITE_INFO}), restricted_users=frozenset({203}))
    _let(sandbox, service=service, allowed_ips=frozenset({"127.0.0.1"}), expires_at=float(NOW + 1))
    assert [one["name"] for one in call(SITE_INFO)["functions"]] == [SITE_INFO]


def test_in_maintenance_only_who_may_is_answered(call: Caller, sandbox: SandboxTotara) -> None:
    sandbox.site.switches.maintenance = True
    assert call.refusal(SITE_INFO) == ("moodle_exception", "sitemaintenance")
    assert call.refusal(SITE_INFO, token="wrong") == INVALID_TOKEN
    _let(sandbox, capabilities=RECORDED_CAPABILITIES | {"moodle/site:maintenanceaccess"})
    assert call(SITE_INFO)["userid"] == 203


def test_a_get_is_answered_too(call: Caller, sandbox: SandboxTotara) -> None:
    query = f"wstoken={REST_TOKEN}&moodlewsrestformat=json&wsfunction={STATUS}&courseid=4&userid=118"
    answer = requests.get(f"{sandbox.url}{PATH}?{query}", timeout=60)
    assert answer.json()["completionstatus"]["completed"] is True


def test_without_the_format_the_answer_is_xml(call: Caller) -> None:
    answer = call.post("core_cohort_get_cohort_members", form="", fields={"cohortids[0]": 3})
    assert answer.headers["Content-Type"] == "application/xml; charset=utf-8"
    assert answer.text.replace("\n", "") == (
        '<?xml version="1.0" encoding="UTF-8" ?><RESPONSE><MULTIPLE><SINGLE><KEY name="cohortid"><VALUE>3</VALUE></KEY>'
        '<KEY name="userids"><MULTIPLE></MULTIPLE></KEY></SINGLE></MULTIPLE></RESPONSE>'
    )


def test_calls_are_noted_without_their_token(call: Caller, sandbox: SandboxTotara) -> None:
    call(STATUS, userid=118, courseid=4)
    (function, fields) = sandbox.site.counted.requests[-1]
    assert (function, fields["userid"], fields["courseid"]) == (STATUS, "118", "4")
    assert REST_TOKEN not in str(sandbox.site.counted.requests)


def test_requests_at_the_same_time_are_counted(
    call: Caller, sandbox: SandboxTotara, totara: Engine, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    counted = sandbox.site.counted
    with ThreadPoolExecutor(3) as pool, totara.connect() as connection:
        connection.execute(text("LOCK TABLE ttr_user IN ACCESS EXCLUSIVE MODE"))
        waiting = [pool.submit(requests.post, sandbox.url + PATH, _site_info(), timeout=60) for _ in range(3)]
        wait_until(lambda: counted.in_flight == 3)
        connection.rollback()
        assert {one.result().status_code for one in waiting} == {200}
    wait_until(lambda: counted.in_flight == 0)
    assert counted.most_in_flight == 3


def test_faults_meet_the_next_requests_and_are_used_up(call: Caller, sandbox: SandboxTotara) -> None:
    busy = Fault(status=503, body="<html>busy</html>", headers=(("Retry-After", "7"),))
    sandbox.site.faults.put([busy, busy, Fault(close=True), Fault(status=200, body="{", function=STATUS)])
    assert [call.post(SITE_INFO).status_code for _ in range(2)] == [503, 503]
    with pytest.raises(requests.ConnectionError):
        call.post(SITE_INFO)
    assert call(SITE_INFO)["userid"] == 203
    assert call.post(STATUS, userid=118, courseid=4).text == "{"
    assert call.completed(118, 4)


def test_a_fault_of_an_address_meets_no_other(call: Caller, sandbox: SandboxTotara) -> None:
    sandbox.site.faults.put([Fault(status=500, path="/api/")])
    assert call(SITE_INFO)["userid"] == 203
    assert requests.post(f"{sandbox.url}/api/graphql.php", timeout=60).status_code == 500


def test_another_process_can_switch_the_site(call: Caller, sandbox: SandboxTotara) -> None:
    def switch(**given: Any) -> requests.Response:
        return requests.post(f"{sandbox.url}/sandbox/switches", json=given, timeout=60)

    assert switch(maintenance=True, faults=[{"status": 502}]).status_code == 200
    assert call.post(SITE_INFO).status_code == 502
    assert call.refusal(SITE_INFO)[1] == "sitemaintenance"
    token = {"user_id": 203, "capabilities": ["webservice/rest:use"], "service": {"functions": [SITE_INFO]}}
    switch(maintenance=False, tokens={"another": token})
    assert call.refusal(SITE_INFO) == INVALID_TOKEN
    assert [one["name"] for one in call(SITE_INFO, token="another")["functions"]] == [SITE_INFO]
    assert sandbox.site.switches.tokens["another"] == RestToken(
        capabilities=frozenset({"webservice/rest:use"}), service=ExternalService(frozenset({SITE_INFO}))
    )
    for wrong in ({"maintainance": True}, {"rest_on": "perhaps", "maintenance": True}, {"faults": [{"status": "x"}]}):
        assert switch(**wrong).status_code == 422
    assert call(SITE_INFO, token="another")["userid"] == 203


def test_the_program_serves_a_database(totara: Engine, wait_until: Callable[[Callable[[], bool]], None]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}{PATH}"
    address = totara.url.set(drivername="postgresql").render_as_string(hide_password=False)
    program = (sys.executable, "-m", "totara_bridge.sandbox.totara.http")
    running = subprocess.Popen((*program, "--port", str(port), "--database-url", address))

    def answers() -> bool:
        assert running.poll() is None
        try:
            return bool(requests.post(url, _site_info(), timeout=60).json()["userid"] == 203)
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers)
    finally:
        running.terminate()
        running.wait()


def _site_info() -> dict[str, str]:
    return {"wstoken": REST_TOKEN, "wsfunction": SITE_INFO, "moodlewsrestformat": "json"}
