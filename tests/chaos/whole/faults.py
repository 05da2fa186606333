"""What can go wrong with everything at work. Each fault is over when its function returns."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from tests.chaos.whole.health import PANEL, PULL
from tests.chaos.whole.scene import Scene
from tests.chaos.whole.wire import Cut, Wire


class Meanwhile(NamedTuple):
    """What was found while the fault lasted."""

    trouble: Mapping[str, str] = {}  #: what was not well although it should have been: who, and why
    away: float = 0.0  #: seconds for which the panel was away, where that is a part of the fault


class Fault(NamedTuple):
    """One thing that goes wrong."""

    name: str
    strike: Callable[[Scene], Meanwhile]


def _kill(service: str, scene: Scene) -> Meanwhile:
    scene.keeper.kill(service)
    scene.keeper.start(service)
    return Meanwhile()


def _kill_worker(scene: Scene) -> Meanwhile:
    return _kill(scene.worker_that_sends(), scene)


def _stop_worker(scene: Scene) -> Meanwhile:
    called = scene.worker_that_sends()
    scene.keeper.stop(called)
    scene.keeper.start(called)
    return Meanwhile()


def _down(service: str, scene: Scene) -> Meanwhile:
    scene.keeper.kill(service)
    scene.pause(scene.dice.uniform(0, 0.2) * scene.longest_cut)
    scene.keeper.start(service)
    return Meanwhile()


def _postgres(mode: str, scene: Scene) -> Meanwhile:
    scene.stack.postgres.stop(mode)
    scene.pause(scene.dice.uniform(0, 0.2) * scene.longest_cut)
    scene.stack.start_postgres()
    return Meanwhile()


def _cut(wire: Callable[[Scene], Wire], how: Cut, scene: Scene, *, at_least: float = 0.0) -> Meanwhile:
    wire(scene).cut(how)
    scene.pause(max(at_least, scene.dice.uniform(0.4, 1) * scene.longest_cut))
    found = _served(scene)
    wire(scene).mend()
    return found


def _unavailable(scene: Scene) -> Meanwhile:
    scene.oracle.faults({"action": {"status": 503}})
    scene.pause(scene.dice.uniform(0.4, 1) * scene.longest_cut)
    found = _served(scene)
    scene.oracle.faults()
    return found


def _served(scene: Scene) -> Meanwhile:
    """What of the panel and the API is not well while only a system beside the bridge is away."""
    return Meanwhile({name: why for name, why in scene.health.trouble().items() if name in (PANEL, PULL)})


def _deploy(scene: Scene) -> Meanwhile:
    scene.stack.run("migrate")
    away = 0.0
    for called, kept in scene.keeper.services.items():
        if kept.name == "redis":
            continue
        begun = time.monotonic()
        scene.keeper.stop(called)
        scene.keeper.start(called)
        if kept.name == "api-server":  # the others' health checks ask it
            scene.until("the panel is there", lambda: PANEL not in scene.health.trouble())
            away = time.monotonic() - begun
    return Meanwhile(away=away)


def _oracle(scene: Scene) -> Wire:
    return scene.to_oracle


def _totara(scene: Scene) -> Wire:
    return scene.to_totara


#: Seconds within which an extract begins, as one does every minute, and finds that Totara is away.
_AN_EXTRACT = 65.0

#: What is killed is started again at once, as Docker does; what is stopped was asked to end.
FAULTS: Sequence[Fault] = [
    Fault("scheduler killed", partial(_kill, "scheduler")),
    Fault("worker killed, with its tasks", _kill_worker),
    Fault("worker stopped, with its tasks", _stop_worker),
    Fault("API server killed", partial(_kill, "api-server")),
    Fault("Pull API alone killed", partial(_kill, "pull")),
    Fault("DAG processor killed", partial(_kill, "dag-processor")),
    Fault("triggerer killed", partial(_kill, "triggerer")),
    Fault("PostgreSQL crashed", partial(_postgres, "immediate")),
    Fault("PostgreSQL restarted", partial(_postgres, "fast")),
    Fault("Redis killed", partial(_down, "redis")),
    Fault("Oracle refuses connections", partial(_cut, _oracle, Cut.REFUSED)),
    Fault("Oracle resets connections", partial(_cut, _oracle, Cut.RESET)),
    Fault("Oracle is silent", partial(_cut, _oracle, Cut.SILENT)),
    Fault("Oracle stores, its answers are lost", partial(_cut, _oracle, Cut.UNANSWERED)),
    Fault("Oracle answers 503", _unavailable),
    Fault("Totara refuses connections", partial(_cut, _totara, Cut.REFUSED, at_least=_AN_EXTRACT)),
    Fault("Totara is silent", partial(_cut, _totara, Cut.SILENT, at_least=_AN_EXTRACT)),
    Fault("every service deployed anew", _deploy),
]

BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in FAULTS}


def drawn(dice: Random) -> Iterator[Fault]:
    """Faults without end, in an order of the dice's; each strikes once before any strikes again."""
    while True:
        yield from dice.sample(FAULTS, len(FAULTS))
