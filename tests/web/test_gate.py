"""Who is let in, and what everybody else gets."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.web.door import Door, Headers, Said, a_door
from tests.web.puller import Puller
from totara_bridge import api_token
from totara_bridge.settings import Settings
from totara_bridge.staging.api_token import Scope


@pytest.fixture(scope="module")
def opened(new_database: Callable[[str], str]) -> Iterator[Door]:
    """A door for all tests of this file."""
    with a_door(new_database("gate")) as door:
        yield door


@pytest.fixture
def door(opened: Door) -> Door:
    """A door before which nobody was yet."""
    return opened.emptied()


def test_a_live_token_is_let_in_and_nothing_else_is(puller: Puller) -> None:
    assert puller.get("/nowhere").status_code == 404
    assert puller.get("/openapi.json").status_code == 200
    puller.session.headers["X-Api-Key"] = "tbk_" + "0" * 36
    refused = puller.get("/openapi.json")
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")


def test_the_token_is_shown_in_either_header(door: Door) -> None:
    token = door.issue()
    shown: list[Headers] = [
        [("X-Api-Key", token)],
        [("x-api-key", f" \t{token}  ")],
        [("Authorization", f"Bearer {token}")],
        [("Authorization", f"bearer   {token}")],
        [("AUTHORIZATION", f"BEARER {token}")],
        [("X-Api-Key", token), ("Authorization", "Basic YTpi")],
        [("Authorization", f"Bearer {api_token.new_token()}"), ("X-Api-Key", token)],
        [("Authorization", "Basic YTpi"), ("Authorization", f"Bearer {token}")],
    ]
    for headers in shown:
        said = door.ask(*headers)
        assert (said.status, said.body) == (200, b'{"caller": "warehouse"}'), headers


def wrong(door: Door) -> dict[str, Headers]:
    """All that is no live token, and how it is shown."""
    good = door.issue()
    revoked, expired = door.issue("revoked"), door.issue("expired", lasts=timedelta(seconds=1))
    door.revoke("revoked")
    door.now += timedelta(seconds=1)
    unknown = api_token.new_token()
    bad_checksum = unknown[:-1] + ("1" if unknown[-1] == "0" else "0")
    keys: dict[str, str | bytes] = {
        "unknown": unknown,
        "revoked": revoked,
        "expired": expired,
        "unknown, of a bad checksum": bad_checksum,
        "good, of a bad checksum": good[:-1] + ("1" if good[-1] == "0" else "0"),
        "empty": "",
        "blank": "   ",
        "no prefix": good[4:],
        "another prefix": "tbx_" + good[4:],
        "prefix in capitals": "TBK_" + good[4:],
        "all in lower case": good.lower() + "x" * (good.lower() == good),
        "all in capitals": good.upper(),
        "too short": good[:-1],
        "too long": good + "0",
        "far too long": good * 100,
        "quoted": f'"{good}"',
        "twice in one": f"{good}, {good}",
        "not ASCII": "tbk_é".encode() + good[5:].encode(),
        "no text": b"\xff" * 40,
        "a space that is none": good.encode() + b"\xa0",
        "digits of another script": ("tbk_" + "٣" * 36).encode(),
        "a hash": "0" * 64,
        "SQL": "' OR 1=1 --",
    }
    bearers = {name: b"Bearer " + (key.encode() if isinstance(key, str) else key) for name, key in keys.items()}
    others: dict[str, Headers] = {
        "nothing": [],
        "another scheme": [("Authorization", f"Basic {good}")],
        "no scheme": [("Authorization", good)],
        "a scheme alone": [("Authorization", "Bearer")],
        "a scheme without a blank": [("Authorization", f"Bearer{good}")],
        "two headers, the first good": [("X-Api-Key", good), ("X-Api-Key", unknown)],
        "the same header twice": [("X-Api-Key", good), ("X-Api-Key", good)],
        "two bearers": [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {unknown}")],
        "a wrong key and a good bearer": [("X-Api-Key", unknown), ("Authorization", f"Bearer {good}")],
        "an empty key and a good bearer": [("X-Api-Key", ""), ("Authorization", f"Bearer {good}")],
        "a cookie": [("Cookie", f"X-Api-Key={good}; _token={good}")],
        "a token of Airflow": [("Authorization", "Bearer eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhZG1pbiJ9.c2ln")],
    }
    return (
        {f"key {name}": [("X-Api-Key", key)] for name, key in keys.items()}
        | {f"bearer {name}": [("Authorization", bearer)] for name, bearer in bearers.items()}
        | others
    )


def test_whatever_is_no_live_token_gets_the_very_same_bytes(door: Door) -> None:
    told: dict[str, Said] = {}
    for name, headers in wrong(door).items():
        for path in ("/read", "/any", "/acknowledge", "/read?limit=-1", f"/read?{'x' * 9_000}"):
            told[f"{name} at {path[:20]}"] = door.ask(*headers, path=path)
    one = told["nothing at /read"]
    assert {name: said for name, said in told.items() if said != one} == {}
    assert (one.status, one.kind) == (401, "unauthorized")
    assert one.headers["www-authenticate"] == 'Bearer realm="Totara Bridge"'
    assert one.headers["cache-control"] == "no-store"


def test_a_token_in_the_address_is_none(door: Door) -> None:
    assert door.ask(path=f"/read?api_key={door.issue()}").status == 401


def test_who_has_no_token_learns_nothing_of_switches_and_addresses(door: Door) -> None:
    one = door.ask()
    revoked = door.issue(networks=["10.0.0.0/8"])
    door.revoke()
    door.switch("pull", False)
    assert door.show(revoked) == door.show(api_token.new_token()) == one


def test_a_token_ends_when_it_expires_and_when_it_is_revoked(door: Door) -> None:
    token = door.issue(lasts=timedelta(minutes=5))
    door.now += timedelta(minutes=5) - timedelta(microseconds=1)
    assert door.show(token).status == 200
    door.now += timedelta(microseconds=1)
    assert door.show(token).status == 401
    another = door.issue()
    assert door.show(another).status == 200
    door.revoke()
    assert door.show(another).status == 401


@pytest.mark.parametrize("name", ["enabled", "pull"])
def test_switched_off_the_next_request_is_refused_and_switched_on_the_next_is_not(door: Door, name: str) -> None:
    token = door.issue()
    with door.calling() as ask:
        for _ in range(2):
            assert ask([("X-Api-Key", token)], "/read").status == 200
            door.switch(name, False)
            for path in ("/read", "/any", "/acknowledge"):
                refused = ask([("X-Api-Key", token)], path)
                assert (refused.status, refused.kind) == (503, "switched-off")
                assert refused.retry_after > timedelta(0)
            door.switch(name, True)
    assert door.show(token).status == 200


@pytest.mark.parametrize("name", ["enabled", "pull"])
def test_a_switch_is_understood_as_everything_else_of_the_bridge_does(door: Door, name: str) -> None:
    token = door.issue()
    for off in (False, "false", "off", "No", "f", "N", 0, "0"):
        door.switch(name, off)
        assert door.show(token).status == 503, off
    for on in (True, "TRUE", "on", "yes", "t", "y", 1, "1"):
        door.switch(name, on)
        assert door.show(token).status == 200, on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("enabled", "pull")
            for value in ("null", '"perhaps"', "2", "[]", '{"a": 1}', '""')
        ),
        *(
            ("pull_per_minute", value)
            for value in (
                "0",
                "-5",
                "10000001",
                "9" * 30,
                "1e400",
                '"many"',
                "null",
                "0.5",
                "[600]",
                '"6\\u0660"',
            )
        ),
    ],
)
def test_a_switch_that_cannot_be_lets_nobody_in_and_is_named_in_the_log(
    door: Door, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    token = door.issue()
    door.table.sql("INSERT INTO bridge.setting VALUES ('bridge', :name, cast(:value AS jsonb), now(), 'hand')",
                   name=name, value=value)  # fmt: skip
    with caplog.at_level(logging.ERROR):
        refused = door.show(token)
    assert (refused.status, refused.kind) == (503, "misconfigured")
    assert refused.retry_after > timedelta(0)
    assert f"setting {name} of bridge is not valid" in caplog.text
    assert door.table.sql("SELECT FROM bridge.api_token_pace") == []
    assert door.show(api_token.new_token()).status == 401
    door.switch(name, getattr(Settings(), name))
    assert door.show(token).status == 200


@pytest.mark.parametrize("value", ["true", '" 600 "'])
def test_a_limit_that_only_looks_like_a_number_lets_nobody_in(
    door: Door, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    door.table.sql(
        "INSERT INTO bridge.setting VALUES ('bridge', 'pull_per_minute', cast(:value AS jsonb), now(), 'hand')",
        value=value,
    )
    assert door.show(door.issue()).kind == "misconfigured"
    assert "set enabled, pull and pull_per_minute anew" in caplog.text


def test_off_is_off_whatever_the_other_switches_hold(door: Door) -> None:
    token = door.issue()
    door.table.sql("INSERT INTO bridge.setting VALUES ('bridge', 'pull_per_minute', '0', now(), 'hand')")
    door.switch("enabled", False)
    assert door.show(token).kind == "switched-off"


def test_a_switch_of_one_destination_is_none_of_the_pullers(door: Door) -> None:
    door.table.sql("INSERT INTO bridge.setting VALUES ('oracle', 'enabled', 'false', now(), 'ann')")
    assert door.show(door.issue()).status == 200


@pytest.mark.parametrize(
    ("scopes", "opens"),
    [
        ([Scope.READ], {"/read", "/any"}),
        ([Scope.ACKNOWLEDGE], {"/acknowledge", "/any"}),
        (list(Scope), {"/read", "/acknowledge", "/any"}),
    ],
)
def test_a_token_opens_what_it_is_good_for(door: Door, scopes: list[Scope], opens: set[str]) -> None:
    token = door.issue(scopes=scopes)
    said = {path: door.show(token, path=path) for path in ("/read", "/acknowledge", "/any")}
    assert {path for path, each in said.items() if each.status == 200} == opens
    assert all((each.status, each.kind) == (403, "missing-scope") for path, each in said.items() if path not in opens)


NETWORKS = ["10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "::1"]


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("10.1.0.0", 200),
        ("10.1.255.255", 200),
        ("10.2.0.0", 403),
        ("192.0.2.7", 200),
        ("192.0.2.8", 403),
        ("::ffff:10.1.2.3", 200),
        ("::FFFF:10.1.2.3", 200),
        ("::ffff:a01:203", 200),
        ("::ffff:10.2.0.0", 403),
        ("::10.1.2.3", 403),
        ("2001:db8::1", 200),
        ("2001:DB8:0:0::1", 200),
        ("2001:db8::1%eth0", 200),
        ("2001:db9::1", 403),
        ("::1", 200),
        ("fe80::1%eth0", 403),
        ("nobody", 403),
        ("unix:", 403),
    ],
)
def test_a_token_is_good_where_it_may_come_from(door: Door, source: str, status: int) -> None:
    said = door.show(door.issue(networks=NETWORKS), source=source)
    assert said.status == status
    if status == 403:
        assert said.kind == "wrong-address"
        assert door.table.sql("SELECT FROM bridge.api_token_pace") == [], "it costs nothing"
    assert door.show(door.issue("other"), source=source).status == 200


def test_everywhere_of_one_kind_is_not_everywhere(door: Door) -> None:
    token = door.issue(networks=["0.0.0.0/0"])
    assert [door.show(token, source=each).status for each in ("192.0.2.1", "::ffff:192.0.2.1", "::1")] == [
        200,
        200,
        403,
    ]


def test_the_token_is_in_no_log_and_no_answer(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    token = door.issue(scopes=[Scope.READ])
    told = [
        door.show(token),
        door.show(token, path="/acknowledge"),
        door.ask(("Authorization", f"Bearer {token}")),
        door.show(token[:-1]),
    ]
    door.switch("pull_per_minute", 1)
    told.append(door.show(token))
    door.table.sql("ALTER TABLE bridge.api_token_pace RENAME TO gone")
    try:
        told.append(door.show(token))
    finally:
        door.table.sql("ALTER TABLE bridge.gone RENAME TO api_token_pace")
    assert [each.status for each in told] == [200, 403, 200, 401, 429, 500]
    assert "the Pull API failed at GET /read" in caplog.text
    said = caplog.text + json.dumps([[each.headers, each.body.decode()] for each in told])
    assert token[8:-1] not in said
