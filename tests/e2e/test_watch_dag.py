"""``watch_delivery`` on 100 000 items, and a deadline missed on purpose: who is told what, once."""

import time
from typing import Any

from tests.e2e.hundred_thousand import JUST_DEAD
from tests.e2e.running import RunningAirflow
from tests.receivers import Mail, Mailbox, Webhook

DAG = "watch_delivery"
_OPEN = "SELECT name, subject, id, words FROM bridge.alert WHERE resolved_at IS NULL ORDER BY name, subject"
_WAITING = """
    SELECT DISTINCT destination FROM bridge.export_queue
    WHERE state IN ('queued', 'failed', 'sending', 'held', 'dead') AND lane <> 'backfill'
      AND staged_at < now() - interval '24 hours' ORDER BY 1
"""
_JUST_DEAD = """
    SELECT count(*) FROM bridge.item_event e JOIN bridge.export_queue q ON q.id = e.item_id
    WHERE e.verb = 'reject' AND q.destination = 'oracle' AND e.at > now() - interval '1 hour'
"""


def test_broken_promises_are_alerts_once_until_they_are_kept(airflow_up: RunningAirflow) -> None:
    assert airflow_up.count(_JUST_DEAD) == JUST_DEAD
    told = airflow_up.counts(airflow_up.run(DAG), "check")
    alerts = airflow_up.rows(_OPEN)
    assert told["raised"] + told["still_open"] == len(alerts)
    late = [alert["subject"] for alert in alerts if alert["name"] == "undelivered"]
    assert late == [row["destination"] for row in airflow_up.rows(_WAITING)] == ["archive", "oracle"]
    [dead] = [alert for alert in alerts if alert["name"] == "dead_items"]
    assert dead["subject"] == "oracle"
    assert str(JUST_DEAD) in dead["words"]

    again = airflow_up.counts(airflow_up.run(DAG), "check")
    assert (again["raised"], again["resolved"]) == (0, 0)
    assert [alert["id"] for alert in airflow_up.rows(_OPEN)] == [alert["id"] for alert in alerts]

    airflow_up.set("dead_per_hour", JUST_DEAD)
    airflow_up.set("promise", "P365D")
    over = airflow_up.counts(airflow_up.run(DAG), "check")
    assert over["resolved"] > 0
    assert dead["id"] not in {alert["id"] for alert in airflow_up.rows(_OPEN)}


def test_a_missed_deadline_is_told_once_and_so_is_its_end(
    airflow_up: RunningAirflow, mailbox: Mailbox, webhook: Webhook
) -> None:
    airflow_up.change("UPDATE bridge.alert SET resolved_at = now() WHERE resolved_at IS NULL")
    airflow_up.set("alert_channels", [{"connection": "alert_mail", "to": ["ops@example.com"]},
                                      {"connection": "alert_hook"}])  # fmt: skip
    airflow_up.pause("extract_completions", True)
    run_id = airflow_up.begin("extract_completions", sites=["sbx"])
    while not _mails(mailbox) or not _bodies(webhook):
        time.sleep(0.2)  # five seconds, until the scheduler sees that they are over
    [raised] = _bodies(webhook)
    sentence = f"The run {run_id} was to end by "
    assert raised["event"] == "raised"
    assert raised["title"] == "Totara Bridge: run late: extract_completions"
    assert raised["words"].startswith(sentence)
    assert raised["run_id"] == run_id
    assert raised["resolved_at"] is None
    assert raised["run_book"] == "docs/operations.md#run_late"
    assert raised["link"].startswith(f"{airflow_up.address}/dags/extract_completions/runs/")
    [mail] = _mails(mailbox)
    assert (mail.to, mail.subject) == (("ops@example.com",), raised["title"])
    assert sentence in mail.html
    assert "docs/operations.md" in mail.html

    airflow_up.pause("extract_completions", False)
    assert airflow_up.end_of("extract_completions", run_id).state == "success"
    airflow_up.run(DAG)
    resolved = _bodies(webhook)[1]
    assert resolved == raised | {
        "event": "resolved",
        "title": "Totara Bridge: resolved: run late: extract_completions",
        "resolved_at": resolved["resolved_at"],
    }
    assert resolved["resolved_at"] > raised["raised_at"]
    over = _mails(mailbox)[1]
    assert over.subject == resolved["title"]
    assert "This is over." in over.html
    assert sentence in over.html

    airflow_up.run(DAG)
    assert (len(_bodies(webhook)), len(_mails(mailbox))) == (2, 2)
    late = "SELECT count(*) FROM bridge.alert WHERE name = 'run_late' AND run_id = %(run_id)s"
    assert airflow_up.count(late, run_id=run_id) == 1


def _bodies(webhook: Webhook) -> list[dict[str, Any]]:
    """What the webhook was told of late runs."""
    return [body for body in webhook.bodies if body["name"] == "run_late"]


def _mails(mailbox: Mailbox) -> list[Mail]:
    """The e-mails about late runs."""
    return [mail for mail in mailbox.mails if "run late" in mail.subject]
