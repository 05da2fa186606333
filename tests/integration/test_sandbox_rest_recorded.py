"""The sandbox Totara answers web service calls as a real 17.3 answered them, to the byte.

Each file in ``tests/recorded/rest`` is a request to the site whose rows the sandbox has, and its answer. A file is
compared, or is named in ``NEVER_CALLED`` with its reason.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from sqlalchemy import Engine, text

from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.tokens import RECORDED_CAPABILITIES, RestToken, Service

RECORDED = Path(__file__).parents[1] / "recorded" / "rest"

_CHANGES = "changes Totara, which the bridge never does"
_ACTIVITIES = "activities are no completions of courses"
NEVER_CALLED = {
    "cohort_add_members": _CHANGES,
    "cohort_add_members_badtype": _CHANGES,
    "cohort_delete_members": _CHANGES,
    "completion_activities": _ACTIVITIES,
    "completion_activities_ok": _ACTIVITIES,
    "create_users": _CHANGES,
    "delete_users": _CHANGES,
    "enrol_manual": _CHANGES,
    "error_create_user_bademail": _CHANGES,
    "error_create_user_duplicate": _CHANGES,
    "update_users": _CHANGES,
    "updates_since": _ACTIVITIES,
}
#: Lists whose order Totara leaves to its database: compared in the order of this.
UNORDERED: dict[str, Callable[[Any], Any]] = {
    "courses": lambda answer: sorted(answer, key=lambda course: course["id"]),
    "cohort_members": lambda answer: [{**one, "userids": sorted(one["userids"])} for one in answer],
}
#: Where only the beginning of the list was recorded; ``bytes`` is the whole answer's length all the same.
CUT = {"enrolled_users": 20}

_USUAL_TIME = 1795290100
#: When each was recorded, where the answer says so.
TIMES = {"users_by_field": 1795290097, "users_by_field_id": 1795290098, "enrolled_users": 1795290094}

#: Columns of the recorded site that its rows, as they were kept, do not have; the recordings show them.
_NOT_KEPT = """
UPDATE ttr_course SET newsitems = 0, completionstartonenrol = 1, summary = '<p>Summary of course ' || id - 1 || '</p>'
    WHERE id > 1;
UPDATE ttr_course SET cacherev = 1795291578 WHERE id = 4;
UPDATE ttr_course SET format = 'site' WHERE id = 1
"""

#: The 85 functions of the recorded service are those of ``site_info``.
_FULL = frozenset(
    one["name"] for one in json.loads((RECORDED / "site_info.json").read_text("utf-8"))["response"]["json"]["functions"]
)


def _may_update(sandbox: SandboxTotara, acts: TotaraActs) -> None:
    tokens = sandbox.site.switches.tokens
    name = _token("full")
    tokens[name] = replace(tokens[name], capabilities=RECORDED_CAPABILITIES | {"moodle/course:update"})


def _not_by_criteria(sandbox: SandboxTotara, acts: TotaraActs) -> None:
    """Whoever was complete without having met the criterion: the rows of criteria were not kept."""
    with acts.engine.begin() as connection:
        connection.execute(text("DELETE FROM ttr_course_completion_crit_compl WHERE course = 4"))


def _in_progress(sandbox: SandboxTotara, acts: TotaraActs) -> None:
    """The learner completed later, and the rows are of that time."""
    acts.regress(114, 4)
    _not_by_criteria(sandbox, acts)


def _maintenance(sandbox: SandboxTotara, acts: TotaraActs) -> None:
    sandbox.site.switches.maintenance = True


def _rest_off(sandbox: SandboxTotara, acts: TotaraActs) -> None:
    sandbox.site.switches.rest_on = False


def _web_services_off(sandbox: SandboxTotara, acts: TotaraActs) -> None:
    sandbox.site.switches.web_services_on = False


def _later_theme(sandbox: SandboxTotara, acts: TotaraActs) -> None:
    sandbox.site.switches.theme_revision = 1795291619


#: How the recorded site was at that moment, where it was not as usual.
STATES: dict[str, Callable[[SandboxTotara, TotaraActs], None]] = {
    "completion_status_25": _in_progress,
    "completion_status_50": _not_by_criteria,
    "courses_by_field_with_update_cap": _may_update,
    "courses_with_update_cap": _may_update,
    "error_maintenance": _maintenance,
    "error_rest_protocol_disabled": _rest_off,
    "error_webservices_disabled": _web_services_off,
    "site_info": _later_theme,
}


def _names() -> list[str]:
    return sorted(file.stem for file in RECORDED.glob("*.json"))


def _token(which: str) -> str:
    return f"<wstoken_{which}>"


@pytest.fixture
def sandbox(totara: Engine) -> Iterator[SandboxTotara]:
    """The recorded site, with its tokens under the names that stand for them in the recordings."""
    with totara.begin() as connection:
        connection.execute(text(_NOT_KEPT))
    full = RestToken(service=Service(functions=_FULL))
    with SandboxTotara(totara) as running:
        running.site.switches.site_url = "http://127.0.0.1:8081"
        running.site.switches.tokens = {
            _token("full"): full,
            _token("weak"): replace(full, user_id=204, capabilities=frozenset()),
            _token("expired"): replace(full, expires_at=_USUAL_TIME - 1),
            _token("iprestricted"): replace(full, allowed_ips=frozenset({"10.1.2.3"})),
            _token("disabled_service"): replace(full, service=Service(functions=_FULL, enabled=False)),
            _token("restricted_service"): replace(full, service=Service(_FULL, restricted_users=frozenset({2}))),
        }
        yield running


def _recorded(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    recorded = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    return recorded["request"], recorded["response"]


def _send(sandbox: SandboxTotara, request: dict[str, Any]) -> requests.Response:
    form = {"Content-Type": "application/x-www-form-urlencoded"} if request["body"] else {}
    with requests.Session() as session:
        return session.request(
            request["method"], sandbox.url + request["path"], data=request["body"], headers=form, timeout=60
        )


@pytest.mark.parametrize("name", [name for name in _names() if name not in NEVER_CALLED])
def test_a_recorded_request_gets_the_recorded_answer(sandbox: SandboxTotara, totara: Engine, name: str) -> None:
    sandbox.site.clock = lambda: TIMES.get(name, _USUAL_TIME)
    if name in STATES:
        STATES[name](sandbox, TotaraActs(totara))
    request, expected = _recorded(name)
    answer = _send(sandbox, request)
    assert answer.status_code == expected["status"]
    assert {header: answer.headers.get(header) for header in expected["headers"]} == expected["headers"]
    assert len(answer.content) == expected["bytes"]
    if "json" in expected:
        same_order = UNORDERED.get(name, lambda answer: answer)
        value = same_order(answer.json())
        compared = value[: CUT[name]] if name in CUT else value
        # text is told apart by the order of keys and by type, where True == 1
        assert json.dumps(compared, indent=1) == json.dumps(same_order(expected["json"]), indent=1)
    else:
        assert answer.text == expected["text"]


@pytest.mark.parametrize("name", NEVER_CALLED)
def test_what_the_bridge_never_calls_is_refused_by_name(sandbox: SandboxTotara, name: str) -> None:
    request, _ = _recorded(name)
    function = dict(parse_qsl(request["body"]))["wsfunction"]
    answer = _send(sandbox, request)
    assert (answer.status_code, answer.text) == (
        501,
        f"The sandbox Totara does not answer {function}: a real one would.",
    )


def test_every_exception_is_of_a_recording_that_is_there() -> None:
    named = {*NEVER_CALLED, *UNORDERED, *CUT, *TIMES, *STATES}
    assert named <= set(_names())
    assert not set(NEVER_CALLED) & {*UNORDERED, *CUT, *TIMES, *STATES}
