"""What a run cannot be asked: out of bounds is refused at once, what does not fit together fails at the first try."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.running import RunningAirflow

#: Out of one field's bounds: DAG, what is asked, how the sentence begins.
_OUT_OF_BOUNDS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("extract_completions", {"sites": ["nowhere"]}, "Invalid input for param sites"),
    ("extract_completions", {"sites": "sbx"}, "Invalid input for param sites"),
    ("extract_completions", {"full_compare": "yes"}, "Invalid input for param full_compare"),
    ("extract_completions", {"confirm_deletions": None}, "Invalid input for param confirm_deletions"),
    ("load_mappings", {"destination": "oracle"}, "Invalid input for param csv: No value passed"),
    ("load_mappings", {"destination": "nowhere", "csv": "site,id,number"}, "Invalid input for param destination"),
    ("load_mappings", {"destination": "oracle", "csv": "x", "kind": "audience"}, "Invalid input for param kind"),
    ("backfill_completions", {}, "Invalid input for param from_date: No value passed"),
    ("backfill_completions", {"from_date": "31/12/2026"}, "Invalid input for param from_date"),
    ("backfill_completions", {"from_date": None}, "Invalid input for param from_date"),
    ("backfill_completions", {"from_date": "2026-01-01", "to_date": "now"}, "Invalid input for param to_date"),
    ("backfill_completions", {"from_date": "2026-01-01", "sites": ["nowhere"]}, "Invalid input for param sites"),
    ("backfill_completions", {"from_date": "2026-01-01", "destinations": ["nowhere"]}, "Invalid input for param dest"),
    ("backfill_completions", {"from_date": "2026-01-01", "statuses": ["in_progress"]}, "Invalid input for param stat"),
    ("backfill_completions", {"from_date": "2026-01-01", "courses": ["x"] * 1001}, "Invalid input for param courses"),
    ("backfill_completions", {"from_date": "2026-01-01", "learners": ["x"] * 1001}, "Invalid input for param learners"),
    ("backfill_completions", {"from_date": "2026-01-01", "resend": 1}, "Invalid input for param resend"),
    ("backfill_completions", {"from_date": "2026-01-01", "dry_run": "no"}, "Invalid input for param dry_run"),
    ("requeue_completions", {"action": "delete"}, "Invalid input for param action"),
    ("requeue_completions", {"states": ["sent"]}, "Invalid input for param states"),
    ("requeue_completions", {"destinations": ["nowhere"]}, "Invalid input for param destinations"),
    ("requeue_completions", {"sites": ["nowhere"]}, "Invalid input for param sites"),
    ("requeue_completions", {"courses": ["x"] * 1001}, "Invalid input for param courses"),
    ("requeue_completions", {"learners": ["x"] * 1001}, "Invalid input for param learners"),
    ("requeue_completions", {"kinds": ["grade"]}, "Invalid input for param kinds"),
    ("requeue_completions", {"learner": ""}, "Invalid input for param learner"),
    ("requeue_completions", {"course": ""}, "Invalid input for param course"),
    ("requeue_completions", {"key": "x" * 501}, "Invalid input for param key"),
    ("requeue_completions", {"error_class": ""}, "Invalid input for param error_class"),
    ("requeue_completions", {"error_class": "x" * 501}, "Invalid input for param error_class"),
    ("requeue_completions", {"fingerprint": "0123456"}, "Invalid input for param fingerprint"),
    ("requeue_completions", {"fingerprint": "0123456G"}, "Invalid input for param fingerprint"),
    ("requeue_completions", {"min_age_hours": -1}, "Invalid input for param min_age_hours"),
    ("requeue_completions", {"min_age_hours": 87_601}, "Invalid input for param min_age_hours"),
    ("requeue_completions", {"max_age_hours": -1}, "Invalid input for param max_age_hours"),
    ("requeue_completions", {"max_age_hours": 87_601}, "Invalid input for param max_age_hours"),
    ("requeue_completions", {"item_ids": [0]}, "Invalid input for param item_ids"),
    ("requeue_completions", {"item_ids": [2**63]}, "Invalid input for param item_ids"),
    ("requeue_completions", {"item_ids": [1.5]}, "Invalid input for param item_ids"),
    ("requeue_completions", {"item_ids": ["seven"]}, "Invalid input for param item_ids"),
    ("requeue_completions", {"item_ids": list(range(1, 10_002))}, "Invalid input for param item_ids"),
    ("requeue_completions", {"reason": ""}, "Invalid input for param reason"),
    ("requeue_completions", {"reason": "x" * 501}, "Invalid input for param reason"),
    ("requeue_completions", {"dry_run": None}, "Invalid input for param dry_run"),
    ("purge_completions", {"sent_days": 0}, "Invalid input for param sent_days"),
    ("purge_completions", {"sent_days": 3651}, "Invalid input for param sent_days"),
    ("purge_completions", {"sent_days": 1.5}, "Invalid input for param sent_days"),
    ("purge_completions", {"log_days": 0}, "Invalid input for param log_days"),
    ("purge_completions", {"log_days": 3651}, "Invalid input for param log_days"),
    ("purge_completions", {"dry_run": 0}, "Invalid input for param dry_run"),
    ("reconcile_completions", {"sites": ["nowhere"]}, "Invalid input for param sites"),
    ("reconcile_completions", {"repair": "yes"}, "Invalid input for param repair"),
    ("reconcile_completions", {"confirm_deletions": None}, "Invalid input for param confirm_deletions"),
    ("erase_learner", {"site": "big"}, "Invalid input for param learner: No value passed"),
    ("erase_learner", {"learner": 7}, "Invalid input for param site: No value passed"),
    ("erase_learner", {"site": "nowhere", "learner": 7}, "Invalid input for param site"),
    ("erase_learner", {"site": "big", "learner": 0}, "Invalid input for param learner"),
    ("erase_learner", {"site": "big", "learner": 2**53}, "Invalid input for param learner"),
    ("erase_learner", {"site": "big", "learner": "learner0007"}, "Invalid input for param learner"),
    ("erase_learner", {"site": "big", "learner": 7, "dry_run": None}, "Invalid input for param dry_run"),
)

#: What each DAG needs besides, to be told of a key that it does not know.
_NEEDED: Mapping[str, dict[str, Any]] = {
    "extract_completions": {},
    "load_mappings": {"destination": "oracle", "csv": "site,id,number\nbig,7,7"},
    "backfill_completions": {"from_date": "2026-01-01"},
    "requeue_completions": {"states": ["dead"]},
    "purge_completions": {"dry_run": True},
    "reconcile_completions": {},
    "erase_learner": {"site": "big", "learner": 7},
    "watch_delivery": {},
}

#: What the sentence of the run begins with then. What else does not fit together is in tests/dags.
_TOLD = "This DAG has no parameter colour (it has "


@pytest.fixture(scope="module")
def begun(airflow_up: RunningAirflow) -> Mapping[str, str]:
    """Every run that will fail, begun at once: DAGs do not wait for each other."""
    return {dag: airflow_up.begin(dag, **needed, colour="red") for dag, needed in _NEEDED.items()}


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(("dag", "conf", "told"), _OUT_OF_BOUNDS)
def test_out_of_bounds_is_refused_at_once(
    airflow_up: RunningAirflow, dag: str, conf: dict[str, Any], told: str
) -> None:
    answer = airflow_up.try_to_begin(dag, conf)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith(told), answer.text


@pytest.mark.parametrize("dag", _NEEDED)
def test_what_does_not_fit_fails_at_the_first_try(
    airflow_up: RunningAirflow, begun: Mapping[str, str], dag: str
) -> None:
    run = airflow_up.end_of(dag, begun[dag])
    assert run.state == "failed"
    failed = {task: told for task, told in run.tasks.items() if told["state"] == "failed"}
    assert {told["try_number"] for told in failed.values()} == {1}
    said = [sentence for task in failed for sentence in airflow_up.sentences(run, task)]
    assert len(said) == len(failed)
    refusals = [words.removeprefix("RequestInvalid: ") for words in said if words.startswith("RequestInvalid: ")]
    assert refusals
    for words in refusals:
        assert words.startswith(_TOLD)
        assert words.endswith(".")
        assert "\n" not in words
