"""
### Extract completions

Reads what changed in each Totara since the last run, stages it, and queues each new instance of a completion for
every destination that wants it. One task per site of `bridge.toml`; once a day a run compares everything, which
finds what Totara's change log missed.

**Safe to run at any time.** What was read, what was queued and how far a site was read are one transaction: a run
that is killed has done nothing, a run that is repeated finds nothing new.

**The first run for a destination** queues nothing: it stores a baseline. Run `backfill_completions` for the past.

**When it fails**, the task's last line says what to do; `docs/operations.md` says more.
"""

import pendulum
from airflow.sdk import dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.alerts import deadline
from totara_bridge.orchestration.assets import MAYBE_STAGED
from totara_bridge.orchestration.form import params_of
from totara_bridge.orchestration.placement import extract_task, placement
from totara_bridge.orchestration.retries import UNATTENDED_ARGS
from totara_bridge.orchestration.tasks.extract import Extract, extract_site
from totara_bridge.orchestration.timetable import timetable

config = read_config()


@dag(
    schedule=timetable(config.extract.schedule, config.timezone),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=UNATTENDED_ARGS,
    deadline=deadline(config.extract.deadline),
    params=params_of(Extract, sites=[each.code for each in config.sites]),
    description="Totara → staging → queue",
    doc_md=__doc__,
    tags=["totara-bridge", "completions"],
)
def extract_completions() -> None:
    for site in config.sites:
        task(
            task_id=extract_task(site),
            multiple_outputs=False,
            **placement(site),
            outlets=[MAYBE_STAGED],
        )(extract_site)(site.code)  # type: ignore[call-arg]  # Airflow gives the rest by name


extract_completions()
