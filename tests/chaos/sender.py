"""A sender in a process of its own, as a push task is one: it drains the queue once and reports how that ended."""

import logging
import signal
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from tests.bridge import DESTINATION
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.push import DrainPlan, drain
from totara_bridge.settings import Settings
from totara_bridge.staging.engine import staging_engine

DRAINED = "drained"

#: What is in its log once SIGTERM has come to it.
TOLD = "told to stop"


@dataclass(frozen=True)
class Orders:
    """What a sender is told."""

    database: str
    access: OracleAccess
    settings: Settings
    ahead: timedelta  #: how much later than now it takes it to be
    log: Path


@dataclass(frozen=True)
class Report:
    """How a sender ended."""

    ended: str  #: drained, or the name of the error
    words: str = ""
    counts: dict[str, int] = field(default_factory=dict)


def run(orders: Orders, parent: "Connection[Report, None]") -> None:
    """Drain once; SIGTERM ends it cleanly."""
    stop = threading.Event()

    def told(*_: object) -> None:
        stop.set()
        with orders.log.open("a") as log:  # not by logging, which may be what the signal came into
            log.write(f"{TOLD}\n")

    signal.signal(signal.SIGTERM, told)
    logging.basicConfig(filename=orders.log, level=logging.INFO, format="%(process)d %(threadName)s %(message)s")
    try:
        report = Report(DRAINED, counts=_drain(orders, stop))
    except Exception as error:  # whatever it is, the test judges it
        logging.exception("ended")
        report = Report(type(error).__name__, str(error))
    parent.send(report)


def _drain(orders: Orders, stop: threading.Event) -> dict[str, int]:
    tokens = TokenHolder(replace(orders.access, timeout=30))  # for which there is time, whatever the timeout is
    plan = DrainPlan(
        destination=DESTINATION,
        settings=orders.settings,
        request_timeout=timedelta(seconds=orders.access.timeout),
        time_box=timedelta(minutes=5),
    )
    engine = staging_engine(orders.database, connections=plan.connections)
    try:
        return drain(
            engine,
            lambda: Sender(orders.access, tokens),
            plan,
            clock=lambda: datetime.now(UTC) + orders.ahead,
            stop=stop,
        ).counts()
    finally:
        engine.dispose()
