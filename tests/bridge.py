"""The whole bridge as a test drives it: a sandbox Totara, staging, and sandbox Oracles, without Airflow."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from totara_bridge.backfill import Asked, Backfilled, backfill
from totara_bridge.extract.enqueue import SLICE, Wants
from totara_bridge.extract.run import Extracted, ExtractPlan, extract_site
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.push import Drained, DrainPlan, drain
from totara_bridge.route import EVERYTHING, Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.settings import Settings
from totara_bridge.staging.past import FOREVER, Past
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.query import ReadQuery

SITE = "sbx"
DESTINATION = "oracle"

#: Items that a backfill of the sandbox Totara's whole past queues.
ALL = 998

SETTINGS = Settings(retry_longest=timedelta(hours=1))
#: The same, and requests side by side, as a bridge makes them.
FOUR_IN_FLIGHT = SETTINGS.model_copy(update={"requests_in_flight": 4})


def access_to(oracle: SandboxOracle, **changes: Any) -> OracleAccess:
    """How the sandbox Oracle is used, but for the changes."""
    usual = {"client_id": oracle.client_id, "client_secret": oracle.client_secret}
    addresses = {"base_url": oracle.url, "token_url": oracle.token_url}
    return OracleAccess(**addresses | usual | changes)


class _OneByOne(DrainPlan):
    """One thread: which items share a request, and which answer comes first, is the same every time."""

    @property
    def threads(self) -> int:
        return 1


class Bridge:
    """One site, one destination; time passes only when `later` is called."""

    def __init__(self, staging: Engine, totara: Engine, *, prefix: str = "ttr_") -> None:
        self.staging = staging
        self.totara = TotaraActs(totara, prefix)
        self.now = datetime.now(UTC)
        self.plan = ExtractPlan(
            site=SITE,
            connection="totara_sandbox",
            destinations=[Wants(DESTINATION)],
            overlap=timedelta(minutes=10),
            full_compare_at=(self.now + timedelta(hours=12)).time(),  # or all that runs across it would compare
        )
        self.connection = TotaraConnection(url=make_url(totara.url), table_prefix=prefix)

    def later(self, **time: int) -> None:
        """Let time pass for the bridge."""
        self.now += timedelta(**time)

    def extract(self, *, query: ReadQuery | None = None, **changes: Any) -> Extracted:
        """Extract the site now."""
        connection = self.connection if query is None else replace(self.connection, query=query)
        return extract_site(self.staging, DatabaseSource(connection), replace(self.plan, **changes), now=self.now)

    def full_compare(self, **changes: Any) -> Extracted:
        """Extract the site now, all of it."""
        return self.extract(force_full_compare=True, **changes)

    def backfill(
        self,
        *,
        since: str = "1970-01-01",
        until: str | None = None,
        dry_run: bool = False,
        resend: bool = False,
        destination: str = DESTINATION,
        narrowed: Route = EVERYTHING,
        asked_at: datetime | None = None,
        slice_size: int = SLICE,
        stop: threading.Event | None = None,
    ) -> Backfilled:
        """Queue the past.

        :param until: the last day.
        :param asked_at: now, but for a run that is tried again.
        """
        plans = {each.destination: each for each in self.plan.destinations}
        wants = plans.get(destination, Wants(destination))
        past = Past(
            destination=destination,
            sites=[SITE],
            since=datetime.fromisoformat(since).replace(tzinfo=UTC),
            until=FOREVER if until is None else datetime.combine(date.fromisoformat(until), time.max, UTC),
            route=wants.route,
            narrowed=narrowed,
        )
        asked = Asked(past, "ann", asked_at or self.now, resend=resend, dry_run=dry_run)
        return backfill(self.staging, wants, asked, now=self.now, stop=stop, slice_size=slice_size)

    def queue_new(self, count: int) -> None:
        """Put the baseline behind, then let that many learners complete a course, and extract it."""
        if not self.rows("SELECT FROM bridge.watermark"):
            self.extract()
        for pair in [self.totara.pair_with(status=25, nth=n) for n in range(count)]:
            self.totara.complete(*pair)
        assert self.extract().queued == count

    def push(
        self,
        oracle: SandboxOracle,
        *,
        destination: str = DESTINATION,
        settings: Settings = SETTINGS,
        timeout: float = 30,
        stop: threading.Event | None = None,
        gzip: bool = False,
        clock: Callable[[], datetime] | None = None,
        **access: Any,
    ) -> Drained:
        """Drain the queue to this Oracle; one request after another, unless the settings say how many are in flight.

        :param clock: instead of the bridge's, which stands still.
        :param access: how to use it, where that is not as usual.
        """
        to = access_to(oracle, timeout=timeout, **access)
        tokens = TokenHolder(access_to(oracle, **access))  # for which there is time, whatever the timeout is
        template = next(each.template for each in self.plan.destinations if each.destination == destination)
        kind = DrainPlan if "requests_in_flight" in settings.model_fields_set else _OneByOne
        plan = kind(destination, settings, timedelta(seconds=timeout), timedelta(minutes=5), template)
        return drain(
            self.staging,
            lambda: Sender(to, tokens, items=template.items, gzip=gzip),
            plan,
            clock=clock or (lambda: self.now),
            stop=stop or threading.Event(),
        )

    def push_later(self, oracle: SandboxOracle) -> Drained:
        """Drain the queue once what failed is due again."""
        self.later(hours=2)
        return self.push(oracle)

    def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """What staging says."""
        with self.staging.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def states(self) -> dict[str, int]:
        """How many items are in each state."""
        found = self.rows("SELECT state, count(*) AS items FROM bridge.export_queue GROUP BY state")
        return {row["state"]: row["items"] for row in found}

    def instances(self, pair: tuple[int, int]) -> list[dict[str, Any]]:
        """The instances of a learner in a course, oldest first."""
        return self.rows(
            "SELECT * FROM bridge.completion_instance WHERE user_id = :user AND course_id = :course ORDER BY id",
            user=pair[0],
            course=pair[1],
        )
