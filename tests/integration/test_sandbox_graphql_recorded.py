"""The sandbox's token endpoint and external API answer each recorded request as the recorded 17.3 did, field by field.

Compared are the status, the headers that say something, every value with its type, and the order of the keys.
"""

import base64
import json
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, delete, select

from tests.graphql_asking import Asking
from totara_bridge.sandbox.totara.http.graphql import GraphqlSwitches, graphql_switches
from totara_bridge.sandbox.totara.http.oauth import CLIENT_ID, CLIENT_SECRET
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.schema import create, tables
from totara_bridge.sandbox.totara.seed import seed

RECORDED = Path(__file__).parents[1] / "recorded" / "graphql"
_WRITES = "writes, and the bridge reads: the sandbox refuses mutations"
#: Recordings that are not compared here, each with the reason.
NOT_COMPARED = {
    "graphql_create_user": _WRITES,
    "graphql_create_user_duplicate": _WRITES,
    "graphql_update_user": _WRITES,
    "graphql_update_user_notfound": _WRITES,
    "graphql_delete_user": _WRITES,
    "graphql_selfcomplete_mutation": _WRITES,
    "report_lab_completions": "the first rows of a report's export, compared where reports are tested",
}
COMPARED = sorted(path.stem for path in RECORDED.glob("*.json") if path.stem not in NOT_COMPARED)
_ORDER_OF_EQUALS = "users modified at the same second: the database says which come first"
#: What may differ, by recording: the beginning of the path, and why.
MAY_DIFFER = {
    "graphql_core_user_users_page2": {
        "data.core_user_users.items.1": _ORDER_OF_EQUALS,
        "data.core_user_users.items.2": _ORDER_OF_EQUALS,
    },
}
#: What else the site was when the answer was recorded; it was as it is by default when the others were.
SITUATIONS: dict[str, dict[str, Any]] = {
    "oauth2_token_error_client_disabled": {"client_on": False},
    "graphql_error_api_disabled": {"feature_on": False},
    "graphql_error_client_disabled": {"client_on": False},
    "graphql_error_complexity": {"maximum_complexity": 100},
    "graphql_error_rate_limit_429": {"complexity_per_minute": 0},
    "graphql_error_service_account_suspended": {"service_account_suspended": True},
}


class _Clock:
    """Stands where it was set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def clock() -> _Clock:
    return _Clock()


@pytest.fixture(scope="module")
def running(new_database: Callable[[str], str], clock: _Clock) -> Iterator[SandboxTotara]:
    """The recorded site; the recordings were made before it had any jobs."""
    engine = create_engine(new_database("totara_graphql").replace("postgresql://", "postgresql+psycopg://", 1))
    create(engine)
    seed(engine)
    _without_jobs(engine)
    with SandboxTotara(engine, clock=clock) as sandbox:
        yield sandbox
    engine.dispose()


def _without_jobs(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(delete(tables().job_assignment))


@pytest.fixture
def asking(running: SandboxTotara) -> Iterator[Asking]:
    running.site.extras["graphql"] = GraphqlSwitches()
    running.site.switches.maintenance = False
    with Asking(running) as client:
        yield client


def _recording(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return read


def _filled(text: str | None, token: str) -> str | None:
    """A recorded text with this site's credentials in their places."""
    if text is None:
        return None
    pair = f"{CLIENT_ID}:{CLIENT_SECRET}"
    given = {
        "<graphql_client_id:graphql_client_secret>": base64.b64encode(pair.encode()).decode(),
        "<graphql_client_id>": CLIENT_ID,
        "<graphql_client_secret>": CLIENT_SECRET,
        "<access_token>": token,
    }
    for place, value in given.items():
        text = text.replace(place, value)
    return text


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is not made of others, by its path, in the order of the document; with its type."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not parts or not value:
        yield path.removeprefix("."), (type(value), value)
        return
    for name, part in parts:
        yield from _leaves(part, f"{path}.{name}")


def _compared(value: Any, apart: dict[str, str]) -> list[tuple[str, Any]]:
    return [(path, leaf) for path, leaf in _leaves(value) if not path.startswith(tuple(apart))]


@pytest.mark.parametrize("name", COMPARED)
def test_answers_as_recorded(name: str, asking: Asking, clock: _Clock) -> None:
    recording = _recording(name)
    request, recorded = recording["request"], recording["response"]
    clock.now = parsedate_to_datetime(recorded["headers"]["Date"]).timestamp()
    token = asking.token()
    asking.site.switches.maintenance = name == "graphql_error_maintenance"
    for switch, value in SITUATIONS.get(name, {}).items():
        setattr(asking.switches, switch, value)

    answered = asking.send(
        request["method"],
        _filled(request["path"], token) or "",
        headers={key: _filled(value, token) for key, value in request["headers"].items()},
        data=(_filled(request["body"], token) or "").encode() or None,
    )

    assert answered.status_code == recorded["status"]
    headers = {key: value for key, value in recorded["headers"].items() if key not in {"Date", "Set-Cookie"}}
    assert {key: answered.headers.get(key) for key in headers} == headers
    assert ("Set-Cookie" in answered.headers) == ("Set-Cookie" in recorded["headers"])
    given = answered.json()
    if "access_token" in given:
        assert [len(part) > 30 for part in given["access_token"].split(".")] == [True] * 3
        given["access_token"] = "<access_token>"
    apart = MAY_DIFFER.get(name, {})
    assert _compared(given, apart) == _compared(recorded["json"], apart)
    if not apart and "access_token" not in given:
        assert len(answered.content) == recorded["bytes"]  # so nothing is escaped that was not


def test_users_that_may_come_in_another_order_were_all_modified_at_once(running: SandboxTotara) -> None:
    user = running.site.tables.user
    recorded = _recording("graphql_core_user_users_page2")["response"]["json"]["data"]["core_user_users"]["items"]
    ids = [int(each["id"]) for each in recorded[1:]]
    times = {row["timemodified"] for row in running.site.rows(select(user).where(user.c.id.in_(ids)))}
    assert len(ids) == 2
    assert len(times) == 1


def test_no_recording_is_left_out() -> None:
    there = {path.stem for path in RECORDED.glob("*.json")}
    assert set(COMPARED) | set(NOT_COMPARED) == there
    assert set(MAY_DIFFER) | set(SITUATIONS) <= set(COMPARED)
    assert len(COMPARED) == 37
    for name in NOT_COMPARED.keys() - {"report_lab_completions"}:
        assert '"mutation' in str(_recording(name)["request"]["body"])


@pytest.mark.parametrize("name", sorted(name for name, why in NOT_COMPARED.items() if why == _WRITES))
def test_a_mutation_is_refused_loudly(name: str, asking: Asking) -> None:
    headers = {"Authorization": f"Bearer {asking.token()}"}
    body = _recording(name)["request"]["body"].encode()
    answer = asking.send("POST", "/api/graphql.php", data=body, headers=headers).json()
    assert answer["error"] == "This sandbox takes no mutation."
    assert "data" not in answer


def test_switches_are_found_under_their_name(running: SandboxTotara, asking: Asking) -> None:
    answered = asking.send("POST", "/sandbox/switches", json={"graphql": {"feature_on": False, "release": [19, 1]}})
    assert answered.status_code == 200
    assert graphql_switches(running.site).release == (19, 1)
    assert asking.ask("{ totara_webapi_status { status } }").status_code == 400
