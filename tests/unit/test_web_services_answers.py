"""Each recorded answer of the web services is a value or a sentence with a cause and a remedy, in the right class."""

import json
from pathlib import Path
from typing import Any

import pytest

from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.totara.http import Answer
from totara_bridge.totara.web_services import answers
from totara_bridge.totara.web_services.answers import OF_A_PAIR, Asked, CallRefused
from totara_bridge.totara.web_services.client import PATH, encoded

RECORDED = Path(__file__).parents[1] / "recorded" / "rest"
TOKEN = "0123456789abcdef0123456789abcdef"
ASKED = Asked("https://learn.example.com", "core_some_function", TOKEN)

#: Cause and remedy of each recorded error, in the sentence's words; none: the recording is no error.
ACCESS = ("gives the token no access to core_some_function", "look in Totara under Server > Web services")
PARAMETER = ("does not take the parameters", "upgrade the bridge")
UNKNOWN = ("deleted meanwhile, or this release has no such function", "upgrade the bridge")
OFF = ("web services or their REST protocol off (403)", 'turn both on, "Enable web services"')
TOKEN_UNKNOWN = ("does not know the token", 'put it into "API token"')
ERRORS: dict[str, tuple[str, str] | None] = {
    "capability": ACCESS,
    "create_user_bademail": PARAMETER,
    "create_user_duplicate": PARAMETER,
    "deleted_user": ("does not show the learner", "moodle/user:viewdetails"),
    "disabled_service": ACCESS,
    "expired_token": ACCESS,
    "function_not_in_service": ACCESS,
    "invalid_param_type": PARAMETER,
    "invalid_token": TOKEN_UNKNOWN,
    "invalid_token_xml": TOKEN_UNKNOWN,
    "ip_restricted": ACCESS,
    "maintenance": ("maintenance mode", "have its administrator end it"),
    "missing_function": PARAMETER,
    "missing_param": PARAMETER,
    "missing_token": TOKEN_UNKNOWN,
    "not_enrolled": ("not enrolled", "nothing is to be done"),
    "rest_protocol_disabled": OFF,
    "restricted_service": ACCESS,
    "suspended_user": None,
    "unexpected_param": PARAMETER,
    "unknown_course": UNKNOWN,
    "unknown_function": UNKNOWN,
    "unknown_user": UNKNOWN,
    "webservices_disabled": OFF,
}
#: Recordings that are errors under another name.
OTHER_ERRORS = {
    "completion_activities": ("View activity completion reports", "give a role of this user that capability"),
    "enrol_manual": ("Enrol users", "give a role of this user that capability"),
}
#: A 404 is read before the body is, whatever it says.
NOT_FOUND = {"login_token", "login_token_error_password"}


def recorded(name: str) -> Answer:
    response = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["response"]
    body = json.dumps(response["json"]) if "json" in response else response["text"]
    content_type = response["headers"]["Content-Type"].partition(";")[0]
    return answer(body, status=response["status"], content_type=content_type)


def answer(body: str, *, status: int = 200, content_type: str = "application/json") -> Answer:
    return Answer(status=status, content_type=content_type, body=body.encode(), date=None, retry_after=None)


def read(of: Answer) -> Any:
    return answers.read(of, ASKED)


def test_no_recorded_error_is_left_out() -> None:
    found = {path.stem.removeprefix("error_") for path in RECORDED.glob("error_*.json")}
    assert found == ERRORS.keys()
    others = {path.stem for path in RECORDED.glob("*.json") if '"exception"' in path.read_text(encoding="utf-8")}
    assert {name for name in others if not name.startswith("error_")} == OTHER_ERRORS.keys()


@pytest.mark.parametrize(
    ("name", "words"),
    [*((f"error_{name}", words) for name, words in ERRORS.items() if words), *OTHER_ERRORS.items()],
)
def test_a_recorded_error_is_a_sentence_with_cause_and_remedy(name: str, words: tuple[str, str]) -> None:
    transient = name == "error_maintenance"
    with pytest.raises(TotaraUnavailable if transient else TotaraRefused) as raised:
        read(recorded(name))
    said = str(raised.value)
    assert said.startswith("https://learn.example.com ")
    assert all(word in said for word in words), said
    assert said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize(
    "name",
    [
        path.stem
        for path in sorted(RECORDED.glob("*.json"))
        if not ERRORS.get(path.stem.removeprefix("error_")) and path.stem not in {*OTHER_ERRORS, *NOT_FOUND}
    ],
)
def test_a_recorded_answer_is_its_value(name: str) -> None:
    response = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["response"]
    expected = response["json"] if "json" in response else json.loads(response["text"]) if response["text"] else None
    assert read(recorded(name)) == expected


@pytest.mark.parametrize("name", ["not_enrolled", "deleted_user", "unknown_user"])
def test_what_is_said_of_one_learner_can_be_told_from_what_ends_a_crawl(name: str) -> None:
    with pytest.raises(CallRefused) as raised:
        read(recorded(f"error_{name}"))
    assert raised.value.code in OF_A_PAIR
    assert not raised.value.ends_all


@pytest.mark.parametrize("name", ["invalid_token", "expired_token", "function_not_in_service"])
def test_what_holds_for_each_call_ends_a_crawl(name: str) -> None:
    with pytest.raises(CallRefused) as raised:
        read(recorded(f"error_{name}"))
    assert raised.value.ends_all


def test_what_totara_says_is_shown_without_the_token_and_without_what_cannot_be_stored() -> None:
    said = {"exception": "e", "errorcode": f"bad{TOKEN}", "message": f"a\0b\ud800c\u202e {TOKEN}"}
    with pytest.raises(CallRefused) as raised:
        read(answer(json.dumps(said)))
    assert "(bad[redacted]: a b c [redacted])" in str(raised.value)
    assert TOKEN not in raised.value.code


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ("core_enrol_get_enrolled_users", [{"id": 1 << 63}]),
        ("core_enrol_get_enrolled_users", [{"id": "5"}]),
        ("core_enrol_get_enrolled_users", [{"id": None}]),
        ("core_course_get_courses", [{"id": 2, "categoryid": 1, "shortname": None, "fullname": "b"}]),
        ("core_cohort_get_cohort_members", [{"cohortid": 1, "userids": [None]}]),
        ("core_webservice_get_site_info", {"sitename": "S", "username": "u", "functions": None}),
        (
            "core_completion_get_course_completion_status",
            {"completionstatus": {"completed": True, "completions": None}},
        ),
    ],
)
def test_values_of_another_kind_are_another_shape(function: str, value: Any) -> None:
    with pytest.raises(TotaraRefused, match="JSON of another shape"):
        answers.read(answer(json.dumps(value)), Asked("https://learn.example.com", function, TOKEN))


CUT = '{"completionstatus":{"completed":tr'
PAGE = "<!DOCTYPE html><html><head><title>Upgrade\n running &ndash; wait</title></head></html>"


@pytest.mark.parametrize(
    ("of", "kind", "words"),
    [
        (answer(CUT), TotaraUnavailable, ("no whole JSON (35 bytes)", "error log of Totara's web server")),
        (answer(""), TotaraUnavailable, ("no whole JSON (0 bytes)", "error log of Totara's web server")),
        (answer("Warning: Undefined\n[]"), TotaraUnavailable, ("no whole JSON", "debug messages are displayed")),
        (answer(PAGE, content_type="text/html"), TotaraUnavailable, ('"Upgrade running – wait"', "in a browser")),
        (answer(PAGE), TotaraUnavailable, ("a page", "let this machine through")),
        (answer("<html></html>", status=403), TotaraRefused, ("with 403", "let POST requests to /webservice")),
        (answer("no", status=400, content_type="text/plain"), TotaraRefused, ("with 400", "proxy or firewall")),
        (answer("", status=401), TotaraRefused, ("with 401", "proxy or firewall")),
        (answer("<?xml version='1.0'?><RESPONSE/>"), TotaraRefused, ("in XML although JSON was asked", "whole form")),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_totara_is_a_sentence_too(of: Answer, kind: type[Exception], words: tuple[str]) -> None:
    with pytest.raises(kind) as raised:
        read(of)
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.parametrize(
    ("function", "body"),
    [
        ("core_webservice_get_site_info", "null"),
        ("core_webservice_get_site_info", "[]"),
        ("core_webservice_get_site_info", '{"status":"ok"}'),
        ("core_course_get_courses", '{"courses":[]}'),
        ("core_enrol_get_enrolled_users", "[3]"),
        ("core_completion_get_course_completion_status", '{"completionstatus":null,"warnings":[]}'),
        ("core_completion_get_course_completion_status", "[]"),
    ],
)
def test_json_of_another_shape_is_a_sentence_too(function: str, body: str) -> None:
    with pytest.raises(TotaraRefused, match=f"answered {function} with JSON of another shape.* check that"):
        answers.read(answer(body), Asked("https://learn.example.com", function, TOKEN))


def of_exception(code: str, **more: str) -> Answer:
    return answer(json.dumps({"exception": "moodle_exception", "errorcode": code, "message": "It is so.", **more}))


@pytest.mark.parametrize("code", ["dmlreadexception", "dmlwriteexception", "dmlconnectionexception", "upgraderunning"])
def test_what_another_time_is_another_answer_is_transient(code: str) -> None:
    with pytest.raises(TotaraUnavailable, match="asked again"):
        read(of_exception(code))


def test_an_unknown_error_is_in_totaras_words() -> None:
    with pytest.raises(CallRefused, match=r"refuses core_some_function \(oddity: It is so\): have its administrator"):
        read(of_exception("oddity"))


def test_the_reason_of_a_debugged_site_is_passed_on_without_the_token() -> None:
    with pytest.raises(CallRefused) as raised:
        read(of_exception("accessexception", debuginfo=f"The token {TOKEN}\nhas expired"))
    assert str(raised.value).endswith(" (Totara: The token [redacted] has expired).")
    assert TOKEN not in str(raised.value)


def test_parameters_are_written_as_php_reads_them() -> None:
    given = {"courseid": 4, "options": [{"name": "onlyactive", "value": True}], "cohortids": (7, 8), "none": []}
    assert encoded(given) == {
        "courseid": "4",
        "options[0][name]": "onlyactive",
        "options[0][value]": "1",
        "cohortids[0]": "7",
        "cohortids[1]": "8",
    }
    assert PATH.startswith("/")
