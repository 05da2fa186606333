"""The task of ``extract_completions``."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException
from sqlalchemy import Engine

from totara_bridge import extract
from totara_bridge.config import BridgeConfig, Site, read_config
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.run import ExtractPlan
from totara_bridge.orchestration.assets import announce
from totara_bridge.orchestration.switches import settings_or_skip
from totara_bridge.orchestration.totara_hook import TotaraHook
from totara_bridge.staging import site as staged_site
from totara_bridge.staging.database import staging
from totara_bridge.totara.database import DatabaseSource


def extract_site(code: str, params: dict[str, Any], outlet_events: Any) -> dict[str, int]:
    """Extract one site of bridge.toml, if its turn has come."""
    config, now = read_config(), datetime.now(UTC)
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
