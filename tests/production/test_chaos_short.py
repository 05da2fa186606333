"""Some faults of `make chaos`, one right after the other: all get well again, and each completion arrives once."""

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import NullPool, create_engine, text

from tests.chaos.whole import audit
from tests.chaos.whole.bring_up import acting, connect
from tests.chaos.whole.faults import BY_NAME
from tests.chaos.whole.keeper import Keeper, Kept
from tests.chaos.whole.play import strike
from tests.chaos.whole.scene import Scene
from tests.production.delivery import EXTRACT
from tests.production.whole import SERVICES, Whole, of_worker
from totara_bridge.local.sandbox import TOTARA_DATABASE

#: First what a push that is under way survives; what it does not is begun anew only after a minute or more. That a
#: worker is killed with its tasks is a test of its own.
PLAYED = ("Oracle stores, its answers are lost", "API server killed", "scheduler killed", "PostgreSQL crashed")

#: So that a push takes a while, and what failed is soon sent again. Three requests at once that came to nothing would
#: be an outage, and wait for two minutes.
SETTINGS = {"batch_size": (2, 100), "requests_in_flight": (2, 4), "retry_first": ("PT5S", "PT30S")}
LATENCY = 1.0

#: Who complete a course before each fault: more than two requests take.
LEARNERS = 20


@pytest.fixture
def scene(production: Whole) -> Iterator[Scene]:
    """The running bridge, its Connections over wires that can be cut."""
    keeper = Keeper(production.stack, {called: Kept(name, of_worker(called)) for called, name in SERVICES.items()})
    totara = create_engine(production.stack.postgres.url(TOTARA_DATABASE), poolclass=NullPool, pool_pre_ping=True)
    with acting(keeper, totara, production.oracle, random.Random(8), lambda _: None) as found:
        connect(found, oracle=found.to_oracle.port, totara=found.to_totara.port)
        for name, (here, _) in SETTINGS.items():
            production.airflow.set(name, here)
        production.oracle.settings(latency=LATENCY)
        found.longest_cut, found.patience = 5.0, 700.0
        yield found
        production.oracle.settings(latency=0.0)
        for name, (_, usual) in SETTINGS.items():
            production.airflow.set(name, usual)
        connect(found, oracle=production.stack.here.ports["oracle"], totara=production.stack.here.ports["totara"])


def test_faults_one_after_another(scene: Scene) -> None:
    with scene.totara.connect() as connection:
        before = connection.scalar(text("SELECT max(id) FROM ttr_user"))
    outcomes = [strike(being_sent(scene), BY_NAME[name], to_the_end=False, within=None) for name in PLAYED]
    scene.life.complete_now()
    audit.deliver(scene)
    assert [words for outcome in outcomes for words in outcome.broken] == []
    assert all(outcome.at_stake for outcome in outcomes)
    assert max(scene.oracle.times_received().values()) > 1, "no answer was lost"
    assert [*audit.lost_or_doubled(scene, scene.oracle.items(limit=1_000_000), after=before)] == []


def being_sent(scene: Scene) -> Scene:
    """While new completions are."""
    for _ in range(LEARNERS):
        scene.life.complete_now()
    scene.run(EXTRACT)  # which begins a push
    scene.until("items are being sent", lambda: bool(scene.states().get("sending")))
    return scene
