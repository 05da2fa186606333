"""Tokens of the Pull API: who gets one, how one is replaced and taken back, and what is written down of it."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.items import NOW, Items, items_in
from totara_bridge import api_token
from totara_bridge.api_token import Issued, Rotated
from totara_bridge.errors import RequestInvalid
from totara_bridge.staging.api_token import Scope, Token, admit, tokens

WaitUntil = Callable[[Callable[[], bool]], None]
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("api_token")) as opened:
        yield opened


@pytest.fixture
def table(database: Items) -> Items:
    """Nobody has a token."""
    return database.emptied()


def issue(table: Items, caller: str = "warehouse", *, now: datetime = NOW, **asked: Any) -> Issued:
    with table.staging.begin() as transaction:
        return api_token.issue(transaction, caller=caller, by="ann", now=now, **asked)


def rotate(table: Items, caller: str = "warehouse", *, now: datetime = NOW, **asked: Any) -> Rotated:
    with table.staging.begin() as transaction:
        return api_token.rotate(transaction, caller=caller, by="bob", now=now, **asked)


def revoke(table: Items, whose: str | int, *, now: datetime = NOW) -> list[int]:
    with table.staging.begin() as transaction:
        return api_token.revoke(transaction, whose, by="eve", now=now)


def known(table: Items) -> list[Token]:
    with table.staging.connect() as transaction:
        return tokens(transaction)


def live(table: Items, *, now: datetime = NOW) -> list[int]:
    return [each.id for each in known(table) if each.is_live(now)]


def lets_in(table: Items, token: str, *, now: datetime = NOW, address: str | None = None) -> bool:
    """Whether the gate's statement does."""
    sha256 = hashlib.sha256(token.encode()).digest()
    with table.staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        caller = admit(connection, sha256=sha256, address=address, now=now)
    return caller is not None and caller.from_here


def audited(table: Items) -> list[dict[str, Any]]:
    return [dict(row) for row in table.sql("SELECT actor, action, subject, details FROM bridge.audit_log ORDER BY id")]


def nothing_happened(table: Items) -> bool:
    return not audited(table) and not known(table)


def test_a_token_is_issued_with_what_was_asked_for(table: Items) -> None:
    issued = issue(
        table,
        scopes=[Scope.READ, Scope.READ],
        networks=["10.1.0.0/16", "2001:db8::/32", "192.0.2.7", "::ffff:10.9.0.0/112"],
        lasts=2 * DAY,
    )
    assert known(table) == [
        Token(
            id=issued.id,
            caller="warehouse",
            hint=issued.token[:8],
            scopes=["read"],
            networks=["10.1.0.0/16", "2001:db8::/32", "192.0.2.7/32", "10.9.0.0/16"],
            created_at=NOW,
            created_by="ann",
            expires_at=NOW + 2 * DAY,
            last_used_at=None,
            revoked_at=None,
            revoked_by=None,
        )
    ]
    [row] = table.sql("SELECT sha256 FROM bridge.api_token")
    assert bytes(row["sha256"]) == hashlib.sha256(issued.token.encode()).digest()
    assert audited(table) == [
        {
            "actor": "ann",
            "action": "api_token",
            "subject": "warehouse",
            "details": {
                "what": "issued",
                "token": issued.id,
                "scopes": ["read"],
                "networks": ["10.1.0.0/16", "2001:db8::/32", "192.0.2.7/32", "10.9.0.0/16"],
                "expires_at": "2026-03-03T12:30:00+00:00",
            },
        }
    ]


def test_it_lives_for_a_year_unless_it_is_to_live_until_it_is_revoked(table: Items) -> None:
    assert issue(table).expires_at == NOW + 365 * DAY
    endless = issue(table, "other", lasts=None)
    assert endless.expires_at is None
    assert live(table, now=NOW + 365 * DAY) == [endless.id]


def test_a_name_is_of_letters_digits_and_three_signs(table: Items) -> None:
    names = ["7up", "A-b_c.9", "a", "x" * 64]
    for caller in names:
        issue(table, caller)
    assert sorted(each.caller for each in known(table)) == names


@pytest.mark.parametrize("verb", [issue, rotate, revoke])
def test_a_name_that_cannot_be_is_refused(table: Items, verb: Callable[..., object]) -> None:
    for caller in ("", "x" * 65, "two words", "a\n", "é", "a/b", "17", "\udcff", "a\x00"):
        with pytest.raises(RequestInvalid, match="is no name of a caller: write 1 to 64 letters"):
            verb(table, caller)
    assert nothing_happened(table)


def test_a_network_that_cannot_be_is_refused(table: Items) -> None:
    for network in ("10.1.2.3/16", "10", "", "everywhere", "10.0.0.0/33", "fe80::1%eth0", "10.0.0.0/8, ::/0", "::1/0"):
        with pytest.raises(RequestInvalid, match=r"is no network: write the first address and the length, as 10\.1\.0"):
            issue(table, networks=["10.0.0.0/8", network])
    assert nothing_happened(table)


def test_an_end_that_cannot_be_is_refused(table: Items) -> None:
    for lasts in (timedelta(0), -DAY, 3651 * DAY, timedelta.max):
        with pytest.raises(RequestInvalid, match="3650 days at most, or without end"):
            issue(table, lasts=lasts)
    assert nothing_happened(table)


def test_a_token_is_good_for_something(table: Items) -> None:
    with pytest.raises(RequestInvalid, match="give it some of read, acknowledge"):
        issue(table, scopes=[])


def test_who_has_a_live_token_gets_no_other(table: Items) -> None:
    first = issue(table, lasts=DAY)
    with pytest.raises(RequestInvalid, match=f"has a live token, number {first.id}: rotate it, or revoke it"):
        issue(table)
    assert live(table) == [first.id]
    assert len(audited(table)) == 1
    after = issue(table, now=NOW + DAY)
    assert live(table, now=NOW + DAY) == [after.id]
    revoke(table, after.id, now=NOW + DAY)
    issue(table, now=NOW + DAY)


def test_a_rotation_lets_both_in_for_a_week_and_then_the_new_one(table: Items) -> None:
    first = issue(table, scopes=[Scope.READ], networks=["10.0.0.0/8"], lasts=100 * DAY)
    now = NOW + 10 * DAY
    rotated = rotate(table, now=now)
    assert (rotated.old, rotated.old_until) == ([first.id], now + 7 * DAY)
    new = known(table)[1]
    assert (new.id, new.created_by) == (rotated.new.id, "bob")
    assert (new.scopes, new.networks, new.expires_at) == (["read"], ["10.0.0.0/8"], now + 100 * DAY)
    for later, both in ((timedelta(0), True), (7 * DAY - timedelta(seconds=1), True), (7 * DAY, False)):
        assert lets_in(table, first.token, now=now + later, address="10.2.3.4") is both
        assert lets_in(table, rotated.new.token, now=now + later, address="10.2.3.4")
    assert audited(table)[1] == {
        "actor": "bob",
        "action": "api_token",
        "subject": "warehouse",
        "details": {
            "what": "rotated",
            "token": new.id,
            "scopes": ["read"],
            "networks": ["10.0.0.0/8"],
            "expires_at": "2026-06-19T12:30:00+00:00",
            "replaced": [
                {"token": first.id, "from": "2026-06-09T12:30:00+00:00", "to": "2026-03-18T12:30:00+00:00"},
            ],
        },
    }


def test_an_old_token_lives_no_longer_for_being_rotated(table: Items) -> None:
    first = issue(table, lasts=DAY)
    assert rotate(table).old_until == first.expires_at
    assert known(table)[0].expires_at == first.expires_at


def test_a_token_without_end_is_replaced_by_another(table: Items) -> None:
    issue(table, lasts=None)
    assert rotate(table).new.expires_at is None
    assert known(table)[0].expires_at == NOW + 7 * DAY
    assert audited(table)[1]["details"]["replaced"][0]["from"] is None


@pytest.mark.parametrize("lasts", [365 * DAY, None])
def test_after_a_rotation_whose_token_was_lost_the_next_lives_as_long_as_the_first(
    table: Items, lasts: timedelta | None
) -> None:
    issue(table, lasts=lasts)
    for day in range(3):
        now = NOW + day * DAY
        lost = rotate(table, now=now).new
        assert lost.expires_at == (lasts and now + lasts)
        revoke(table, lost.id, now=now)
    assert rotate(table, overlap=timedelta(0), now=now).new.expires_at == (lasts and now + lasts)


def test_a_third_live_token_is_refused_until_one_of_the_two_has_ended(table: Items) -> None:
    first = issue(table)
    second = rotate(table).new
    before = known(table)
    with pytest.raises(
        RequestInvalid,
        match=rf"two live tokens already, number {first.id} until 2026-03-08 12:30 UTC and number {second.id} until",
    ):
        rotate(table)
    assert known(table) == before
    assert rotate(table, now=NOW + 7 * DAY).old == [second.id]


def test_a_rotation_without_overlap_ends_all_there_is_at_once(table: Items) -> None:
    first = issue(table)
    second = rotate(table).new
    third = rotate(table, overlap=timedelta(0))
    assert (third.old, third.old_until) == ([first.id, second.id], NOW)
    assert live(table) == [third.new.id]
    assert [lets_in(table, each.token) for each in (first, second, third.new)] == [False, False, True]


def test_an_overlap_that_cannot_be_is_refused(table: Items) -> None:
    issue(table)
    for overlap in (-DAY, 366 * DAY, timedelta.max):
        with pytest.raises(RequestInvalid, match="for 0 to 365 days"):
            rotate(table, overlap=overlap)


def test_who_has_no_live_token_has_none_to_rotate(table: Items) -> None:
    with pytest.raises(RequestInvalid, match="There is no caller of the name warehouse: known are none yet"):
        rotate(table)
    issue(table, lasts=DAY)
    with pytest.raises(RequestInvalid, match="has no live token: issue one"):
        rotate(table, now=NOW + DAY)


def test_revoking_ends_all_of_a_caller_at_once_and_twice_is_once(table: Items) -> None:
    first, other = issue(table), issue(table, "other")
    second = rotate(table).new
    assert revoke(table, "warehouse") == [first.id, second.id]
    assert live(table) == [other.id]
    assert [lets_in(table, each.token) for each in (first, second, other)] == [False, False, True]
    before = table.sql("SELECT * FROM bridge.api_token ORDER BY id"), audited(table)
    assert revoke(table, "warehouse", now=NOW + DAY) == []
    assert revoke(table, first.id, now=NOW + DAY) == []
    assert (table.sql("SELECT * FROM bridge.api_token ORDER BY id"), audited(table)) == before
    assert audited(table)[-1] == {
        "actor": "eve",
        "action": "api_token",
        "subject": "warehouse",
        "details": {
            "what": "revoked",
            "tokens": [
                {"token": first.id, "from": "2026-03-08T12:30:00+00:00", "to": "2026-03-01T12:30:00+00:00"},
                {"token": second.id, "from": "2027-03-01T12:30:00+00:00", "to": "2026-03-01T12:30:00+00:00"},
            ],
        },
    }


def test_one_of_two_is_revoked_by_its_number(table: Items) -> None:
    first = issue(table)
    second = rotate(table).new
    assert revoke(table, first.id) == [first.id]
    assert live(table) == [second.id]


def test_one_that_has_expired_by_this_clock_is_revoked_all_the_same(table: Items) -> None:
    first = issue(table, lasts=DAY)
    assert revoke(table, "warehouse", now=NOW + DAY) == [first.id]
    assert not lets_in(table, first.token)


def test_what_there_is_not_cannot_be_revoked(table: Items) -> None:
    issue(table)
    for whose in ("nobody", 0, -1, 99, 2**63, 10**40):
        with pytest.raises(RequestInvalid, match=f"There is no token of .* {whose}: list"):
            revoke(table, whose)


def at_once(table: Items, ask: Callable[[], object], times: int = 6) -> list[object]:
    """What came of asking that often at the same time; a refusal is its words."""

    def said(_: int) -> object:
        try:
            return ask()
        except RequestInvalid as refused:
            return str(refused)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(said, range(times)))


def test_of_many_that_issue_at_once_one_does(table: Items) -> None:
    came = at_once(table, lambda: issue(table))
    assert [type(each) for each in came].count(Issued) == 1
    assert len(live(table)) == len(audited(table)) == 1


def test_of_many_that_rotate_at_once_one_does(table: Items) -> None:
    issue(table)
    came = at_once(table, lambda: rotate(table))
    assert [type(each) for each in came].count(Rotated) == 1
    assert all("two live tokens already" in each for each in came if isinstance(each, str))
    assert len(live(table)) == len(audited(table)) == 2


def waiting(table: Items) -> bool:
    """Whether somebody waits for somebody else."""
    sql = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(table.sql(sql))


def test_revoking_waits_for_who_rotates_and_takes_the_new_token_back_too(table: Items, wait_until: WaitUntil) -> None:
    first = issue(table)
    with ThreadPoolExecutor(1) as threads:
        with table.staging.begin() as transaction:
            second = api_token.rotate(transaction, caller="warehouse", by="bob", now=NOW).new
            revoking = threads.submit(revoke, table, "warehouse")
            wait_until(lambda: waiting(table) or revoking.done())
        assert revoking.result() == [first.id, second.id]
    assert live(table) == []


ROTATE = """
import sys
from datetime import datetime
from sqlalchemy import create_engine
from totara_bridge import api_token
with create_engine(sys.argv[1], connect_args={"application_name": "killed"}).begin() as transaction:
    api_token.rotate(transaction, caller="warehouse", by="bob", now=datetime.fromisoformat(sys.argv[2]))
"""


@contextmanager
def rotating_without_end(table: Items, wait_until: WaitUntil) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has written the old and the new token, and waits to write down that it did."""
    blocking: Connection
    with table.staging.connect() as blocking:
        blocking.execute(text("LOCK TABLE bridge.audit_log IN EXCLUSIVE MODE"))
        address = table.staging.url.render_as_string(hide_password=False)
        program = [sys.executable, "-c", ROTATE, address, NOW.isoformat()]
        with subprocess.Popen(program, env=os.environ | {"PYTHONPATH": os.getcwd()}) as process:
            try:
                wait_until(lambda: waiting(table) or process.poll() is not None)
                yield process
            finally:
                process.kill()
        blocking.rollback()


def test_a_rotation_that_is_killed_half_way_has_changed_nothing(table: Items, wait_until: WaitUntil) -> None:
    first = issue(table)
    before = known(table)
    with rotating_without_end(table, wait_until) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        table.sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'killed'")
    assert known(table) == before
    assert len(audited(table)) == 1
    assert rotate(table).old == [first.id]
    assert len(live(table)) == 2


def test_nobody_who_shows_a_token_waits_for_who_rotates_it(table: Items, wait_until: WaitUntil) -> None:
    first = issue(table)
    with rotating_without_end(table, wait_until):
        assert lets_in(table, first.token)
    assert known(table)[0].last_used_at is None, "it was locked; the next request notes it"
    assert lets_in(table, first.token)
    assert known(table)[0].last_used_at == NOW


def everything(table: Items) -> str:
    """All that every table of staging holds, as text."""
    names = table.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'bridge'")
    rows = [
        str(row["said"])
        for name in names
        for row in table.sql(f'SELECT t::text AS said FROM bridge."{name["table_name"]}" t')
    ]
    return "\n".join(rows)


def test_the_token_stands_nowhere_and_its_hash_in_one_place(table: Items, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    made = [issue(table)]
    made += [rotate(table).new, rotate(table, overlap=timedelta(0)).new]
    assert lets_in(table, made[-1].token)
    revoke(table, "warehouse")
    held = everything(table)
    assert made[0].token[:8] in held, "the hint is there to tell them apart"
    for each in made:
        hashed = hashlib.sha256(each.token.encode()).hexdigest()
        assert each.token[8:] not in held + caplog.text
        assert (held.count(hashed), caplog.text.count(hashed)) == (1, 0)
