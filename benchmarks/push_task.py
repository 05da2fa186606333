"""`python -m benchmarks.push_task WHAT DATABASE ENDPOINT REQUESTS`: what one push task does, in a process of its own.

Says that it is ready, waits for a line, works, and prints what it did. WHAT is ``push``: the bridge's own drain;
``queue``: the drain with nothing to wait for; ``network``: so many requests of the same size without a queue; ``on``:
the bridge's own drain, again and again until there is no more to read.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import requests

from benchmarks.bridge import DESTINATION
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.payload import body
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.oracle.verdict import Outcome, Reading, Verdict, same_for_all
from totara_bridge.push import DrainPlan, drain
from totara_bridge.push.plan import Sends
from totara_bridge.settings import Settings
from totara_bridge.staging.engine import staging_engine

SETTINGS = Settings()
PLAN = DrainPlan(
    destination=DESTINATION,
    settings=SETTINGS,
    request_timeout=timedelta(seconds=30),
    time_box=timedelta(minutes=10),
)
PAYLOAD = "x" * 450
_REST = 0.01  #: seconds, after a drain that found nothing


@dataclass(frozen=True)
class Done:
    """What a task did."""

    items: int
    requests: int
    began: float  #: on the machine's clock, seconds
    ended: float
    cpu: float  #: seconds


class _NoNetwork:
    def get_ready(self) -> None:
        pass

    def send(self, keys: Sequence[str], payload_texts: Sequence[str]) -> Reading:
        return Reading(verdicts=same_for_all(keys, Verdict(Outcome.SENT)), outcome="sent")


def main() -> None:
    """Work once, when told to."""
    what, database, endpoint, number = sys.argv[1:]
    access = OracleAccess(base_url=endpoint, token_url=f"{endpoint}/token", client_id="b", client_secret="b")
    tokens = TokenHolder(access)
    work: dict[str, Callable[[], tuple[int, int]]] = {
        "push": lambda: _drain(database, lambda: Sender(access, tokens)),
        "queue": lambda: _drain(database, lambda: nullcontext(_NoNetwork())),
        "network": lambda: _network(access, int(number)),
        "on": lambda: _drain_on(database, lambda: Sender(access, tokens)),
    }
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.monotonic(), time.process_time()
    items, made = work[what]()
    print(json.dumps(asdict(Done(items, made, began, time.monotonic(), time.process_time() - cpu))))


def _drain(database: str, new_sender: Callable[[], AbstractContextManager[Sends]]) -> tuple[int, int]:
    engine = staging_engine(database, connections=PLAN.connections)
    drained = drain(engine, new_sender, PLAN, clock=lambda: datetime.now(UTC), stop=threading.Event())
    engine.dispose()
    return drained.sent, drained.requests


def _drain_on(database: str, new_sender: Callable[[], AbstractContextManager[Sends]]) -> tuple[int, int]:
    engine, stop = staging_engine(database, connections=PLAN.connections), threading.Event()
    reading = threading.Thread(target=_read_to_the_end, args=(stop,))
    reading.start()
    sent = made = 0
    while not stop.is_set():
        drained = drain(engine, new_sender, PLAN, clock=lambda: datetime.now(UTC), stop=stop)
        sent, made = sent + drained.sent, made + drained.requests
        stop.wait(0 if drained.sent else _REST)
    reading.join()
    engine.dispose()
    return sent, made


def _read_to_the_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def _network(access: OracleAccess, number: int) -> tuple[int, int]:
    """As many requests in flight as a drain has, each thread with a session of its own."""
    threads = [
        threading.Thread(target=_post, args=(access, number // SETTINGS.requests_in_flight))
        for _ in range(SETTINGS.requests_in_flight)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = number // SETTINGS.requests_in_flight * SETTINGS.requests_in_flight
    return made * SETTINGS.batch_size, made


def _post(access: OracleAccess, number: int) -> None:
    sent = body([PAYLOAD] * SETTINGS.batch_size)
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(number):
            session.post(access.endpoint, data=sent, headers={"Content-Type": "application/json"}).raise_for_status()


if __name__ == "__main__":
    main()
