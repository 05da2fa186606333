"""What a notice of an alert says, in each form that a channel understands: no names of learners, no secrets."""

from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

from totara_bridge.alert_name import AlertName
from totara_bridge.printable import one_line
from totara_bridge.staging.alert import Alert
from totara_bridge.staging.notice import Notice

#: Alerts whose subject is a DAG, or a task of one.
_OF_RUNS = {AlertName.RUN_FAILED, AlertName.RUN_LATE}

#: The DAG to look at first, of any other alert.
_DAG = {
    AlertName.UNDELIVERED: "push_completions",
    AlertName.LATE_SHARE: "push_completions",
    AlertName.SILENCE: "extract_completions",
    AlertName.DEAD_ITEMS: "requeue_completions",
    AlertName.DESTINATION_DOWN: "push_completions",
    AlertName.RECONCILE_DIFFERENCES: "reconcile_completions",
}


def title(notice: Notice) -> str:
    """One line: what, whose, and whether it is over."""
    over = "resolved: " if notice.event == "resolved" else ""
    return one_line(f"Totara Bridge: {over}{notice.alert.name.replace('_', ' ')}: {notice.alert.subject}")


def link(alert: Alert, base_url: str | None) -> str | None:
    """The page of Airflow's UI to begin with; none where Airflow does not say where its UI is."""
    if not base_url:
        return None
    if alert.name not in _OF_RUNS:
        return _address(base_url, "dags", _DAG.get(alert.name))
    dag, _, task = alert.subject.partition(".")
    run = ("runs", alert.run_id) if alert.run_id else ()
    return _address(base_url, "dags", dag, *run, *(("tasks", task) if task else ()))


def text(notice: Notice, base_url: str | None) -> str:
    """A few lines: what is wrong, since when, and where it says what to do."""
    address = link(notice.alert, base_url)
    return "\n".join([*_lines(notice), *([address] if address else [])])


def html(notice: Notice, base_url: str | None) -> str:
    """The same for an e-mail."""
    lines = [escape(line) for line in _lines(notice)]
    if address := link(notice.alert, base_url):
        lines.append(f'<a href="{escape(address)}">{escape(address)}</a>')
    return "".join(f"<p>{line}</p>\n" for line in lines)


def document(notice: Notice, base_url: str | None) -> dict[str, Any]:
    """The same for a program; docs/alerts.md publishes it."""
    alert = notice.alert
    return {
        "event": notice.event,
        "alert": alert.id,
        "name": alert.name,
        "subject": alert.subject,
        "title": title(notice),
        "words": alert.words,
        "run_id": alert.run_id,
        "raised_at": alert.raised_at.astimezone(UTC).isoformat(),
        "resolved_at": alert.resolved_at and alert.resolved_at.astimezone(UTC).isoformat(),
        "run_book": f"docs/operations.md#{alert.name}",
        "link": link(alert, base_url),
    }


def slack(notice: Notice, base_url: str | None) -> dict[str, Any]:
    """The same for an incoming webhook of Slack, which reads three characters as its own."""
    said = "\n".join([f"*{title(notice)}*", *_lines(notice)])
    shown = said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    address = link(notice.alert, base_url)
    return {"text": f"{shown}\n<{address}>" if address else shown}


def teams(notice: Notice, base_url: str | None) -> dict[str, Any]:
    """The same for a workflow of Microsoft Teams that posts a webhook's request to a channel."""
    address = link(notice.alert, base_url)
    colour = "good" if notice.event == "resolved" else "attention"
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            _plain(title(notice), weight="bolder", color=colour),
            *(_plain(line) for line in _lines(notice)),
        ],
        "actions": [{"type": "Action.OpenUrl", "title": "Open Airflow", "url": address}] if address else [],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


def _plain(words: str, **style: str) -> dict[str, Any]:
    """A block of a card. In a ``TextBlock`` a destination's words could be a link that names another place."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": words, **style}]}


def _lines(notice: Notice) -> list[str]:
    alert = notice.alert
    if alert.resolved_at is not None:
        return [
            "This is over.",
            f"It was: {alert.words}",
            f"It lasted from {_minute(alert.raised_at)} to {_minute(alert.resolved_at)}.",
        ]
    return [
        alert.words,
        f"Since {_minute(alert.raised_at)}.",
        f"What to do: docs/operations.md, under `{alert.name}`.",
    ]


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _address(base_url: str, *parts: str | None) -> str:
    return "/".join([base_url.rstrip("/"), *(quote(part, safe="") for part in parts if part)])
