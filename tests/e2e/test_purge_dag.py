"""``purge_completions`` on 100 000 items: it deletes what SQL of the tests finds old, and leaves the rest as it is."""

from datetime import datetime, timedelta
from typing import Any

from tests.e2e.running import RunningAirflow

DAG, TASK = "purge_completions", "purge"

#: Count: which rows are meant, and when each was finished.
_OLD = {
    "items": "SELECT sent_at AS at FROM bridge.export_queue WHERE state = 'sent'",
    "log_rows": "SELECT at FROM bridge.export_log",
    "acknowledgements": "SELECT acknowledged_at AS at FROM bridge.acknowledgement",
    "audit_rows": "SELECT at FROM bridge.audit_log",
    "alerts": "SELECT resolved_at AS at FROM bridge.alert WHERE resolved_at IS NOT NULL",
}
_KEPT = """
    SELECT (SELECT md5(string_agg(q::text, '|' ORDER BY id)) FROM bridge.export_queue q WHERE state <> 'sent') AS open,
           (SELECT md5(string_agg(d::text, '|' ORDER BY destination, instance_id, kind, revision))
            FROM bridge.delivery d) AS ledger,
           (SELECT md5(string_agg(h::text, '|' ORDER BY destination, hour, delay_bucket))
            FROM bridge.delivery_hour h) AS hours,
           (SELECT md5(string_agg(i::text, '|' ORDER BY id)) FROM bridge.completion_instance i) AS instances
"""
#: As the run is asked, and as the settings are by default.
_DAYS = {"items": 200, "log_rows": 300, "acknowledgements": 400, "audit_rows": 730, "alerts": 365}


def test_what_is_old_is_deleted_and_nothing_else(airflow_up: RunningAirflow) -> None:
    kept, begun, times = airflow_up.rows(_KEPT), airflow_up.now(), _times(airflow_up)
    dry = airflow_up.counts(airflow_up.run(DAG, sent_days=200, log_days=300, dry_run=True), TASK)
    assert {name: len(at) for name, at in _times(airflow_up).items()} == {name: len(at) for name, at in times.items()}
    _assert_old(dry, times, begun, airflow_up.now())
    assert min(dry[name] for name in (*_OLD, "item_events", "kept_bodies")) > 0

    told = airflow_up.counts(airflow_up.run(DAG, sent_days=200, log_days=300), TASK)
    _assert_old(told, times, begun, airflow_up.now())
    left = _times(airflow_up)
    audited = airflow_up.audited("purge", begun)
    assert [row["actor"] for row in audited] == ["admin"]
    for name, before in times.items():
        assert len(before) - len(left[name]) == told[name] - (len(audited) if name == "audit_rows" else 0)
        assert min(left[name]) >= begun - timedelta(days=_DAYS[name])
    assert airflow_up.rows(_KEPT) == kept
    orphans = (
        "SELECT count(*) FROM bridge.item_event e WHERE NOT EXISTS (SELECT FROM bridge.export_queue WHERE id = item_id)"
    )
    assert airflow_up.count(orphans) == 0

    again = airflow_up.counts(airflow_up.run(DAG, sent_days=200, log_days=300), TASK)
    again.pop("kept_bodies")  # of another age
    assert sum(again.values()) <= _came_of_age(left, airflow_up.now())


def test_without_days_the_settings_count(airflow_up: RunningAirflow) -> None:
    airflow_up.set("sent_retention", "P399D")
    airflow_up.set("log_retention", "P398D")
    begun, times = airflow_up.now(), _times(airflow_up)
    dry = airflow_up.counts(airflow_up.run(DAG, dry_run=True), TASK)
    _assert_old(dry, times, begun, airflow_up.now(), items=399, log_rows=398)


def _times(up: RunningAirflow) -> dict[str, list[datetime]]:
    return {name: [row["at"] for row in up.rows(statement)] for name, statement in _OLD.items()}


def _assert_old(
    told: dict[str, Any], times: dict[str, list[datetime]], begun: datetime, ended: datetime, **days: int
) -> None:
    """It counted what was old when it looked, which was between these times."""
    for name, at in times.items():
        age = timedelta(days=(_DAYS | days)[name])
        assert sum(each < begun - age for each in at) <= told[name] <= sum(each < ended - age for each in at), name


def _came_of_age(left: dict[str, list[datetime]], now: datetime) -> int:
    """How many of these rows are old by now, with what goes with each."""
    return sum(2 * sum(each < now - timedelta(days=_DAYS[name]) for each in at) for name, at in left.items())
