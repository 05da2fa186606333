"""One fault after another, each at a random moment, and what came of it."""

import time
from collections import Counter
from dataclasses import dataclass

from tests.chaos.whole.faults import Fault
from tests.chaos.whole.health import PANEL, PULL
from tests.chaos.whole.scene import LOOK, NeverCame, Scene

#: Seconds within which people and pullers must be served again.
PROMISED = 60.0


@dataclass(frozen=True)
class Outcome:
    """What came of one fault; all times are in seconds after it was over."""

    fault: str
    at_stake: int  #: items that were in the queue, being sent or not
    served: float  #: the control panel and the Pull API, in the API server and alone, answer well from then on
    well: float  #: all services are well from then on
    delivered: float | None  #: a completion that was made after the fault is at Oracle; none: nobody waited for it
    by_itself: Counter[str]  #: services that ended by themselves and were started again
    broken: tuple[str, ...]  #: what should not be so, as sentences


def play(scene: Scene, fault: Fault) -> Outcome:
    """Let it strike at a random moment; all must be as promised."""
    _wait_for_a_moment(scene)
    return strike(scene, fault, to_the_end=True, within=PROMISED)


def strike(scene: Scene, fault: Fault, *, to_the_end: bool, within: float | None) -> Outcome:
    """Let it strike now, and wait until all is well, and a completion made since is delivered.

    :param to_the_end: whether to wait for that delivery.
    :param within: seconds within which the panel and the API must be well; none: whenever they are.
    """
    at_stake, ended = scene.open_items(), Counter(scene.keeper.by_itself)
    scene.follower.waited = 0.0
    meanwhile = fault.strike(scene)
    begun = time.monotonic()
    learner = scene.life.complete_now().learner if to_the_end else None
    served = well = delivered = None
    while served is None or well is None or (learner is not None and delivered is None):
        scene.keeper.tend()
        trouble, now = scene.health.trouble(), time.monotonic() - begun
        served = None if {PANEL, PULL} & trouble.keys() else served or now
        well = None if trouble else well or now
        if learner is not None and delivered is None and scene.oracle.items(user_id=learner, limit=1):
            delivered = now
        if now > scene.patience:
            words = f"{learner} is not at Oracle, items are {scene.states()}, not well: {trouble}"
            raise NeverCame(f"{scene.patience:.0f} s after this fault, {fault.name}: {words}.")
        time.sleep(LOOK)
    served = max(served, meanwhile.away)
    broken = [f"meanwhile the {name} was not well: {why}" for name, why in meanwhile.trouble.items()]
    if within is not None and served > within:
        broken.append(f"the panel and the API were well again only after {served:.0f} s")
    if within is not None and scene.follower.waited > within:
        broken.append(f"whoever pulls waited {scene.follower.waited:.0f} s for an answer")
    ended = scene.keeper.by_itself - ended
    return Outcome(fault.name, at_stake, served, well, delivered, ended, tuple(broken))


def _wait_for_a_moment(scene: Scene) -> None:
    """Mostly while items are being sent, sometimes at any other time."""
    if scene.dice.random() < 0.75:
        scene.until("items are being sent", lambda: bool(scene.states().get("sending")))
    scene.pause(scene.dice.uniform(0, 3))
