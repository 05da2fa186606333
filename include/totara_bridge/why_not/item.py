"""What became of an item, as the rest of a sentence that begins with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Row

from totara_bridge.settings import Settings
from totara_bridge.staging import destination as staged_destination
from totara_bridge.staging import setting
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.hold import ANOTHER_LOOK
from totara_bridge.staging.states import State


@dataclass(frozen=True)
class Surroundings:
    """What decides, beside the item itself, whether it is sent next."""

    now: datetime
    enabled: bool  #: everywhere
    settings: Settings  #: of the destination
    resting_until: datetime | None
    resting_for: str | None

    @classmethod
    def of(cls, transaction: Transaction, destination: str, now: datetime) -> Self:
        """Those of a destination.

        :raises ConfigurationInvalid: the ``setting`` table holds a value out of bounds.
        """
        until, reason = staged_destination.resting_until(transaction, destination)
        enabled = setting.read(transaction).enabled
        return cls(now, enabled, setting.read(transaction, destination), until, reason)


def clause(item: Row[Any], around: Surroundings) -> str:
    """What became of it: the rest of a sentence that begins with it."""
    return _CLAUSES[State(item.state)](item, around)


def waits_behind(item: Row[Any], items: Sequence[Row[Any]], around: Surroundings) -> str:
    """What keeps a correction or withdrawal from being claimed: the earliest item of its instance that is not settled.

    :param items: the instance's, oldest first.
    """
    if item.state not in (State.QUEUED, State.FAILED):
        return ""
    for each in items:
        if each.id < item.id and each.state not in (State.SENT, State.CANCELLED):
            return (
                f", but not before item {each.id}, its {each.kind} (revision {each.revision}), which "
                f"{clause(each, around)}"
            )
    return ""


def moment(time: datetime) -> str:
    """A time as a person reads it."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def sent(at: datetime, reference: str | None) -> str:
    """It has arrived."""
    return f"was sent on {moment(at)}" + (f", and the destination calls it {reference}" if reference else "")


def _sent(item: Row[Any], _: Surroundings) -> str:
    return sent(item.sent_at, item.reference)


def _queued(item: Row[Any], around: Surroundings) -> str:
    return f"waits in the {item.lane} lane of the queue, {_due(item, around)}"


def _failed(item: Row[Any], around: Surroundings) -> str:
    return f"failed and is tried again, {_due(item, around)}; the last answer was {_error(item)}"


def _sending(item: Row[Any], around: Surroundings) -> str:
    if item.lease_until > around.now:
        return f"is being sent since {moment(item.claimed_at)}"
    return (
        f"was given on {moment(item.claimed_at)} to a sender that went silent, and is sent again by the next push"
        f"{_obstacles(around)}"
    )


def _dead(item: Row[Any], _: Surroundings) -> str:
    return f"is dead until a person requeues it: after {item.failures} failures the last answer was {_error(item)}"


def _held(item: Row[Any], _: Surroundings) -> str:
    return f"is held for {_needs(item.held_for)}, last looked at on {moment(item.held_at)}"


def _cancelled(item: Row[Any], _: Surroundings) -> str:
    said = f" on {moment(item.cancelled_at)}" if item.cancelled_at else ""
    return f"was cancelled by {item.cancelled_by}{said}" + (f": {item.cancelled_words}" if item.cancelled_words else "")


_CLAUSES: dict[State, Callable[[Row[Any], Surroundings], str]] = {
    State.QUEUED: _queued,
    State.SENDING: _sending,
    State.SENT: _sent,
    State.FAILED: _failed,
    State.DEAD: _dead,
    State.HELD: _held,
    State.CANCELLED: _cancelled,
}

#: What an item can be held for, where the name alone does not say who is to do what.
_NEEDS = {
    "learner_number": "the destination's number of the learner (load it with load_mappings)",
    "course_number": "the destination's number of the course (load it with load_mappings)",
    "time_completed": "the date of the completion, which Totara does not say",
    ANOTHER_LOOK: "another look at what its template requires, by the next push",
}


def _needs(held_for: str) -> str:
    return " and ".join(_NEEDS.get(name, f"the value of {name}") for name in held_for.split(", "))


def _due(item: Row[Any], around: Surroundings) -> str:
    word = "since" if item.next_attempt_at <= around.now else "on"
    return f"due {word} {moment(item.next_attempt_at)}{_obstacles(around)}"


def _obstacles(around: Surroundings) -> str:
    found = []
    if not around.enabled:
        found.append("the bridge is switched off (setting enabled)")
    elif not around.settings.enabled:
        found.append("the destination is switched off (setting enabled)")
    if around.settings.shadow:
        found.append("the destination is in shadow mode (setting shadow)")
    if around.resting_until is not None and around.resting_until > around.now:
        reason = f", because it {around.resting_for}" if around.resting_for else ""
        found.append(f"the destination rests until {moment(around.resting_until)}{reason}")
    return f", but {' and '.join(found)}" if found else ""


def _error(item: Row[Any]) -> str:
    return ": ".join(part for part in (item.error_code or item.error_class, item.error_words) if part)
