"""Who is let in where, at every address of the control panel, by Airflow's SimpleAuthManager; and from which pages."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.web.panel_client import PEOPLE, Login
from tests.web.panel_routes import REQUESTS, Request, addresses

_JSON = {"Content-Type": "application/json"}
_OURS = {"Sec-Fetch-Site": "same-origin"}

#: What a browser sends along that shows a page of somebody else, or of nobody; and what it is answered.
FOREIGN: Mapping[str, tuple[dict[str, str], int]] = {
    "another site": (_JSON | {"Sec-Fetch-Site": "cross-site"}, 403),
    "another host of the same site": (_JSON | {"Sec-Fetch-Site": "same-site"}, 403),
    "no page at all": (_JSON | {"Sec-Fetch-Site": "none"}, 403),
    "an old browser, another origin": (_JSON | {"Origin": "https://elsewhere.example"}, 403),
    "an old browser, no origin such as a file's": (_JSON | {"Origin": "null"}, 403),
    "an origin that is none": (_JSON | {"Origin": "http://["}, 403),
    "a form of plain text": (_OURS | {"Content-Type": "text/plain"}, 415),
    "a form": (_OURS | {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "a form with a file": (_OURS | {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    "no type": (_OURS, 415),
}

#: What Airflow, FastAPI or Starlette refuse whoever asks, before anything of ours does.
_REFUSED = (Request("GET", "/api/nowhere"), Request("PATCH", "/api/overview"), Request("GET", "/static/x/nowhere.js"))

CHANGES = [request for request in REQUESTS if request.changes]


@pytest.fixture
def everybody(login: Login, staging: Engine) -> Iterator[dict[str, httpx.Client]]:
    """A browser of each role, of nobody, and of somebody with a token that is none; by who it is."""
    with ExitStack() as opened:
        address = opened.enter_context(login.browser(login.panel(staging), None)).base_url
        headers = {role: {"Authorization": f"Bearer {login.token(role)}"} for role in PEOPLE}
        headers |= {"nobody": {}, "garbage": {"Authorization": "Bearer nothing"}}
        ours = {"Sec-Fetch-Site": "same-origin"}
        yield {
            who: opened.enter_context(httpx.Client(base_url=address, headers=each | ours, trust_env=False, timeout=60))
            for who, each in headers.items()
        }


def test_every_address_is_in_the_table(login: Login) -> None:
    named = [request.name for request in REQUESTS]
    assert sorted(addresses(login.panel(None))) == sorted(named)
    assert CHANGES


def test_each_is_answered_by_who_they_are(everybody: dict[str, httpx.Client]) -> None:
    for request in REQUESTS:
        answered = {who: _ask(browser, request).status_code for who, browser in everybody.items()}
        expected = {role: request.status if role in request.who else 403 for role in PEOPLE}
        assert answered == expected | {"nobody": 401, "garbage": 403}, request.name


def test_who_may_not_is_told_nothing_but_that(everybody: dict[str, httpx.Client]) -> None:
    for request in REQUESTS:
        if "viewer" in request.who:
            continue
        refused = _ask(everybody["viewer"], request)
        assert refused.json() == {
            "type": "urn:totara-bridge:problem:forbidden",
            "title": "Forbidden",
            "status": 403,
            "detail": "Forbidden",
        }, request.name


def test_no_answer_is_kept_by_a_browser_or_a_proxy(everybody: dict[str, httpx.Client]) -> None:
    for request in (*REQUESTS, *_REFUSED):
        for who in ("admin", "viewer", "nobody"):
            answer = _ask(everybody[who], request)
            kept = [answer.headers.get_list(name) for name in ("cache-control", "x-content-type-options")]
            assert kept == [["no-store"], ["nosniff"]], (request.name, who)
            assert answer.is_success or answer.headers["content-type"] == "application/problem+json", request.name


def test_a_body_that_cannot_be_read_is_a_problem_that_nobody_keeps(everybody: dict[str, httpx.Client]) -> None:
    answer = everybody["admin"].post("/api/tokens", content=b'{"caller":"\xff"}', headers=_JSON)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:totara-bridge:problem:invalid")
    assert answer.headers["cache-control"] == "no-store"


def test_a_change_comes_from_our_own_page(everybody: dict[str, httpx.Client], staging: Engine) -> None:
    before = _everything(staging)
    manager = everybody["admin"]
    with httpx.Client(base_url=manager.base_url, trust_env=False, timeout=60) as elsewhere:
        elsewhere.headers["Authorization"] = manager.headers["Authorization"]
        for request in CHANGES:
            body = json.dumps(request.body).encode()
            for name, (headers, status) in FOREIGN.items():
                answer = elsewhere.request(request.method, request.address, content=body, headers=headers)
                assert answer.status_code == status, (request.name, name)
                assert answer.headers["content-type"] == "application/problem+json"
            assert manager.request(request.method, request.address).status_code in (400, 415), request.name  # no body
    assert _everything(staging) == before


def _ask(browser: httpx.Client, request: Request) -> httpx.Response:
    return browser.request(request.method, request.address, **({"json": request.body} if request.changes else {}))


def _everything(staging: Engine) -> dict[str, str]:
    """Every row there is, by table."""
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'bridge'"
    with staging.connect() as connection:
        return {
            name: str(connection.execute(text(f"SELECT array_agg(t::text) FROM bridge.{name} t")).scalar_one())
            for name in connection.execute(text(tables)).scalars().all()
        }
