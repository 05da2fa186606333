"""A puller that loops over cursors sees every change at least once and none out of order, whatever crashes meanwhile.

``SEED=`` plays another plan.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from tests.short_lived import new_folder
from tests.web import turmoil
from tests.web.puller import Puller
from tests.web.seen import Journal, State, Step, seen
from tests.web.turmoil import Happening, Turmoil
from tests.web.turmoil_server import TurmoilServer

SEED = int(os.environ.get("SEED", "6"))

#: Seconds after which nothing more happens, on a busy machine: what then is left of the plan is left out.
TIME_BOX = 40.0


@pytest.fixture(scope="module")
def server() -> Iterator[TurmoilServer]:
    """A PostgreSQL that may crash."""
    folder = new_folder("tbt")
    postgres = TurmoilServer(folder)
    yield postgres
    postgres.stop()
    shutil.rmtree(folder)


@pytest.fixture
def played(server: TurmoilServer, tmp_path: Path) -> Iterator[Turmoil]:
    """Two sites and their pullers, before anything happens."""
    with closing(Turmoil(server, tmp_path, seed=SEED)) as scene:
        scene.catch_up()  # to where there is nothing yet
        yield scene


@pytest.mark.parametrize("plan", [pytest.param(turmoil.plan(SEED), id=f"SEED={SEED}")])
def test_pullers_have_everything_in_order_after_kills_and_crashes(played: Turmoil, plan: list[list[Happening]]) -> None:
    until = time.monotonic() + TIME_BOX
    for number, happens in enumerate(plan):
        assert played.play(happens, until=until) == [], f"SEED={SEED}, round {number}: {'; '.join(map(str, happens))}"
    truth = played.truth("pages")
    assert {name.partition("-")[0] for name in truth} == set(turmoil.SITES)
    assert {state.gone for state in truth.values()} == {True, False}
    with Puller(played.server.address, played.token) as puller:
        found = {name: puller.fetch(f"/completions/{name}") for name in truth}
    assert {name: State(item["version"], item["deleted"]) for name, item in found.items()} == truth


@pytest.mark.parametrize("event", [turmoil.KILL_SERVER, turmoil.CRASH])
def test_a_stream_that_breaks_off_is_no_end(played: Turmoil, event: str) -> None:
    with played.engine.begin() as transaction:
        transaction.execute(text(_MANY))
    orders = played.following["streams"]
    journal = Journal(orders.journal)
    with Puller(orders.address, orders.token) as puller:
        asked = {"cursor": journal.cursor()}
        headers = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
        address = orders.address + orders.feed
        with puller.session.get(address, params=asked, headers=headers, stream=True, timeout=60) as answer:
            lines = answer.iter_lines()
            first = [seen(json.loads(next(lines))) for _ in range(10)]
            journal.add(Step([], None, begins=True), Step(first, None))
            played.happen(Happening(event, ""))
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                sum(1 for _ in lines)
    played.catch_up()
    assert len(played.truth("streams")) == MANY
    assert [*played.wrong()] == []


def test_a_plan_is_always_the_same_and_no_two_are_alike() -> None:
    plans = [str(turmoil.plan(seed)) for seed in range(100)]
    assert plans == [str(turmoil.plan(seed)) for seed in range(100)]
    assert len(set(plans)) == len(plans)


MANY = 60_000

# more than what is on its way between two processes can hold
_MANY = f"""
    ALTER TABLE bridge.completion DISABLE TRIGGER linger;
    INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, rpl, changed_at)
    SELECT 'north', n, 1, n, 'complete_rpl', repeat('what was recognised ', 20), now() FROM generate_series(1, {MANY}) n
"""
