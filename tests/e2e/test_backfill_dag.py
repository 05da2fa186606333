"""``backfill_completions`` on 100 000 items: what it would queue, and queues, is what SQL of the tests finds."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.e2e.hundred_thousand import SITE
from tests.e2e.running import RunningAirflow

DAG = "backfill_completions"
#: The year that ends ten days ago, of which the destination ``archive`` lacks a third.
_SINCE, _UNTIL = (datetime.now(UTC).date() - timedelta(days=days) for days in (375, 10))
_ASKED: dict[str, Any] = {
    "from_date": str(_SINCE),
    "to_date": str(_UNTIL),
    "sites": [SITE],
    "destinations": ["archive"],
    "courses": ["SAFETY-*", "c001", ""],  # a text that ends with an empty line, as the form sends it
    "learners": ["learner??0*", "E-00007"],
    "statuses": ["complete"],
}
_IN_RANGE = """
    i.site = 'big' AND i.time_completed >= %(since)s AND i.time_completed < %(until)s
    AND (k.short_name LIKE 'SAFETY-%%' OR k.id_number = 'C001') AND i.status = 'complete'
    AND (l.username ~ '^learner..0' OR l.id_number = 'E-00007')
"""
_FOUND = f"""
    SELECT count(*) FILTER (WHERE delivered) AS delivered,
           count(*) FILTER (WHERE queued AND NOT cancelled AND NOT delivered) AS queued,
           count(*) FILTER (WHERE cancelled AND NOT delivered) AS cancelled,
           count(*) FILTER (WHERE after_deletion AND NOT queued AND NOT delivered) AS withheld,
           count(*) FILTER (WHERE NOT after_deletion AND NOT queued AND NOT delivered) AS lacking
    FROM (SELECT i.after_deletion, d.instance_id IS NOT NULL AS delivered, q.id IS NOT NULL AS queued,
                 coalesce(q.state = 'cancelled', false) AS cancelled
          FROM bridge.completion_instance i
          JOIN bridge.learner l USING (site, user_id) JOIN bridge.course k USING (site, course_id)
          LEFT JOIN bridge.delivery d ON d.instance_id = i.id AND d.destination = 'archive'
          LEFT JOIN bridge.export_queue q ON q.instance_id = i.id AND q.destination = 'archive'
          WHERE i.ended_at IS NULL AND {_IN_RANGE}) i
"""
_WAITING = """
    SELECT count(*) FROM bridge.export_queue WHERE destination = 'archive' AND state IN ('queued', 'failed', 'sending')
"""
_BY_DESTINATION = "SELECT destination, count(*) AS items FROM bridge.export_queue GROUP BY 1"


def test_a_dry_run_counts_and_changes_nothing(airflow_up: RunningAirflow) -> None:
    found, items, begun = _found(airflow_up), _items(airflow_up), airflow_up.now()
    assert min(found.values()) > 0
    run = airflow_up.run(DAG, **_ASKED)
    told = airflow_up.counts(run, "backfill_archive")
    assert {name: told[name] for name in found} == found
    assert (told["queued_now"], told["held_now"], told["resent_now"], told["resendable"]) == (0, 0, 0, 0)
    assert told["minutes"] > 0
    assert told["waiting"] == airflow_up.count(_WAITING)
    assert run.tasks["backfill_oracle"]["state"] == "skipped"
    assert _items(airflow_up) == items
    assert airflow_up.audited("backfill", begun) == []


def test_it_queues_what_it_found_and_nothing_twice(airflow_up: RunningAirflow) -> None:
    found, items = _found(airflow_up), _items(airflow_up)
    begun = airflow_up.now()
    run = airflow_up.run(DAG, **_ASKED, dry_run=False)
    told = airflow_up.counts(run, "backfill_archive")
    assert told["queued_now"] == found["lacking"] > 0
    assert _items(airflow_up) == items | {"archive": items["archive"] + found["lacking"]}
    new = airflow_up.rows(
        f"""
        SELECT q.state, q.lane, count(*) AS items, bool_and({_IN_RANGE}) AS in_range
        FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        JOIN bridge.learner l USING (site, user_id) JOIN bridge.course k USING (site, course_id)
        WHERE q.queued_at >= %(begun)s GROUP BY 1, 2
        """,
        begun=begun,
        **_range(),
    )
    assert new == [{"state": "queued", "lane": "backfill", "items": found["lacking"], "in_range": True}]
    assert any("push_completions is paused" in line["event"] for line in airflow_up.log(run, "backfill_archive"))
    [audited] = airflow_up.audited("backfill", begun)
    assert (audited["actor"], audited["subject"]) == ("admin", "archive")

    again = airflow_up.run(DAG, **_ASKED, dry_run=False)
    assert airflow_up.counts(again, "backfill_archive")["queued_now"] == 0
    assert _found(airflow_up) == found | {"queued": found["queued"] + found["lacking"], "lacking": 0}


def test_resend_sends_again_what_was_delivered_once(airflow_up: RunningAirflow) -> None:
    day = datetime.now(UTC).date() - timedelta(days=40)
    asked = {"from_date": str(day), "to_date": str(day), "destinations": ["oracle"], "resend": True}
    resendable = """
        SELECT count(*) FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        WHERE q.destination = 'oracle' AND q.state = 'sent' AND i.ended_at IS NULL AND NOT i.after_deletion
          AND i.time_completed >= %(day)s AND i.time_completed < %(day)s + 1
    """
    expected = airflow_up.count(resendable, day=day)
    dry = airflow_up.counts(airflow_up.run(DAG, **asked), "backfill_oracle")
    assert (dry["resendable"], dry["resent_now"]) == (expected, 0)
    assert expected > 0
    done = airflow_up.counts(airflow_up.run(DAG, **asked, dry_run=False), "backfill_oracle")
    assert done["resent_now"] == expected
    assert airflow_up.count(resendable, day=day) == 0
    again = airflow_up.counts(airflow_up.run(DAG, **asked, dry_run=False), "backfill_oracle")
    assert (again["resendable"], again["resent_now"]) == (0, 0)


def _range() -> dict[str, date]:
    return {"since": _SINCE, "until": _UNTIL + timedelta(days=1)}


def _found(up: RunningAirflow) -> dict[str, int]:
    [found] = up.rows(_FOUND, **_range())
    return found


def _items(up: RunningAirflow) -> dict[str, int]:
    return {row["destination"]: row["items"] for row in up.rows(_BY_DESTINATION)}
