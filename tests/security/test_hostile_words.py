"""Words that a destination chose, as those of its error, are words in a mail, a chat and a webhook: never markup."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from tests.receivers import Mailbox, Webhook
from tests.security.notices import notice
from totara_bridge.orchestration.channels import tell
from totara_bridge.settings import Channel

# Airflow's hooks warn about their own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]

#: Markup of HTML, of Slack and of Markdown, calls for everybody, and what templates would carry out.
EVIL = (
    'It says <img src=x onerror=alert(1)> </p><script>alert(1)</script> <a href="https://evil.example">Airflow</a> '
    "<!channel> <!here> <@U123> <https://evil.example|Airflow> [Airflow](https://evil.example) @everyone *b* `c` "
    '& &lt; {{ conn.oracle.password }} {% for a in b %} ${x} %(y)s "quoted"'
)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as taking:
        monkeypatch.setenv("AIRFLOW_CONN_CHANNEL", taking.connection())
        yield taking


def test_in_a_webhook_they_are_the_text_that_they_are(webhook: Webhook) -> None:
    tell(Channel(connection="channel"), notice(EVIL), None)
    assert webhook.bodies[0]["words"] == EVIL


def test_in_slack_nothing_is_a_link_or_a_call(webhook: Webhook) -> None:
    """Slack's own rule: of these three characters it makes links, mentions and calls, and their entities are text."""
    tell(Channel(connection="channel", form="slack"), notice(EVIL), "https://airflow.example.com")
    *said, link = webhook.bodies[0]["text"].split("\n")
    shown = "\n".join(said)
    assert not {"<", ">"} & set(shown)
    assert shown.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "").count("&") == 0
    assert link == "<https://airflow.example.com/dags/push_completions>"


def test_in_teams_nothing_is_read_as_markdown(webhook: Webhook) -> None:
    """A card's text blocks are read as Markdown, and its runs of text are not."""
    tell(Channel(connection="channel", form="teams"), notice(EVIL), "https://airflow.example.com")
    card = webhook.bodies[0]["attachments"][0]["content"]
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert [run["text"] for block in card["body"] for run in block["inlines"]][1] == EVIL
    assert [action["url"] for action in card["actions"]] == ["https://airflow.example.com/dags/push_completions"]
    assert "entities" not in json.dumps(card)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_in_a_mail_nothing_is_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    with Mailbox() as mailbox:
        monkeypatch.setenv("AIRFLOW_CONN_CHANNEL", mailbox.connection())
        hostile = notice(EVIL, subject="oracle {{ 7 * 7 }}\r\nBcc: everybody@example.com")
        tell(Channel(connection="channel", to=("ann@example.com",)), hostile, "https://airflow.example.com")
    [mail] = mailbox.mails
    seen = _Tags()
    seen.feed(mail.html)
    assert seen.tags == {"p", "a"}
    assert seen.links == ["https://airflow.example.com/dags/push_completions"]
    assert EVIL in seen.text
    assert mail.to == ("ann@example.com",)
    assert mail.subject.startswith("Totara Bridge: destination down: oracle {{ 7 * 7 }}")


def test_through_apprise_slack_gets_no_link_and_no_call(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what Apprise makes of it for the services that read markup."""
    from apprise.plugins.slack import NotifySlack  # noqa: PLC0415  warns about what Python has deprecated

    sent = []

    def send(_: object, body: str, title: str = "", **__: object) -> bool:
        sent.append(title + body)
        return True

    monkeypatch.setattr(NotifySlack, "send", send)
    services = {"path": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"}
    monkeypatch.setenv("AIRFLOW_CONN_CHANNEL", json.dumps({"conn_type": "apprise", "extra": {"config": services}}))
    tell(Channel(connection="channel"), notice(EVIL), None)
    assert len(sent) == 1
    assert not {"<", ">"} & set(sent[0])
