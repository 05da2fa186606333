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


def leaving(state: State) -> set[str]:
    """The verbs that move an item out of the state."""
    return {verb for verb, (sources, _) in TRANSITIONS.items() if state in sources}


def entering(state: State) -> set[str]:
    """The verbs that move an item into the state."""
    return {verb for verb, (_, targets) in TRANSITIONS.items() if state in targets}


def test_every_state_is_entered_or_reached() -> None:
    outside = set(State) - reachable_from(ENTRY)
    assert not outside


def test_only_enqueue_makes_items() -> None:
    assert [verb for verb, (sources, _) in TRANSITIONS.items() if not sources] == ["enqueue"]


@pytest.mark.parametrize("state", State)
def test_no_state_is_a_dead_end_and_each_can_lead_to_sent(state: State) -> None:
    assert State.SENT in reachable_from(frozenset({state}))
    assert leaving(state)


def test_only_a_person_has_sent_again_what_was_sent() -> None:
    assert leaving(State.SENT) == {"resend"}


def test_only_a_person_or_a_late_answer_moves_what_is_dead_or_cancelled() -> None:
    assert leaving(State.DEAD) == {"acknowledge", "requeue", "cancel"}
    assert leaving(State.CANCELLED) == {"acknowledge", "requeue"}


def test_what_is_held_goes_when_nothing_is_missing_any_more_and_not_otherwise() -> None:
    assert leaving(State.HELD) == {"unhold", "cancel"}
    assert entering(State.HELD) == {"enqueue", "hold", "requeue"}


@pytest.mark.parametrize("state", [State.QUEUED, State.SENDING, State.FAILED])
def test_what_a_drain_moves_is_open(state: State) -> None:
    assert state in OPEN


def test_only_acknowledge_says_sent() -> None:
    assert entering(State.SENT) == {"acknowledge"}


def test_sending_is_entered_by_a_claim_only_and_a_claim_takes_what_is_due() -> None:
    assert entering(State.SENDING) == {"claim"}
    assert TRANSITIONS["claim"][0] == {State.QUEUED, State.FAILED} == TRANSITIONS["release"][1]


def test_nothing_that_is_being_sent_or_was_sent_is_cancelled() -> None:
    assert not TRANSITIONS["cancel"][0] & {State.SENDING, State.SENT}


def test_what_is_final_or_waits_for_a_person_is_not_open() -> None:
    assert set(State) - set(OPEN) == {State.SENT, State.DEAD, State.CANCELLED}
