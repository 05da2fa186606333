"""``erase_learner`` on 100 000 items: nothing of the learner is left in any table, and all others stay as they were."""

from typing import Any

from tests.e2e.running import RunningAirflow

DAG, TASK = "erase_learner", "erase"
_SUITABLE = """
    SELECT i.user_id FROM bridge.completion_instance i JOIN bridge.export_queue q ON q.instance_id = i.id
    WHERE i.site = 'big' AND i.user_id > 1000
    GROUP BY 1 HAVING count(*) FILTER (WHERE q.state = 'sending') = 0 AND count(DISTINCT q.state) >= 4
    ORDER BY 1 LIMIT 1
"""
_TABLES = """
    SELECT table_name FROM information_schema.tables WHERE table_schema = 'bridge' AND table_type = 'BASE TABLE'
"""
_OTHERS = """
    SELECT (SELECT md5(string_agg(i::text, '|' ORDER BY id)) FROM bridge.completion_instance i
            WHERE user_id <> %(learner)s) AS instances,
           (SELECT md5(string_agg(c::text, '|' ORDER BY user_id, course_id)) FROM bridge.completion c
            WHERE user_id <> %(learner)s) AS completions,
           (SELECT md5(string_agg(q::text, '|' ORDER BY q.id)) FROM bridge.export_queue q
            JOIN bridge.completion_instance i ON i.id = q.instance_id WHERE i.user_id <> %(learner)s) AS items,
           (SELECT count(*) FROM bridge.learner) AS learners
"""
_OF_LEARNER = """
    SELECT count(*) AS instances,
           (SELECT count(*) FROM bridge.completion WHERE user_id = %(learner)s AND site = 'big') AS completions,
           (SELECT count(*) FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
            WHERE i.user_id = %(learner)s AND q.state IN ('queued', 'failed', 'dead', 'held')) AS stopped,
           (SELECT count(*) FROM bridge.delivery d JOIN bridge.completion_instance i ON i.id = d.instance_id
            WHERE i.user_id = %(learner)s) AS delivered
    FROM bridge.completion_instance WHERE user_id = %(learner)s AND site = 'big'
"""


def test_a_learner_is_erased_from_every_table(airflow_up: RunningAirflow) -> None:
    learner = airflow_up.count(_SUITABLE)
    asked = {"site": "big", "learner": learner}
    [held] = airflow_up.rows(_OF_LEARNER, learner=learner)
    others, named, begun = airflow_up.rows(_OTHERS, learner=learner), _named(airflow_up, learner), airflow_up.now()
    assert {"learner", "export_queue"} <= set(named)

    dry = airflow_up.counts(airflow_up.run(DAG, **asked), TASK)
    assert _named(airflow_up, learner) == named
    assert airflow_up.audited("erase", begun) == []
    assert airflow_up.count("SELECT count(*) FROM bridge.erased_learner") == 0

    run = airflow_up.run(DAG, **asked, dry_run=False)
    told = airflow_up.counts(run, TASK)
    assert told == dry
    assert told["learner_removed"] == 1
    assert told["completion_blanked"] == held["completions"]
    assert told["completion_instance_blanked"] == held["instances"]
    assert told["export_queue_cancelled"] == held["stopped"]
    assert told["delivery_kept"] == held["delivered"] > 0
    assert _named(airflow_up, learner) == {}
    after = airflow_up.rows(_OTHERS, learner=learner)
    assert after == [others[0] | {"learners": others[0]["learners"] - 1}]
    [tombstone] = airflow_up.rows("SELECT site, user_id, erased_by FROM bridge.erased_learner")
    assert tombstone == {"site": "big", "user_id": learner, "erased_by": "admin"}
    [audited] = airflow_up.audited("erase", begun)
    assert (audited["actor"], audited["subject"]) == ("admin", f"big/{learner}")
    log = " ".join(str(line["event"]) for line in airflow_up.log(run, TASK))
    assert "proof of what was erased" in log
    assert not any(name in log for name in _names(learner))

    again = airflow_up.counts(airflow_up.run(DAG, **asked, dry_run=False), TASK)
    assert {name: number for name, number in again.items() if number and not name.endswith("_kept")} == {}

    back = airflow_up.run("backfill_completions", from_date="2000-01-01", learners=[_names(learner)[0]], dry_run=False)
    assert {airflow_up.counts(back, task)["queued_now"] for task in back.tasks} == {0}


def _names(learner: int) -> tuple[str, ...]:
    """How the learner is called in the data."""
    return f"learner{learner:04}", f"E-{learner:05}", f"Forename{learner}", f"Surname{learner}"


def _named(up: RunningAirflow, learner: int) -> dict[str, int]:
    """In which tables a row says one of the learner's names, and how many such rows there are."""
    found: dict[str, Any] = {}
    for table in (row["table_name"] for row in up.rows(_TABLES)):
        number = up.count(
            f"SELECT count(*) FROM bridge.{table} t WHERE t::text ~ %(names)s", names="|".join(_names(learner))
        )
        if number:
            found[table] = number
    return found
