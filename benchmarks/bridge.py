"""The bridge as a benchmark drives it: one site, one destination, as an extract task would."""

import time as clock
from datetime import UTC, datetime, time, timedelta

from benchmarks.server import Server
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.run import Extracted, ExtractPlan, extract_site
from totara_bridge.staging.engine import staging_engine
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource

SITE = "sbx"
DESTINATION = "oracle"


def extract(server: Server, *, totara: str, staging: str, full_compare: bool) -> tuple[float, Extracted]:
    """One extract between two databases of the server, connecting included: how many seconds, and what it did."""
    source = DatabaseSource(TotaraConnection(url=server.url(totara)))
    plan = ExtractPlan(
        site=SITE,
        connection="totara_sandbox",
        destinations=[Wants(DESTINATION)],
        overlap=timedelta(minutes=10),
        full_compare_at=time(2, 30),
        force_full_compare=full_compare,
    )
    begun = clock.perf_counter()
    engine = staging_engine(server.url(staging).render_as_string())
    try:
        extracted = extract_site(engine, source, plan, now=datetime.now(UTC))
    finally:
        engine.dispose()
    return clock.perf_counter() - begun, extracted
