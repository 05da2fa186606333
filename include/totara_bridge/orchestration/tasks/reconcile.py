"""The task of ``reconcile_completions``."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

from airflow.sdk.exceptions import AirflowSkipException
from pydantic import Field, model_validator
from sqlalchemy import Engine

from totara_bridge import reconcile
from totara_bridge.config import read_config
from totara_bridge.orchestration.assets import announce
from totara_bridge.orchestration.form import Form, asked_by, filled_in
from totara_bridge.orchestration.metrics import count, timed
from totara_bridge.orchestration.site_source import source_afresh
from totara_bridge.orchestration.switches import settings_or_skip
from totara_bridge.orchestration.tasks.extract import plan_of
from totara_bridge.reconcile import ReconcilePlan
from totara_bridge.staging import site as staged_site
from totara_bridge.staging.database import staging


class Reconcile(Form):
    """What a run of ``reconcile_completions`` can be asked to do."""

    sites: tuple[str, ...] | None = Field(
        None,
        title="Sites",
        description="Codes of the sites to compare. Empty: all.",
    )
    repair: bool = Field(
        False,
        title="Repair",
        description="Then extract the whole site again, queue what destinations should have been told, and compare "
        "again. Off: it only looks, and keeps what it found.",
    )
    confirm_deletions: bool = Field(
        False,
        title="Confirm deletions",
        description="With Repair: accept that many completions are gone from Totara, after a run has stopped to ask.",
    )

    @model_validator(mode="after")
    def _deletions_of_named_sites_in_a_repair(self) -> Self:
        if self.confirm_deletions and not (self.sites and self.repair):
            raise ValueError("Deletions are confirmed for a repair of named sites only: switch Repair on and name them")
        return self


def reconcile_site(code: str, params: dict[str, Any], outlet_events: Any, dag_run: Any) -> dict[str, int]:
    """Compare one site of bridge.toml with its Totara, and repair what differs where that is asked for.

    :raises RequestInvalid: the run asks for what cannot be.
    :raises ConfigurationInvalid: it names a site that is not in bridge.toml.
    """
    config = read_config()
    asked, site = filled_in(Reconcile, params), config.site(code)
    config.require(sites=asked.sites)
    if asked.sites and code not in asked.sites:
        raise AirflowSkipException(f"This run is for {', '.join(asked.sites)}.")
    by = asked_by(dag_run)
    with staging() as engine:
        settings_or_skip(engine)
        _skip_unless_extracted(engine, code)
        extract = replace(plan_of(config, site, by=by), confirm_deletions=asked.confirm_deletions)
        plan = ReconcilePlan(extract, zone=config.timezone.key, by=by, repair=asked.repair)
        with timed("reconcile", code):
            done = reconcile.reconcile_site(engine, source_afresh(engine, site), plan, clock=lambda: datetime.now(UTC))
    count("reconcile", code, vars(done.found))
    if done.repaired.queued:
        announce(outlet_events, queued=done.repaired.queued)
    return done.counts()


def _skip_unless_extracted(engine: Engine, code: str) -> None:
    with engine.begin() as transaction:
        if staged_site.watermark(transaction, code) is None:
            raise AirflowSkipException("It was never extracted: there is nothing to compare with its Totara yet.")
