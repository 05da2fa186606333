"""An extractor in a process of its own, as an extract task is one: it extracts a site again and again."""

import logging
import random
import signal
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from totara_bridge.errors import SiteBusy, TotaraUnavailable
from totara_bridge.extract.run import ExtractPlan, extract_site
from totara_bridge.staging.engine import staging_engine
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource

#: Seconds between two runs; after one that did something a random share of it is waited.
_PAUSE = 0.1


@dataclass(frozen=True)
class Extracting:
    """What an extractor is told."""

    site: str
    staging: str
    totara: str
    log: Path
    seed: int = 0
    once: bool = False  #: end after a full compare; else at SIGTERM


def extract(orders: Extracting) -> None:
    """Extract the site; what a crash of PostgreSQL, or a run that was killed, leaves behind is waited out."""
    stop, dice = threading.Event(), random.Random(orders.seed)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    logging.basicConfig(filename=orders.log, level=logging.INFO, format="%(process)d %(asctime)s %(message)s")
    source = DatabaseSource(TotaraConnection(url=make_url(orders.totara), table_prefix="ttr_"))
    engine = staging_engine(orders.staging, connections=1)
    try:
        while not stop.is_set():
            plan = ExtractPlan(
                site=orders.site,
                connection=f"totara_{orders.site}",
                destinations=[],
                overlap=timedelta(minutes=10),
                full_compare_at=time(2, 30),
                force_full_compare=orders.once or dice.random() < 0.2,
                confirm_deletions=True,
            )
            try:
                extract_site(engine, source, plan, now=datetime.now(UTC))
            except SiteBusy as waits:
                logging.info("%s", waits)
                stop.wait(_PAUSE)
            except (TotaraUnavailable, DBAPIError) as crash:
                if not _is_of_a_crash(crash):
                    raise
                logging.info("%s", crash)
                stop.wait(_PAUSE)
            else:
                if orders.once:
                    return
                stop.wait(dice.uniform(0, _PAUSE))
    except BaseException:
        logging.exception("ended")
        raise
    finally:
        engine.dispose()


def _is_of_a_crash(error: Exception) -> bool:
    """PostgreSQL is not there, or has just ended; a deadlock, for one, is something else."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state is None or state[:3] == "57P"
