"""Some random rounds, always the same: `make rounds` plays as many others as one likes."""

import pytest

from tests.chaos import rounds
from tests.chaos.matrix import HOLDS, Report
from tests.chaos.scene import Scene

SEED = 35


@pytest.mark.parametrize("number", range(1, 4))
def test_round(scene: Scene, report: Report, number: int) -> None:
    row = rounds.play(scene, SEED, number)
    report(row)
    assert row.verdict == HOLDS, rounds.plan(SEED, number)


def test_a_plan_is_always_the_same_and_no_two_are_alike() -> None:
    plans = [str(rounds.plan(SEED, number)) for number in range(100)]
    assert plans == [str(rounds.plan(SEED, number)) for number in range(100)]
    assert len(set(plans)) == len(plans)
