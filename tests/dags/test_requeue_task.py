"""The form of ``requeue_completions`` and what its task does with it."""

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.items import Items
from totara_bridge.errors import ConfigurationInvalid, RequestInvalid
from totara_bridge.orchestration.assets import MAYBE_STAGED
from totara_bridge.orchestration.form import filled_in
from totara_bridge.orchestration.tasks.requeue import Requeue, requeue_items

# Airflow warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]

RUN = SimpleNamespace(triggering_user_name="ann", dag_id="requeue_completions")


class Events(dict[Any, Any]):
    """What a task announces, as Airflow collects it."""

    def __init__(self) -> None:
        super().__init__({MAYBE_STAGED: self})
        self.announced: list[dict[str, int]] = []

    def add(self, _: Any, *, extra: dict[str, int]) -> None:
        self.announced.append(extra)


@pytest.fixture
def dead(staging: Engine, monkeypatch: pytest.MonkeyPatch) -> Items:
    """Three dead items, where the tasks look for them."""
    address = staging.url.render_as_string(hide_password=False).replace("+psycopg", "")
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address)
    items = Items(staging)
    items.queued(3)
    items.reject(items.claim())
    return items


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"error_class": "a\0"}, "error_class: it holds a character that cannot be stored"),
        ({"learners": ["*", "a\0"]}, "learners.1: it holds a character that cannot be stored"),
        ({"reason": " "}, "reason: "),
        ({"item_ids": [str(2**63)]}, "item_ids.0: "),
        ({"learner": "a\0"}, "learner: it holds a character that cannot be stored"),
        ({"queued_from": "2026-01-31T00:00:00"}, "queued_from: Input should have timezone info"),
        (
            {"queued_from": "2026-02-01T00:00:00Z", "queued_to": "2026-01-31T00:00:00Z"},
            "No item was queued both from and until these times: correct one of the two",
        ),
        ({"states": [], "destinations": ["oracle"]}, "Nothing is selected: give States or Item numbers."),
        ({"states": [], "item_ids": ["", " "]}, "Nothing is selected: give States or Item numbers."),
        ({"states": ["dead", "queued"]}, "What is queued cannot be requeued: take it out of States."),
        (
            {"action": "cancel", "states": ["cancelled"], "reason": "why"},
            "What is cancelled cannot be cancelled again: take it out of States.",
        ),
        ({"action": "cancel"}, "To cancel, a reason is needed: give it in Reason."),
        (
            {"min_age_hours": 5, "max_age_hours": 4},
            "No item is at least 5 and at most 4 hours old: correct one of the two.",
        ),
        ({"item_ids": ["0"]}, "item_ids.0: Input should be greater than or equal to 1"),
    ],
)
def test_what_airflow_lets_through_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        filled_in(Requeue, {"states": ["dead"]} | given)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "params",
    [
        {"states": ["failed", "dead", "cancelled", "held"], "min_age_hours": 2, "max_age_hours": 2},
        {"action": "cancel", "states": ["failed", "dead", "queued", "held"], "reason": "x", "max_age_hours": 87_600},
        {"item_ids": [*range(1, 10_000), 2**63 - 1], "min_age_hours": 0},
        {"states": ["dead"], "queued_from": "2026-01-31T00:00:00Z", "queued_to": "2026-01-31T00:00:00Z", "key": "TB*"},
    ],
)
def test_what_is_within_bounds_is_taken(params: dict[str, Any]) -> None:
    assert filled_in(Requeue, params).dry_run


@pytest.mark.parametrize(("code", "kind"), [("nobody", "destinations"), ("nope", "sites")], ids=["destination", "site"])
def test_what_is_not_in_the_configuration_is_refused(dead: Items, code: str, kind: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=code):
        requeue_items({"states": ["dead"], kind: [code]}, Events(), RUN)


def test_only_what_was_requeued_is_announced(dead: Items) -> None:
    events, ids = Events(), [1, 2]
    asked = {"states": ["dead"], "destinations": ["oracle"], "sites": ["sbx"], "max_age_hours": 87_600}
    assert requeue_items(asked | {"item_ids": ids}, events, RUN)["selected"] == 2
    assert (dead.column("state", [1, 2, 3]), events.announced) == (["dead"] * 3, [])
    done = requeue_items(asked | {"item_ids": ids, "dry_run": False, "reason": "repaired"}, events, RUN)
    assert (done["selected"], done["done"], done["refused"], done["state_dead"]) == (2, 2, 0, 2)
    assert (dead.column("state", [1, 2, 3]), events.announced) == (["queued", "queued", "dead"], [{"queued": 2}])
    for lanes, selected in ((["fresh", "backfill"], 0), (["retry"], 1), ([], 1)):
        assert requeue_items({"states": ["dead"], "lanes": lanes}, events, RUN)["selected"] == selected
    cancel = {"action": "cancel", "item_ids": [1], "reason": "a test user", "dry_run": False}
    assert requeue_items(cancel, events, RUN)["done"] == 1
    assert (dead.row(1)["cancelled_by"], len(events.announced)) == ("ann", 1)
    assert requeue_items(asked | {"courses": ["*"], "min_age_hours": 87_600, "max_age_hours": None}, events, RUN) == {
        "selected": 0,
        "done": 0,
        "refused": 0,
    }
