"""What a worker was sending when it was killed: whoever comes next goes on with it, nothing is lost, nothing is twice.

It was killed before other tests of production had their turn: Airflow waits a minute to be sure that a task is dead,
and a minute more before it tries again.
"""

from collections import Counter

from tests.production.delivery import PUSH, Killed, delivered_once
from tests.production.whole import Whole


def test_the_next_try_goes_on(production: Whole, killed: Killed) -> None:
    ended = production.end_of(PUSH, killed.run)
    assert ended.state == "success"
    assert ended.tasks["push_oracle"]["try_number"] > 1
    while production.airflow.count(
        "SELECT count(*) FROM bridge.export_queue WHERE state IN ('queued', 'failed', 'sending')"
    ):
        production.airflow.run(PUSH)  # a lease that was not over by then
    assert delivered_once(production) == killed.before + killed.new
    times = Counter(production.oracle.times_received().values())
    assert times[2] > 0, "nothing was under way when the worker was killed"


def test_nobody_is_told_of_what_came_right_by_itself(production: Whole, killed: Killed) -> None:
    assert killed.new
    assert production.airflow.rows("SELECT * FROM bridge.alert WHERE subject ^@ 'push_completions'") == []
