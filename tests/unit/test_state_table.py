"""The state table is whole: every state can be reached and left as its description says."""

import pytest

from totara_bridge.staging.states import OPEN, TRANSITIONS, State

MOVES = {(source, target) for sources, targets in TRANSITIONS.values() for source in sources for target in targets}
ENTRY = TRANSITIONS["enqueue"][1]


def reachable_from(first: frozenset[State]) -> set[State]:
    """Where an item can get to."""
    found = set(first)
    while more := {target for source, target in MOVES if source in found} - found:
        found |= more
    return found


def test_every_state_is_entered_or_reached() -> None:
    outside = set(State) - reachable_from(ENTRY)
    assert not outside


def test_only_enqueue_makes_items() -> None:
    assert [verb for verb, (sources, _) in TRANSITIONS.items() if not sources] == ["enqueue"]


@pytest.mark.parametrize("state", [state for state in State if state is not State.SENT])
def test_no_state_but_sent_is_a_dead_end(state: State) -> None:
    assert State.SENT not in {source for source, _ in MOVES}
    assert state in {source for source, _ in MOVES}


@pytest.mark.parametrize("state", [State.QUEUED, State.SENDING, State.FAILED])
def test_what_a_drain_moves_can_still_be_sent(state: State) -> None:
    assert state in OPEN
    assert State.SENT in reachable_from(frozenset({state}))


def test_only_acknowledge_says_sent() -> None:
    assert [verb for verb, (_, targets) in TRANSITIONS.items() if State.SENT in targets] == ["acknowledge"]


def test_sending_is_entered_by_a_claim_only_and_a_claim_takes_what_is_due() -> None:
    assert [verb for verb, (_, targets) in TRANSITIONS.items() if State.SENDING in targets] == ["claim"]
    assert TRANSITIONS["claim"][0] == {State.QUEUED, State.FAILED} == TRANSITIONS["release"][1]


def test_nothing_that_is_being_sent_or_was_sent_is_cancelled() -> None:
    assert not TRANSITIONS["cancel"][0] & {State.SENDING, State.SENT}


def test_what_is_final_or_waits_for_a_person_is_not_open() -> None:
    assert set(State) - set(OPEN) == {State.SENT, State.DEAD, State.CANCELLED}
