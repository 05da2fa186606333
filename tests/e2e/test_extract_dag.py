"""``extract_completions`` and ``load_mappings`` on 100 000 items: what is read, loaded and queued is what SQL finds."""

from tests.e2e.running import RunningAirflow

_STAGED = "SELECT count(*) FROM bridge.completion WHERE site = 'sbx' AND deleted_at IS NULL"


def test_one_site_is_read_and_the_others_are_left_alone(airflow_up: RunningAirflow) -> None:
    big = "SELECT count(*), max(change_seq) FROM bridge.completion WHERE site = 'big'"
    others, before = airflow_up.rows(big), airflow_up.count(_STAGED)
    run = airflow_up.run("extract_completions", sites=["sbx"], full_compare=True)
    told = airflow_up.counts(run, "extract_sbx")
    assert run.tasks["extract_big"]["state"] == "skipped"
    there = airflow_up.count_in_totara("SELECT count(*) FROM ttr_course_completions")
    assert airflow_up.count(_STAGED) == there == before + told["completions_created"] > 0
    assert airflow_up.rows(big) == others
    items = """
        SELECT count(*) FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        WHERE i.site = 'sbx'
    """
    assert told["queued"] == airflow_up.count(items) == 0  # all of it is past


def test_mappings_are_loaded_once_and_set_free_what_was_held(airflow_up: RunningAirflow) -> None:
    held = """
        SELECT i.user_id, count(*) AS items FROM bridge.export_queue q
        JOIN bridge.completion_instance i ON i.id = q.instance_id
        WHERE q.destination = 'archive' AND q.state = 'held' AND q.held_for = 'learner_number'
        GROUP BY 1 ORDER BY 1 LIMIT 100
    """
    learners = airflow_up.rows(held)
    assert len(learners) == 100
    lines = [f"big,{learner['user_id']},N-{learner['user_id']}" for learner in learners]
    asked = {"destination": "archive", "csv": "\n".join(["site,id,number", *lines, "big,none,7"])}
    dry = airflow_up.counts(airflow_up.run("load_mappings", **asked), "load")
    assert (dry["refused"], dry["unheld"]) == (1, 0)
    assert airflow_up.count("SELECT count(*) FROM bridge.mapping WHERE destination = 'archive'") == 0
    told = airflow_up.counts(airflow_up.run("load_mappings", **asked, dry_run=False), "load")
    assert told["unheld"] == sum(learner["items"] for learner in learners)
    assert airflow_up.count("SELECT count(*) FROM bridge.mapping WHERE destination = 'archive'") == len(lines)
    again = airflow_up.counts(airflow_up.run("load_mappings", **asked, dry_run=False), "load")
    assert (again["unheld"], again["refused"]) == (0, 1)
