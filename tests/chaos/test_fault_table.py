"""Which faults strike in which order is the seed's; what came of them is a table that names what did not hold."""

from collections import Counter
from itertools import islice
from random import Random

from tests.chaos.whole.faults import BY_NAME, FAULTS, drawn
from tests.chaos.whole.play import Outcome
from tests.chaos.whole.table import table


def names(seed: int, count: int) -> list[str]:
    return [fault.name for fault in islice(drawn(Random(seed)), count)]


def test_each_strikes_once_before_any_strikes_again() -> None:
    struck = names(1, 3 * len(FAULTS))
    assert all({*struck[start : start + len(FAULTS)]} == {*BY_NAME} for start in range(0, len(struck), len(FAULTS)))


def test_a_seed_always_gives_the_same_order_and_another_another() -> None:
    assert names(1, 40) == names(1, 40)
    assert names(1, 40) != names(2, 40)


def test_a_line_for_each_fault() -> None:
    outcomes = [
        Outcome("Redis killed", 3, 1.0, 2.0, 30.0, Counter(), ()),
        Outcome("API server killed", 7, 20.0, 25.0, None, Counter({"scheduler": 1}), ()),
        Outcome("Redis killed", 9, 3.0, 70.0, 50.0, Counter({"worker-1": 1}), ("the panel was away",)),
    ]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(outcomes).splitlines()]
    assert cells[2] == [
        "Redis killed",
        "2",
        "3–9",
        "2 s–3 s",
        "36 s–70 s",
        "40 s–50 s",
        "worker-1",
        "the panel was away",
    ]
    assert cells[3] == ["API server killed", "1", "7", "20 s", "25 s", "", "scheduler", "holds"]
