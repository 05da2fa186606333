"""Notices: each channel is told once that an alert was raised and once that it is over, whatever fails in between."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.dags import told
from tests.receivers import Mail, Mailbox, Webhook
from totara_bridge.orchestration import mail
from totara_bridge.orchestration.notices import send_notices
from totara_bridge.staging.notice import LOCK
from totara_bridge.staging.session_lock import session_lock

# Airflow's hooks warn about their own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]

LINK = "https://airflow.example.com/bridge/dags/push_completions"
RAISED = (
    "It answers <503> & no more.",
    "Since 2026-03-01 04:30 UTC.",
    "What to do: docs/operations.md, under `destination_down`.",
)
RESOLVED = (
    "This is over.",
    "It was: It answers <503> & no more.",
    "It lasted from 2026-03-01 04:30 UTC to 2026-03-01 09:15 UTC.",
)
TITLE = "Totara Bridge: destination down: oracle"
OVER = "Totara Bridge: resolved: destination down: oracle"


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with Mailbox() as taking:
        monkeypatch.setenv("AIRFLOW_CONN_MAIL", taking.connection())
        yield taking


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as taking:
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", taking.connection())
        yield taking


@pytest.fixture(autouse=True)
def base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/bridge/")


@pytest.fixture
def nobody_listens() -> Iterator[int]:
    """A port that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


MAIL = {"connection": "mail", "to": ["ann@example.com", "ben@example.com"]}
HOOK = {"connection": "hook"}


def test_every_channel_is_told_once_that_it_is_raised_and_once_that_it_is_over(
    staging: Engine, mailbox: Mailbox, hook: Webhook
) -> None:
    told.use_channels(staging, [MAIL, HOOK])
    told.raise_down(staging)
    assert [told.send(staging).told, told.send(staging).told] == [2, 0]
    told.resolve_down(staging)
    assert [told.send(staging).told, told.send(staging).told] == [2, 0]
    to = ("ann@example.com", "ben@example.com")
    assert mailbox.mails == [
        Mail(
            to,
            TITLE,
            "<p>It answers &lt;503&gt; &amp; no more.</p>\n<p>Since 2026-03-01 04:30 UTC.</p>\n"
            "<p>What to do: docs/operations.md, under `destination_down`.</p>\n"
            f'<p><a href="{LINK}">{LINK}</a></p>\n',
        ),
        Mail(
            to,
            OVER,
            "<p>This is over.</p>\n<p>It was: It answers &lt;503&gt; &amp; no more.</p>\n"
            "<p>It lasted from 2026-03-01 04:30 UTC to 2026-03-01 09:15 UTC.</p>\n"
            f'<p><a href="{LINK}">{LINK}</a></p>\n',
        ),
    ]
    raised = {
        "event": "raised",
        "alert": 1,
        "name": "destination_down",
        "subject": "oracle",
        "title": TITLE,
        "words": "It answers <503> & no more.",
        "run_id": None,
        "raised_at": "2026-03-01T04:30:00+00:00",
        "resolved_at": None,
        "run_book": "docs/operations.md#destination_down",
        "link": LINK,
    }
    resolved = raised | {"event": "resolved", "title": OVER, "resolved_at": "2026-03-01T09:15:00+00:00"}
    assert hook.bodies == [raised, resolved]
    assert hook.paths == ["/hook", "/hook"]


def test_the_page_of_channels_shows_the_body_that_a_webhook_gets(staging: Engine, hook: Webhook) -> None:
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    told.send(staging)
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    [shown] = re.findall(r"```json\n(\{\s*\"event\".*?\})\n```", page, re.DOTALL)
    assert list(json.loads(shown)) == list(hook.bodies[0])


def test_slack(staging: Engine, hook: Webhook) -> None:
    told.use_channels(staging, [HOOK | {"form": "slack"}])
    told.raise_down(staging)
    told.send(staging)
    told.resolve_down(staging)
    told.send(staging)
    said = ["\n".join([f"*{title}*", *lines]) for title, lines in ((TITLE, RAISED), (OVER, RESOLVED))]
    shown = [each.replace("<503> &", "&lt;503&gt; &amp;") + f"\n<{LINK}>" for each in said]
    assert hook.bodies == [{"text": each} for each in shown]


def test_teams(staging: Engine, hook: Webhook) -> None:
    told.use_channels(staging, [HOOK | {"form": "teams"}])
    told.raise_down(staging)
    told.send(staging)
    told.resolve_down(staging)
    told.send(staging)
    for body, title, lines, colour in zip(
        hook.bodies, (TITLE, OVER), (RAISED, RESOLVED), ("attention", "good"), strict=True
    ):
        [attachment] = body["attachments"]
        assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
        blocks = attachment["content"]["body"]
        # runs of text, not text blocks, which would read a destination's words as markup
        assert {block["type"] for block in blocks} == {"RichTextBlock"}
        runs = [run for block in blocks for run in block["inlines"]]
        assert [run["text"] for run in runs] == [title, *lines]
        assert {run["type"] for run in runs} == {"TextRun"}
        assert runs[0]["color"] == colour
        assert attachment["content"]["actions"] == [
            {"type": "Action.OpenUrl", "title": "Open Airflow", "url": LINK},
        ]


def test_apprise(staging: Engine, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    service = {"path": hook.url.replace("http", "json") + "/apprise", "tag": "alerts"}
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", json.dumps({"conn_type": "apprise", "extra": {"config": service}}))
    told.use_channels(staging, [{"connection": "chat"}])
    told.raise_down(staging)
    hook.status = 500
    assert "Apprise could not deliver" in told.send(staging).failed["chat"]
    hook.status = 200
    assert told.send(staging).told == 1
    assert [(body["title"], body["message"]) for body in hook.bodies] == 2 * [(TITLE, "\n".join([*RAISED, LINK]))]


def test_a_channel_that_is_down_stops_no_other_and_is_told_when_it_is_up(
    staging: Engine, mailbox: Mailbox, hook: Webhook, nobody_listens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = json.dumps({"conn_type": "http", "host": f"http://127.0.0.1:{nobody_listens}"})
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", down)
    told.use_channels(staging, [HOOK, MAIL])
    told.raise_down(staging)
    told.raise_down(staging, "other")
    sent = told.send(staging)
    assert (sent.told, sent.failed) == (2, {"hook": "no connection (Connection refused)"})
    assert told.send(staging).told == 0
    # where nobody listens, the second notice is not tried
    waits = "SELECT attempts, sent_at IS NULL, error FROM bridge.alert_notice WHERE channel = 'hook'"
    assert told.rows(staging, waits) == [(2, True, "no connection (Connection refused)")]
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", hook.connection())
    assert told.send(staging).told == 2
    assert len(mailbox.mails) == 2
    assert [body["subject"] for body in hook.bodies] == ["oracle", "other"]


def test_what_was_over_before_a_channel_heard_of_it_is_not_told(staging: Engine, hook: Webhook) -> None:
    hook.status = 503
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    assert told.send(staging).failed == {"hook": "it answered 503:Service Unavailable"}
    told.resolve_down(staging)
    hook.status = 200
    assert told.send(staging).told == 0
    assert len(hook.bodies) == 1


def test_one_notice_that_is_refused_does_not_hold_up_the_others(staging: Engine, hook: Webhook) -> None:
    hook.status = 400
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    told.raise_down(staging, "other")
    assert told.send(staging).told == 0
    assert [body["subject"] for body in hook.bodies] == ["oracle", "other"]


def test_a_redirect_is_no_delivery(staging: Engine, hook: Webhook) -> None:
    hook.status, hook.location = 302, f"{hook.url}/elsewhere"
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    assert set(told.send(staging).failed) == {"hook"}


@pytest.mark.parametrize("asked", ["", "?redirect=yes"])
def test_apprise_follows_no_redirect_either(
    staging: Engine, hook: Webhook, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    service = {"path": hook.url.replace("http", "json") + f"/apprise{asked}"}
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", json.dumps({"conn_type": "apprise", "extra": {"config": service}}))
    told.use_channels(staging, [{"connection": "chat"}])
    told.raise_down(staging)
    with Webhook() as elsewhere:
        hook.status, hook.location = 307, elsewhere.url  # which keeps the method and the body
        assert "Apprise could not deliver" in told.send(staging).failed["chat"]
        assert (len(hook.bodies), elsewhere.bodies) == (1, [])


def test_a_webhook_on_this_machine_is_not_reached_through_a_proxy(
    staging: Engine, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Webhook() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", hook.connection(extra={}))
        told.use_channels(staging, [HOOK])
        told.raise_down(staging)
        assert told.send(staging).told == 1
        assert (hook.paths, proxy.paths) == (["/hook"], [])


def test_the_secret_part_of_an_address_is_the_password_and_shows_nowhere(
    staging: Engine,
    hook: Webhook,
    nobody_listens: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "T0/B0/x8fkqLw93ksPQ02mzR"
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", hook.connection(password=secret))
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    told.send(staging)
    assert hook.paths == [f"/hook/{secret}"]
    down = {"conn_type": "http", "host": f"http://127.0.0.1:{nobody_listens}", "password": secret}
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps(down))
    told.raise_down(staging, "other")
    told.send(staging)
    assert told.rows(staging, "SELECT error FROM bridge.alert_notice WHERE attempts = 1 AND sent_at IS NULL") == [
        ("no connection (Connection refused)",)
    ]
    assert "the channel hook was not told" in caplog.text
    assert secret not in "".join(record.getMessage() for record in caplog.records if "totara_bridge" in record.name)


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        (None, "There is no Airflow Connection mail: create it (docs/alerts.md)"),
        ({"conn_type": "ftp"}, "is of type ftp, but alerts go through smtp, http or apprise"),
        ({"conn_type": "smtp", "host": "127.0.0.1"}, "Nobody is named who gets the e-mails of mail: add to"),
        ({"conn_type": "apprise"}, "KeyError: 'config'"),
    ],
)
def test_a_channel_that_cannot_be_used_says_why(
    staging: Engine, hook: Webhook, monkeypatch: pytest.MonkeyPatch, connection: dict[str, str] | None, why: str
) -> None:
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(connection))
    told.use_channels(staging, [{"connection": "mail"}, HOOK])
    told.raise_down(staging)
    sent = told.send(staging)
    assert why in sent.failed["mail"]
    assert sent.told == len(hook.bodies) == 1


def test_without_channels_nobody_is_told(staging: Engine) -> None:
    told.raise_down(staging)
    assert (told.send(staging).told, told.send(staging).failed) == (0, {})


def test_two_senders_at_once_tell_once(
    staging: Engine, hook: Webhook, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    hook.answers.clear()
    with ThreadPoolExecutor(2) as threads:
        sending = [threads.submit(told.send, staging) for _ in range(2)]
        wait_until(hook.taken.is_set)
        wait_until(
            lambda: told.rows(staging, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != []
        )
        hook.answers.set()
        assert sorted(each.result().told for each in sending) == [0, 1]
    assert len(hook.bodies) == 1


KILLED = """
import sys
from datetime import UTC, datetime
from totara_bridge.orchestration.notices import send_notices
from totara_bridge.staging.engine import staging_engine
send_notices(staging_engine(sys.argv[1]), lambda: datetime.now(UTC))
"""


def test_a_sender_that_is_killed_is_followed_by_one_that_tells_the_rest(
    staging: Engine, mailbox: Mailbox, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the webhook has the notice and has not answered: it is told again, the mail is not."""
    monkeypatch.setenv("AIRFLOW_CONN_FIRST", mailbox.connection())
    told.use_channels(staging, [MAIL | {"connection": "first"}, HOOK])
    told.raise_down(staging)
    hook.answers.clear()
    url = staging.url.render_as_string(False)
    killed = subprocess.Popen([sys.executable, "-c", KILLED, url])
    hook.taken.wait()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    hook.answers.set()
    assert told.send(staging).told == 1
    assert told.send(staging).told == 0
    assert (len(mailbox.mails), len(hook.bodies)) == (1, 2)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_mail_server_that_says_nothing_is_waited_for_once(
    staging: Engine, mailbox: Mailbox, hook: Webhook, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(mailbox.connection(timeout=1)) | {"port": silent}
    monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(connection))
    told.use_channels(staging, [MAIL, HOOK])
    told.raise_down(staging)
    told.raise_down(staging, "other")
    sent = told.send(staging)
    assert sent.told == 2
    assert "timed out" in sent.failed["mail"]
    assert told.rows(staging, "SELECT attempts FROM bridge.alert_notice WHERE channel = 'mail'") == [(1,)]


def test_a_mail_server_is_given_ten_seconds_and_one_try(mailbox: Mailbox) -> None:
    with mail.Mail(to="ann@example.com", smtp_conn_id="mail").hook as hook:
        assert (hook.timeout, hook.smtp_retry_limit) == (10, 0)


def test_apprise_is_told_if_one_of_its_services_is(
    staging: Engine,
    hook: Webhook,
    nobody_listens: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    services = [{"path": f"json://127.0.0.1:{nobody_listens}/x"}, {"path": hook.url.replace("http", "json")}]
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", json.dumps({"conn_type": "apprise", "extra": {"config": services}}))
    told.use_channels(staging, [{"connection": "chat"}])
    told.raise_down(staging)
    assert [told.send(staging).told, told.send(staging).told] == [1, 0]
    assert len(hook.bodies) == 1
    assert "the channel chat was told, but not its service number 1 (JSON)" in caplog.text


def test_a_value_out_of_bounds_elsewhere_keeps_no_notice_back(staging: Engine, hook: Webhook) -> None:
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    with staging.begin() as transaction:
        transaction.execute(text("INSERT INTO bridge.setting VALUES ('bridge', 'batch_size', '5000', now(), 'ann')"))
    assert told.send(staging).told == 1


def test_who_does_not_wait_leaves_it_to_who_tells_next(
    staging: Engine, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    with session_lock(staging, LOCK) as lock:
        assert lock.take()
        sent = send_notices(staging, lambda: told.RESOLVED, within=timedelta(milliseconds=1))
    assert (sent.told, hook.bodies) == (0, [])
    assert "another process tells the channels now" in caplog.text
    assert told.send(staging).told == 1


def test_a_server_that_ends_idle_transactions_ends_no_telling(
    staging: Engine, hook: Webhook, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    told.use_channels(staging, [HOOK])
    told.raise_down(staging)
    hook.answers.clear()
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(told.send, staging)
        wait_until(hook.taken.is_set)
        idle = told.rows(staging, "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        hook.answers.set()
        assert sending.result().told == 1
    assert idle == []
