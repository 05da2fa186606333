"""``token`` in a maintainer's shell: what is printed where, and that a token is printed once."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from getpass import getuser

import pytest

from tests.items import Items, items_in
from totara_bridge.command.__main__ import main
from totara_bridge.staging.api_token import Token, tokens

Run = Callable[..., tuple[int, str, str]]
TOKEN = re.compile(r"tbk_[0-9A-Za-z]{36}")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("token_command")) as opened:
        yield opened


@pytest.fixture
def table(database: Items, monkeypatch: pytest.MonkeyPatch) -> Items:
    """Nobody has a token."""
    address = database.staging.url.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address)
    database.sql("DELETE FROM bridge.api_token")
    return database


@pytest.fixture
def run(table: Items, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``token``: its exit code, and what it printed."""

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(("token", *arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def known(table: Items) -> list[Token]:
    with table.staging.connect() as transaction:
        return tokens(transaction)


def lasts(token: Token) -> timedelta:
    assert token.expires_at is not None
    return token.expires_at - token.created_at


def test_a_new_token_stands_alone_on_its_line_and_is_told_to_be_shown_once(run: Run, table: Items) -> None:
    code, out, err = run("issue", "warehouse")
    assert code == 0
    assert TOKEN.fullmatch(out.removesuffix("\n"))
    [token] = known(table)
    assert err == (
        f"This is token {token.id} of warehouse, until {token.expires_at:%Y-%m-%d %H:%M} UTC. It is shown this once: "
        "nobody can read it again.\n"
    )
    assert (token.scopes, token.networks, lasts(token)) == (["read", "acknowledge"], [], 365 * DAY)
    assert token.created_by == getuser()
    _, out, err = run("list")
    assert TOKEN.search(out + err) is None


def test_it_is_issued_as_asked(run: Run, table: Items) -> None:
    run("issue", "a", "--scope", "read", "--network", "10.0.0.0/8", "--network", "::1", "--days", "30")
    assert "until it is revoked" in run("issue", "b", "--no-expiry")[2]
    a, b = known(table)
    assert (a.scopes, a.networks, lasts(a)) == (["read"], ["10.0.0.0/8", "::1/128"], 30 * DAY)
    assert b.expires_at is None


def test_rotated_both_let_in_for_as_long_as_is_said(run: Run, table: Items) -> None:
    first = run("issue", "warehouse")[1]
    code, out, err = run("rotate", "warehouse", "--overlap-days", "2")
    assert code == 0
    assert TOKEN.fullmatch(out.removesuffix("\n"))
    assert out != first
    old, new = known(table)
    assert old.expires_at is not None
    assert new.created_at + 2 * DAY == old.expires_at
    assert f"Token {old.id} lets in until {old.expires_at:%Y-%m-%d %H:%M} UTC.\n" in err
    assert run("rotate", "warehouse")[0] == 2
    assert run("rotate", "warehouse", "--overlap-days", "0")[2].endswith(
        f"Tokens {old.id} and {new.id} let nobody in any more.\n"
    )
    assert [each.is_live(datetime.now(UTC)) for each in known(table)] == [False, False, True]


def test_a_week_is_the_overlap_unless_another_is_said(run: Run, table: Items) -> None:
    run("issue", "warehouse")
    run("rotate", "warehouse")
    old, new = known(table)
    assert old.expires_at == new.created_at + 7 * DAY


@pytest.mark.parametrize("by_number", [False, True])
def test_revoked_twice_is_revoked_once(run: Run, table: Items, by_number: bool) -> None:
    run("issue", "warehouse")
    [token] = known(table)
    whose = str(token.id) if by_number else "warehouse"
    assert run("revoke", whose) == (0, f"revoked: token {token.id}\n", "")
    assert run("revoke", whose) == (0, "revoked: none, what there is was already\n", "")


def test_the_list_says_of_each_what_is_known(run: Run, table: Items) -> None:
    assert run("list") == (0, "There is no token: issue one.\n", "")
    run("issue", "a", "--scope", "read", "--network", "10.0.0.0/8", "--network", "192.0.2.7")
    run("issue", "b", "--no-expiry")
    run("issue", "c")
    run("issue", "d")
    run("revoke", "c")
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    table.sql("UPDATE bridge.api_token SET created_at = :at, created_by = 'ann', expires_at = :at + interval '9 days' "
              "WHERE caller <> 'b'", at=at)  # fmt: skip
    table.sql("UPDATE bridge.api_token SET created_at = :at, created_by = 'ann', last_used_at = :at WHERE caller = 'b'",
              at=at)  # fmt: skip
    table.sql("UPDATE bridge.api_token SET expires_at = '2999-12-31Z' WHERE caller = 'a'")
    table.sql("UPDATE bridge.api_token SET revoked_at = :at, revoked_by = 'eve' WHERE caller = 'c'", at=at)
    a, b, c, d = known(table)
    issued = "issued 2026-03-01 12:30 by ann"
    assert run("list")[1].splitlines() == [
        f"{a.id}  a  {a.hint}…, live until 2999-12-31 00:00, read, from 10.0.0.0/8 192.0.2.7/32, {issued}, never used",
        f"{b.id}  b  {b.hint}…, live, read/acknowledge, from anywhere, {issued}, last used 2026-03-01 12:30",
        f"{c.id}  c  {c.hint}…, revoked 2026-03-01 12:30 by eve, read/acknowledge, from anywhere, {issued}, never used",
        f"{d.id}  d  {d.hint}…, expired 2026-03-10 12:30, read/acknowledge, from anywhere, {issued}, never used",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("issue", "two words"), "'two words' is no name of a caller"),
        (("issue", "\udcff"), r"'\udcff' is no name of a caller"),
        (("issue", "a", "--network", "10.1.2.3/8"), "'10.1.2.3/8' is no network"),
        (("issue", "a", "--days", "0"), "A token lasts for some time"),
        (("issue", "a", "--days", "99999"), "A token lasts for some time"),
        (("issue", "a", "--days", "9" * 5000), "A token lasts for some time"),
        (("rotate", "nobody"), "There is no caller of the name nobody: known are none yet."),
        (("rotate", "nobody", "--overlap-days", "99999999"), "Two tokens of a caller live side by side for 0 to 365"),
        (("rotate", "nobody", "--overlap-days", "999"), "Two tokens of a caller live side by side for 0 to 365 days"),
        (("revoke", "nobody"), "There is no token of the caller nobody"),
        (("revoke", "999999"), "There is no token of number 999999"),
        (("revoke", "9" * 19), "There is no token of number 9999999999999999999"),
        (("revoke", "9" * 5000), "'99999"),
    ],
)
def test_what_cannot_be_is_one_sentence(run: Run, table: Items, arguments: tuple[str, ...], sentence: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1
    assert known(table) == []


@pytest.mark.parametrize("days", ["-1", "1.5", "x", "", "٣"])
def test_what_is_no_number_of_days_is_refused(run: Run, capsys: pytest.CaptureFixture[str], days: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run("issue", "a", f"--days={days}")
    assert ended.value.code == 2
    assert f"{days} is no number of days" in capsys.readouterr().err


def test_a_scope_that_there_is_not_is_told_those_that_there_are(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("issue", "a", "--scope", "write")
    assert ended.value.code == 2
    assert "write is no scope: choose of read, acknowledge\n" in capsys.readouterr().err


def test_who_mistypes_a_name_is_told_those_that_there_are(run: Run) -> None:
    run("issue", "warehouse")
    run("issue", "reports")
    assert run("rotate", "warehose")[2] == "There is no caller of the name warehose: known are reports, warehouse.\n"


def test_who_has_two_live_tokens_is_told_both(run: Run, table: Items) -> None:
    run("issue", "warehouse")
    run("rotate", "warehouse")
    old, new = known(table)
    assert run("issue", "warehouse")[2] == (
        f"The caller warehouse has live tokens, numbers {old.id} and {new.id}: revoke them before you issue another.\n"
    )
    assert run("revoke", "warehouse")[1] == f"revoked: tokens {old.id} and {new.id}\n"


def test_a_user_without_a_name_is_known_by_number(run: Run, table: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)  # of whom no machine knows a name
    assert run("issue", "warehouse")[0] == 0
    assert [each.created_by for each in known(table)] == ["uid 4000000001"]


#: Where nobody can read what is printed: how a shell says it, and what is said of it.
NOWHERE = {
    "closed": (">&-", "it is closed"),
    "full": (">/dev/full", "No space left on device"),
    "a pipe that nobody reads": ("", "Broken pipe"),
}


@pytest.mark.parametrize("where", NOWHERE)
def test_a_token_that_cannot_be_printed_is_not_issued(run: Run, table: Items, where: str) -> None:
    run("issue", "other")
    before = known(table)
    redirection, why = NOWHERE[where]
    for asked in ("issue warehouse", "rotate other"):
        reader, writer = os.pipe()
        os.close(reader)
        program = f'"$1" -m totara_bridge.command token {asked} {redirection}'
        done = subprocess.run(
            ["sh", "-c", program, "sh", sys.executable], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writer)
        assert done.stderr == (
            f"The new token cannot be written to standard output ({why}), so nothing was changed: have it written "
            "elsewhere.\n"
        )
        assert done.returncode == 2
        assert known(table) == before


def test_a_script_gets_the_token_and_nothing_else(table: Items) -> None:
    program = [sys.executable, "-m", "totara_bridge.command", "token", "issue", "script"]
    done = subprocess.run(program, env=os.environ, capture_output=True, text=True, check=True)
    assert TOKEN.fullmatch(done.stdout.removesuffix("\n"))
    assert TOKEN.search(done.stderr) is None
    assert [each.caller for each in known(table)] == ["script"]
