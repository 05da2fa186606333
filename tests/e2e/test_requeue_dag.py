"""``requeue_completions`` on 100 000 items: what is meant, and what becomes of it, is what SQL of the tests finds."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.running import RunningAirflow

DAG, TASK = "requeue_completions", "requeue"
_BY_STATE = "SELECT destination, state, count(*) AS items FROM bridge.export_queue GROUP BY 1, 2 ORDER BY 1, 2"
_REFUSED_BY_ORACLE = """
    SELECT q.id, q.state, q.error_code, i.ended_at IS NOT NULL AS ended
    FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
    WHERE q.destination = 'oracle' AND q.state IN ('dead', 'failed') AND q.error_class = 'rejected' ORDER BY q.id
"""


def test_a_dry_run_counts_and_changes_nothing(airflow_up: RunningAirflow) -> None:
    before = airflow_up.rows(_BY_STATE)
    meant = airflow_up.rows(_REFUSED_BY_ORACLE)
    told = _run(airflow_up, states=["dead", "failed"], destinations=["oracle"], error_class="rejected")
    assert told["selected"] == told["destination_oracle"] == len(meant) > 0
    for state in ("dead", "failed"):
        assert told[f"state_{state}"] == sum(item["state"] == state for item in meant)
    by_code = [sum(item["error_code"] == code for item in meant) for code in ("ORA-20001", "ORA-20002")]
    assert sorted(number for name, number in told.items() if name.startswith("error_")) == sorted(by_code)
    assert told["refused"] == sum(item["ended"] for item in meant)
    assert told["done"] == 0
    assert airflow_up.rows(_BY_STATE) == before


def test_it_requeues_what_is_meant_and_nothing_twice(airflow_up: RunningAirflow) -> None:
    asked: dict[str, Any] = {"states": ["dead", "failed"], "destinations": ["oracle"], "error_class": "rejected"}
    meant, begun = airflow_up.rows(_REFUSED_BY_ORACLE), airflow_up.now()
    fit = [item["id"] for item in meant if not item["ended"]]
    told = _run(airflow_up, **asked, reason="the persons are there now", dry_run=False)
    assert (told["done"], told["refused"]) == (len(fit), len(meant) - len(fit))
    after = airflow_up.rows(
        "SELECT id, state, attempts, error_class FROM bridge.export_queue WHERE id = ANY(%(ids)s) ORDER BY id", ids=fit
    )
    assert after == [{"id": each, "state": "queued", "attempts": 0, "error_class": None} for each in fit]
    events = airflow_up.rows(
        "SELECT item_id, verb, actor, words FROM bridge.item_event WHERE at >= %(begun)s ORDER BY item_id", begun=begun
    )
    assert [event.pop("item_id") for event in events] == fit
    assert all(event == {"verb": "requeue", "actor": "admin", "words": "the persons are there now"} for event in events)
    [audited] = airflow_up.audited("requeue", begun)
    assert audited["actor"] == "admin"

    again = _run(airflow_up, **asked, dry_run=False)
    assert again["done"] == 0
    assert again["selected"] == again["refused"] == len(meant) - len(fit)


def test_cancelling_by_age_and_course_gives_the_reason(airflow_up: RunningAirflow) -> None:
    meant = """
        SELECT q.id, q.queued_at FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        JOIN bridge.course k USING (site, course_id)
        WHERE q.destination = 'archive' AND q.state IN ('queued', 'held') AND k.short_name LIKE 'SAFETY-%%'
          AND q.queued_at <= now() - interval '2400 hours'
    """
    begun, ids = airflow_up.now(), {item["id"] for item in airflow_up.rows(meant)}
    told = _run(
        airflow_up,
        action="cancel",
        states=["queued", "held"],
        destinations=["archive"],
        sites=["big"],
        courses=["safety-*"],
        min_age_hours=2400,
        reason="the courses are withdrawn",
        dry_run=False,
    )
    cancelled = airflow_up.rows(
        """
        SELECT q.id, q.queued_at, q.cancelled_by, e.words FROM bridge.export_queue q
        JOIN bridge.item_event e ON e.item_id = q.id AND e.verb = 'cancel' AND e.at >= %(begun)s
        WHERE q.state = 'cancelled'
        """,
        begun=begun,
    )
    # some may have come of age between the two looks
    came_of_age = {item["id"] for item in cancelled} - ids
    oldest, youngest = (at - timedelta(hours=2400) for at in (begun, datetime.now(UTC)))
    assert all(oldest <= item["queued_at"] <= youngest for item in cancelled if item["id"] in came_of_age)
    assert {item["id"] for item in cancelled} >= ids
    assert told["done"] == len(cancelled) > 0
    assert {(item["cancelled_by"], item["words"]) for item in cancelled} == {("admin", "the courses are withdrawn")}


def test_numbers_learner_and_fingerprint_select_together(airflow_up: RunningAirflow) -> None:
    [*named] = airflow_up.rows(
        """
        SELECT q.id, l.username, q.error_words FROM bridge.export_queue q
        JOIN bridge.completion_instance i ON i.id = q.instance_id JOIN bridge.learner l USING (site, user_id)
        WHERE q.destination = 'archive' AND q.state = 'dead' AND i.ended_at IS NULL ORDER BY q.id LIMIT 50
        """
    )
    ids = [item["id"] for item in named]
    told = _run(airflow_up, item_ids=[*ids, 10**12])
    assert (told["selected"], told["refused"]) == (len(ids), 1)
    fingerprint = max((name for name in told if name.startswith("error_")), key=lambda name: told[name])
    words = "no answer in time"
    assert told[_only(airflow_up, ids, words)] == sum(item["error_words"] == words for item in named)
    some = _run(airflow_up, item_ids=[str(each) for each in ids], fingerprint=fingerprint.removeprefix("error_"))
    assert some["selected"] == told[fingerprint]
    learner = named[0]["username"]
    of_learner = _run(airflow_up, item_ids=ids, learners=[learner.upper()], states=["dead", "held"])
    assert of_learner["selected"] == sum(item["username"] == learner for item in named)


def test_everything_that_stopped_can_be_requeued_at_once(airflow_up: RunningAirflow) -> None:
    stopped = """
        SELECT count(*) FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
        WHERE q.state IN ('dead', 'failed', 'cancelled', 'held') AND i.ended_at IS NULL
          AND q.held_for IS DISTINCT FROM 'another look'
    """
    expected, begun = airflow_up.count(stopped), airflow_up.now()
    told = _run(airflow_up, states=["dead", "failed", "cancelled", "held"], dry_run=False)
    assert told["done"] == expected > 5_000
    assert airflow_up.count(stopped) == 0
    requeued = "SELECT count(DISTINCT item_id) FROM bridge.item_event WHERE verb = 'requeue' AND at >= %(begun)s"
    assert airflow_up.count(requeued, begun=begun) == expected


def _run(up: RunningAirflow, **asked: Any) -> dict[str, Any]:
    return up.counts(up.run(DAG, **asked), TASK)


def _only(up: RunningAirflow, ids: list[int], words: str) -> str:
    """The name of the count of those whose error says so, as a run that selects them alone gives it."""
    mine = up.rows("SELECT id FROM bridge.export_queue WHERE id = ANY(%(ids)s) AND error_words = %(words)s",
                   ids=ids, words=words)  # fmt: skip
    told = _run(up, item_ids=[item["id"] for item in mine])
    [name] = [name for name in told if name.startswith("error_")]
    return name
