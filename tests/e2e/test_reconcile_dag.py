"""``reconcile_completions`` beside 100 000 items: it finds what SQL of a test takes away, and changes nothing else."""

from tests.e2e.running import RunningAirflow

DAG, TASK = "reconcile_completions", "reconcile_sbx"

_ALL_ELSE = """
    SELECT (SELECT md5(string_agg(q::text, '|' ORDER BY id)) FROM bridge.export_queue q) AS queue,
           (SELECT md5(string_agg(d::text, '|' ORDER BY destination, instance_id, kind, revision))
            FROM bridge.delivery d) AS ledger,
           (SELECT md5(string_agg(i::text, '|' ORDER BY id)) FROM bridge.completion_instance i) AS instances,
           (SELECT md5(string_agg(c::text, '|' ORDER BY site, user_id, course_id)) FROM bridge.completion c) AS staged,
           (SELECT md5(string_agg(w::text, '|' ORDER BY site)) FROM bridge.watermark w) AS watermarks
"""
_ALIKE = {"missing": 0, "extra": 0, "different": 0, "pending": 0}
_IN_TOTARA = """
    SELECT (SELECT count(*) FROM ttr_course_completions WHERE status IN (50, 75))
           + (SELECT count(*) FROM ttr_course_completion_history)
"""
_OLDEST = "SELECT user_id, course_id FROM bridge.completion WHERE site = 'sbx' AND row_id > 0 ORDER BY row_id LIMIT 1"


def test_it_finds_what_is_missing_and_only_a_repair_puts_it_back(airflow_up: RunningAirflow) -> None:
    airflow_up.run("extract_completions", sites=["sbx"])
    run = airflow_up.run(DAG, sites=["sbx"])
    assert run.tasks["reconcile_big"]["state"] == "skipped"
    told = airflow_up.counts(run, TASK)
    assert _ALIKE.items() <= told.items()
    assert told["completed"] == airflow_up.count_in_totara(_IN_TOTARA)

    [pair] = airflow_up.rows(_OLDEST)
    airflow_up.change(
        "DELETE FROM bridge.completion WHERE site = 'sbx' AND user_id = %(user_id)s AND course_id = %(course_id)s",
        **pair,
    )
    before = airflow_up.rows(_ALL_ELSE)
    assert airflow_up.counts(airflow_up.run(DAG, sites=["sbx"]), TASK)["missing"] == 1
    assert airflow_up.rows(_ALL_ELSE) == before
    differences = """
        SELECT user_id, course_id, kind, place FROM bridge.reconciled_difference
        WHERE reconciliation_id = (SELECT max(id) FROM bridge.reconciliation)
    """
    assert airflow_up.rows(differences) == [{**pair, "kind": "missing", "place": "staging"}]

    for _ in range(2):
        told = airflow_up.counts(airflow_up.run(DAG, sites=["sbx"], repair=True), TASK)
        assert {**_ALIKE, "queued": 0, "held": 0}.items() <= told.items()
    assert airflow_up.rows(_OLDEST) == [pair]
    made = airflow_up.rows("SELECT DISTINCT made_by FROM bridge.reconciliation WHERE site = 'sbx'")
    assert {"made_by": "admin"} in made
