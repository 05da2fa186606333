"""The commands of a maintainer's shell print no orders for the terminal, whoever has put them into staging."""

import json

import pytest
from sqlalchemy import Engine, text

from tests.bridge import Bridge
from tests.security.answering import answer, server
from totara_bridge.command.__main__ import main

#: Clears the screen, sets the window's title, turns the line around.
EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\u061c"


SAID = json.dumps({"error": EVIL, "error_description": EVIL}).encode()


@pytest.fixture
def shell(staging: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell in the environment where Airflow runs."""
    url = staging.url.render_as_string(hide_password=False)
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", url.replace("+psycopg", ""))
    monkeypatch.delenv("TOTARA_BRIDGE_CONFIG", raising=False)
    monkeypatch.setenv("LOGNAME", f"ann{EVIL}")  # what a maintainer is called


def _printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(arguments)
    shown = capsys.readouterr()
    return shown.out + shown.err


def _gives_no_orders(shown: str) -> None:
    assert shown.strip()
    assert not [each for each in shown if not (each.isprintable() or each in "\n\t")]
    assert not set("\x1b\x07\x9b\u202e\u061c") & set(shown)


def test_no_command_shows_them(bridge: Bridge, shell: None, capsys: pytest.CaptureFixture[str]) -> None:
    user, course = (
        bridge.totara.new_user(firstname=f"Zoe{EVIL}", lastname=EVIL),
        bridge.totara.new_course(fullname=EVIL),
    )
    bridge.totara.enrol(user, course)
    bridge.extract()
    bridge.totara.complete(user, course)
    assert bridge.extract().queued == 1
    [item] = bridge.rows("SELECT q.id FROM bridge.export_queue q")
    _sql(
        bridge.staging,
        "UPDATE bridge.export_queue SET state = 'dead', error_class = :evil, error_code = :evil, error_words = :evil",
        """INSERT INTO bridge.item_event (item_id, at, verb, actor, words)
           VALUES (:item, now(), 'reject', :evil, :evil)""",
        """WITH made AS (
            INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, outcome, error, request_id)
            VALUES (gen_random_uuid(), 'oracle', now(), 1, 1, 'sent', :evil, :evil) RETURNING id)
        INSERT INTO bridge.kept_body SELECT id, 'oracle', now(), :evil, :evil FROM made""",
        """INSERT INTO bridge.alert (name, subject, words, raised_at, seen_at)
           VALUES ('destination_down', :evil, :evil, now(), now())""",
        item=item["id"],
    )
    for arguments in (
        ("bodies", "--destination", "oracle"),
        ("preview", "--destination", "oracle"),
        ("trace", "--item", str(item["id"])),
        ("errors",),
        ("why", "--site", "sbx", "--learner", str(user), "--course", str(course)),
        ("trace", "--key", f"TB{EVIL}"),
        ("bodies", "--destination", f"nobody{EVIL}"),
        ("alerts",),
        ("token", "issue", "payroll"),
        ("token", "list"),
        ("setting",),
        ("item", "requeue", str(item["id"]), "--why", EVIL),
    ):
        _gives_no_orders(_printed(capsys, *arguments))


@pytest.mark.parametrize(
    "answers",
    [
        {b"/": answer(SAID, status=b"400 Bad Request")},
        {b"/token": answer(b'{"access_token":"t","token_type":"Bearer"}'), b"/": answer(SAID, status=b"403 Forbidden")},
    ],
    ids=["no token", "no item"],
)
def test_a_check_of_an_endpoint_shows_them_neither(
    answers: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_CLIENT_SECRET", "secret")
    with server(answers) as url:
        asked = ("--base-url", url, "--token-url", f"{url}/token", "--client-id", "client", "--yes")
        shown = _printed(capsys, "check-endpoint", *asked)
    assert "[2J" in shown
    _gives_no_orders(shown)


def test_what_a_database_says_is_shown_without_them_too(
    staging: Engine, shell: None, capsys: pytest.CaptureFixture[str]
) -> None:
    _sql(
        staging,
        f"""CREATE FUNCTION bridge.fail() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'io_error', MESSAGE = '{EVIL}'; END $$""",
        "CREATE TRIGGER fail BEFORE INSERT ON bridge.api_token FOR EACH ROW EXECUTE FUNCTION bridge.fail()",
    )
    shown = _printed(capsys, "token", "issue", "payroll")
    assert shown.startswith("The staging database of TOTARA_BRIDGE_DATABASE_URL cannot be used: \\u001b[2J")
    _gives_no_orders(shown)


def _sql(staging: Engine, *statements: str, **values: object) -> None:
    with staging.begin() as transaction:
        for statement in statements:
            transaction.execute(text(statement), {"evil": EVIL} | values)
