"""The task of ``extract_completions``."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from airflow.sdk.exceptions import AirflowSkipException
from pydantic import Field, model_validator
from sqlalchemy import Engine

from totara_bridge import extract
from totara_bridge.config import BridgeConfig, Site, read_config
from totara_bridge.errors import SiteBusy
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.plan import Extracted, ExtractPlan
from totara_bridge.orchestration.assets import announce
from totara_bridge.orchestration.form import Form, asked_by, filled_in
from totara_bridge.orchestration.metrics import count, timed
from totara_bridge.orchestration.site_source import source_of_site
from totara_bridge.orchestration.switches import settings_or_skip
from totara_bridge.staging import site as staged_site
from totara_bridge.staging.database import staging
from totara_bridge.staging.site import Watermark
from totara_bridge.totara.source import Source


class Extract(Form):
    """What a run of ``extract_completions`` can be asked to do."""

    sites: tuple[str, ...] | None = Field(
        None,
        title="Sites",
        description="Codes of the sites to read now. Empty: every site whose turn has come.",
    )
    full_compare: bool = Field(
        False,
        title="Compare everything",
        description="Read the whole Totara, not only what its change log names. Happens once a day by itself.",
    )
    confirm_deletions: bool = Field(
        False,
        title="Confirm deletions",
        description="Accept that many completions are gone from Totara, after a run has stopped to ask.",
    )

    @model_validator(mode="after")
    def _deletions_of_named_sites(self) -> Self:
        if self.confirm_deletions and not self.sites:
            raise ValueError("Deletions are confirmed for named sites only: name them in Sites")
        return self


def extract_site(code: str, params: dict[str, Any], outlet_events: Any, dag_run: Any) -> dict[str, int]:
    """Extract one site of bridge.toml, if its turn has come.

    :raises RequestInvalid: the run asks for what cannot be.
    :raises ConfigurationInvalid: it names a site that is not in bridge.toml.
    """
    config, now = read_config(), datetime.now(UTC)
    asked, site = filled_in(Extract, params), config.site(code)
    config.require(sites=asked.sites)
    with staging() as engine:
        settings_or_skip(engine)
        _skip_unless_its_turn(engine, site, config.timezone, asked, now)
        plan = replace(
            plan_of(config, site, by=asked_by(dag_run)),
            force_full_compare=asked.full_compare,
            confirm_deletions=asked.confirm_deletions,
        )
        source = source_of_site(engine, site)
        try:
            with timed("extract", code):
                return _extract(engine, source, plan, outlet_events)
        except SiteBusy as busy:
            if asked.sites or _watermark(engine, site) is None:
                raise
            raise AirflowSkipException(f"{busy} The next run reads it.") from busy


def _extract(engine: Engine, source: Source, plan: ExtractPlan, outlet_events: Any) -> dict[str, int]:
    """Until there is nothing more to read at once."""
    counts: Counter[str] = Counter()
    more = True
    while more:
        extracted = extract.extract_site(engine, source, plan, now=datetime.now(UTC))
        counts.update(extracted.counts())
        _tell(outlet_events, plan.site, extracted)
        more = extracted.more
    return dict(counts)


def plan_of(config: BridgeConfig, site: Site, *, by: str) -> ExtractPlan:
    """How bridge.toml has the site extracted.

    :param by: who confirms, where something is to be confirmed.
    """
    return ExtractPlan(
        site=site.code,
        connection=site.connection,
        destinations=[Wants.of(config, each) for each in config.destinations],
        overlap=config.extract.overlap,
        full_compare_at=config.extract.full_compare.replace(tzinfo=config.timezone),
        by=by,
    )


def _tell(outlet_events: Any, code: str, extracted: Extracted) -> None:
    count("extract", code, {"read": extracted.read, "queued": extracted.queued, "held": extracted.held})
    if extracted.changed:
        announce(outlet_events, queued=extracted.queued)


def _skip_unless_its_turn(engine: Engine, site: Site, zone: ZoneInfo, asked: Extract, now: datetime) -> None:
    """Skip a site that is not asked for, or whose turn has not come."""
    if asked.sites:
        if site.code not in asked.sites:
            raise AirflowSkipException(f"This run is for {', '.join(asked.sites)}.")
        return
    before = _watermark(engine, site)
    if before is None:
        return
    turn = site.next_turn(before.extracted_at, zone)
    # runs begin some seconds early or late: an interval as long as the schedule must not miss every other run
    if turn - (site.every or timedelta(0)) * 0.1 > now:
        raise AirflowSkipException(f"Its next turn is at {turn.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key}).")


def _watermark(engine: Engine, site: Site) -> Watermark | None:
    with engine.begin() as transaction:
        return staged_site.watermark(transaction, site.code)
