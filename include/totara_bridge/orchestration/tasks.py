"""The bodies of the DAGs' tasks: what they need is looked up here, what they do is in the use cases.

What a task returns is counts, never data.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException
from sqlalchemy import Engine

from totara_bridge import backfill, extract, mapping, push
from totara_bridge.config import BridgeConfig, Site, read_config
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.run import ExtractPlan
from totara_bridge.extract.unhold import unhold
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.orchestration.assets import announce
from totara_bridge.orchestration.oracle_hook import OracleHook
from totara_bridge.orchestration.switches import settings_or_skip
from totara_bridge.orchestration.totara_hook import TotaraHook
from totara_bridge.staging import site as staged_site
from totara_bridge.staging.database import staging
from totara_bridge.totara.database import DatabaseSource

log = logging.getLogger(__name__)


def extract_site(code: str, params: dict[str, Any], outlet_events: Any) -> dict[str, int]:
    """Extract one site of bridge.toml, if its turn has come."""
    config, now = read_config(), _now()
    site = config.site(code)
    _check_asked(config, params)
    with staging() as engine:
        settings_or_skip(engine)
        _skip_unless_its_turn(engine, site, params, now)
        plan = ExtractPlan(
            site=code,
            connection=site.connection,
            destinations=[Wants.of(config, each) for each in config.destinations],
            overlap=config.extract.overlap,
            full_compare_at=config.extract.full_compare,
            force_full_compare=params["full_compare"],
            confirm_deletions=params["confirm_deletions"],
        )
        source = DatabaseSource(TotaraHook(site.connection).connection())
        extracted = extract.extract_site(engine, source, plan, now=now)
    if extracted.changed:
        announce(outlet_events, queued=extracted.queued)
    return extracted.counts()


def push_destination(code: str) -> dict[str, int]:
    """Drain the queue of one destination of bridge.toml."""
    config = read_config()
    destination = config.destination(code)
    template = config.template(destination.template)
    with staging() as engine:
        settings_or_skip(engine)
        settings = settings_or_skip(engine, code)
        unhold(engine, Wants.of(config, destination), _now())
    access = OracleHook(destination.connection).access()
    tokens = TokenHolder(access)
    plan = push.DrainPlan(
        destination=code,
        settings=settings,
        request_timeout=timedelta(seconds=access.timeout),
        time_box=config.push.time_box,
        template=template,
    )

    def new_sender() -> Sender:
        return Sender(access, tokens, items=template.items, gzip=destination.gzip)

    with staging(connections=plan.connections) as engine, _stopped_by_sigterm() as stop:
        drained = push.drain(engine, new_sender, plan, clock=_now, stop=stop)
    return drained.counts()


def backfill_destination(code: str, params: dict[str, Any], outlet_events: Any) -> dict[str, int]:
    """Queue what was completed since a date for one destination of bridge.toml; in a dry run only count it."""
    config = read_config()
    destination, since = config.destination(code), date.fromisoformat(params["from_date"])
    with staging() as engine:
        settings_or_skip(engine)
        done = backfill.backfill(
            engine,
            wants=Wants.of(config, destination),
            sites=[each.code for each in config.sites if destination.wants(each.code)],
            since=datetime(since.year, since.month, since.day, tzinfo=UTC),
            dry_run=params["dry_run"],
            now=_now(),
        )
    log.info(
        "%s: %d lacking, %d delivered, %d in the queue, %d never sent because their learner was deleted; %s",
        code,
        *vars(done.found).values(),
        "dry run: nothing was queued" if params["dry_run"] else f"{done.queued} queued, {done.held} held",
    )
    if done.queued:
        announce(outlet_events, queued=done.queued)
    return {**vars(done.found), "queued_now": done.queued, "held_now": done.held}


def load_mappings(params: dict[str, Any], outlet_events: Any, dag_run: Any) -> dict[str, int]:
    """Load what a destination of bridge.toml calls learners or courses, and queue what was held for it."""
    config = read_config()
    destination = config.destination(params["destination"])
    with staging() as engine:
        loaded = mapping.load_mappings(
            engine,
            params["csv"],
            destination=destination.code,
            kind=params["kind"],
            sites=[each.code for each in config.sites],
            by=dag_run.triggering_user_name or "load_mappings",
            dry_run=params["dry_run"],
            now=_now(),
        )
        unheld = 0 if params["dry_run"] else unhold(engine, Wants.of(config, destination), _now())
    for line, reason in loaded.refused:
        log.warning("line %d was not loaded: %s", line, reason)
    if unheld:
        announce(outlet_events, queued=unheld)
    counts = vars(loaded) | {"refused": len(loaded.refused), "unheld": unheld}
    log.info("%s: %s%s", destination.code, counts, "; dry run: nothing was loaded" if params["dry_run"] else "")
    return counts


def _now() -> datetime:
    return datetime.now(UTC)


def _check_asked(config: BridgeConfig, params: dict[str, Any]) -> None:
    """Refuse a run that asks for what cannot be.

    :raises ConfigurationInvalid: a site is not in bridge.toml, or deletions are confirmed without naming sites.
    """
    for code in params["sites"] or ():
        config.site(code)
    if params["confirm_deletions"] and not params["sites"]:
        raise ConfigurationInvalid("Deletions are confirmed for named sites only: name them in Sites.")


def _skip_unless_its_turn(engine: Engine, site: Site, params: dict[str, Any], now: datetime) -> None:
    """Skip a site that is not asked for, or whose interval has not passed."""
    if params["sites"]:
        if site.code not in params["sites"]:
            raise AirflowSkipException(f"This run is for {', '.join(params['sites'])}.")
        return
    if site.every is None:
        return
    with engine.begin() as transaction:
        before = staged_site.watermark(transaction, site.code)
    # runs begin some seconds early or late: an interval as long as the schedule must not miss every other run
    if before is not None and before.extracted_at + site.every * 0.9 > now:
        raise AirflowSkipException(f"Its next turn is at {before.extracted_at + site.every:%Y-%m-%d %H:%M} UTC.")


@contextmanager
def _stopped_by_sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, so that requests in flight end and leases are returned before the task does."""
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
