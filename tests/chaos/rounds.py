"""Random rounds: several senders, several faults at once, and kills, stops and crashes in between.

A seed and a round's number always give the same plan. Its events are set by the number of requests that came until
then, not by the clock; what the processes do between them is their own, so a failing round may take some repeating.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tests.chaos import matrix
from tests.chaos.answers import ANSWERS
from tests.chaos.matrix import HOLDS, Row
from tests.chaos.scene import Scene, SenderProcess
from tests.chaos.sender import DRAINED

#: How a sender may end in any round.
_ENDS = {DRAINED, "OracleUnavailable", "OracleRefused", "CredentialsRefused"}

#: Of a sender, in seconds: some answers never come.
_TIMEOUT = 2.0

#: No more, or a request could be refused so often that an item stands alone and is dead, as the contract says.
_MOST_FAULTS = 3

#: Those that meet requests, whichever they are.
_FAULTS = [name for name, answer in ANSWERS.items() if not answer.match]


@dataclass(frozen=True)
class Event:
    """Something that happens once so many requests came."""

    after: int
    name: str


@dataclass(frozen=True)
class Plan:
    """One round."""

    senders: int
    batch_size: int
    latency: float  #: seconds that Oracle takes for a request
    faults: tuple[tuple[int, str], ...]  #: the nth request, and how it is answered
    events: tuple[Event, ...]

    def __str__(self) -> str:
        senders = "one sender" if self.senders == 1 else f"{self.senders} senders"
        what = [senders, f"batches of {self.batch_size}", f"{1000 * self.latency:.0f} ms"]
        what += [f"request {nth} answered: {name}" for nth, name in self.faults]
        return "; ".join(what + [f"after {event.after} requests {event.name}" for event in self.events])


def plan(seed: int, number: int) -> Plan:
    """The plan of a round."""
    dice = random.Random(f"{seed}/{number}")
    batch_size = dice.choice([20, 50, 100])
    requests = 1000 // batch_size
    names = dice.choices(list(_EVENTS), weights=[each.weight for each in _EVENTS.values()], k=dice.randint(1, 4))
    return Plan(
        senders=dice.choice([1, 2, 4]),
        batch_size=batch_size,
        latency=dice.choice([0.0, 0.02, 0.05]),
        faults=tuple(
            (nth, dice.choice(_FAULTS))
            for nth in sorted(dice.sample(range(1, requests + 1), dice.randint(1, _MOST_FAULTS)))
        ),
        events=tuple(sorted((Event(dice.randint(1, requests), name) for name in names), key=lambda event: event.after)),
    )


def play(scene: Scene, seed: int, number: int) -> Row:
    """Play a round to its end."""
    planned, dice = plan(seed, number), random.Random(f"{seed}/{number}/senders")
    scene.oracle.settings(latency=planned.latency)
    scene.oracle.faults(*({"match": {"nth": nth}, "action": ANSWERS[name].action} for nth, name in planned.faults))
    sender: dict[str, Any] = {"batch_size": planned.batch_size, "timeout": _TIMEOUT}
    senders = [scene.start(**sender) for _ in range(planned.senders)]
    for event in planned.events:
        while scene.oracle.received()["requests"] < event.after and scene.open_items():
            if not any(each.runs for each in senders):
                senders.append(scene.start_later(**sender))
            time.sleep(0.05)
        _EVENTS[event.name].happens(scene, [each for each in senders if each.runs], dice)
    crashed = any(event.name == _CRASH for event in planned.events)
    strange = [*_strange(senders, crashed=crashed)]
    scene.finish()
    row = matrix.judge(f"seed {seed}, round {number}", scene)
    return replace(row, verdict="; ".join(each for each in (row.verdict, *strange) if each != HOLDS) or HOLDS)


def _strange(senders: list[SenderProcess], *, crashed: bool) -> Iterator[str]:
    """How senders ended that should not have ended so."""
    expected = _ENDS | {"OperationalError"} if crashed else _ENDS
    for sender in senders:
        if not sender.killed:
            report = sender.report()
            if report.ended not in expected:
                yield f"a sender ended with {report.ended}: {report.words}"


def _kill(scene: Scene, running: list[SenderProcess], dice: random.Random) -> None:
    if running and dice.choice(running).kill():
        scene.kills += 1


def _stop(scene: Scene, running: list[SenderProcess], dice: random.Random) -> None:
    if running:
        dice.choice(running).terminate()


def _revoke(scene: Scene, running: list[SenderProcess], dice: random.Random) -> None:
    scene.oracle.revoke_tokens()


def _crash(scene: Scene, running: list[SenderProcess], dice: random.Random) -> None:
    scene.crash_staging()
    scene.staging.start()


class _Kind(NamedTuple):
    """A kind of event: how often it is drawn next to the others, and what it does to senders that run."""

    weight: int
    happens: Callable[[Scene, list[SenderProcess], random.Random], None]


_CRASH = "PostgreSQL crashes and comes back"
_EVENTS = {
    "a sender is killed": _Kind(5, _kill),
    "a sender is stopped": _Kind(2, _stop),
    "the tokens are revoked": _Kind(2, _revoke),
    _CRASH: _Kind(1, _crash),
}
