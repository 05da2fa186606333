"""An extract in a process of its own that ends itself with SIGKILL at a given statement, as a lost machine would."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import event

from tests.small_totara import Clocked
from totara_bridge.extract.run import ExtractPlan, extract_site
from totara_bridge.staging.engine import staging_engine
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report_query import ReportQuerySource
from totara_bridge.totara.source import Source


def at_its_time(connection: TotaraConnection, now: datetime) -> Source:
    """A database whose clock shows the bridge's time."""
    return Clocked(connection, int(now.timestamp()))


def by_report(connection: TotaraConnection, _: datetime) -> Source:
    """The report of the connection."""
    return ReportQuerySource(connection)


@dataclass(frozen=True)
class KilledExtract:
    """What it is told."""

    staging: str
    connection: TotaraConnection
    plan: ExtractPlan
    now: datetime
    statement: int  #: before which of its statements in staging it is killed; 0: before its commit
    source: Callable[[TotaraConnection, datetime], Source] = at_its_time


def extract(orders: KilledExtract) -> None:
    """Extract, up to that statement; an extract that has fewer comes to its end."""
    engine, begun = staging_engine(orders.staging, connections=1), [0]

    def count(*_: object) -> None:
        begun[0] += 1
        if begun[0] == orders.statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, "before_cursor_execute", count)
    if orders.statement == 0:
        event.listen(engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    extract_site(engine, orders.source(orders.connection, orders.now), orders.plan, now=orders.now)
    engine.dispose()
