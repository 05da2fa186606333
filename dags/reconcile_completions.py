"""
### Reconcile completions

Compares each Totara with what is staged here and with what was delivered, and writes down what differs: completions
that are `missing` (Totara has them; they are not staged, or a destination lacks them and nothing says why), `extra`
(here, or at a destination, and gone from Totara) or `different`. What Totara changed since the last extract is
`pending`: the next one reads it anyway. The counts are in the task's XCom; the first 1 000 differences, and the alert
`reconcile_differences`, in the control panel's Problems tab. Proof of delivery uses Totara's own numbers that this run
counts.

**It changes nothing** but what it found, and may run at any time; meanwhile that site is not extracted.

**Repair** is off, and not what the schedule does. With it, the whole site is extracted once more, what destinations
should have been told is queued in the backfill lane, and all is compared again. Deletions beyond belief stop it, as
they stop an extract, until *Confirm deletions* is on.

**Safe to repeat and to kill:** run twice, a repair does nothing twice; a run that was killed begins anew.

**When it fails**, the task's last line says what to do; `docs/operations.md` says more.
"""

import pendulum
from airflow.sdk import dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.assets import MAYBE_STAGED
from totara_bridge.orchestration.form import params_of
from totara_bridge.orchestration.placement import placement, reconcile_task
from totara_bridge.orchestration.retries import UNATTENDED_ARGS
from totara_bridge.orchestration.tasks.reconcile import Reconcile, reconcile_site
from totara_bridge.orchestration.timetable import timetable

config = read_config()


@dag(
    schedule=timetable(config.reconcile.schedule, config.timezone),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=UNATTENDED_ARGS,
    params=params_of(Reconcile, sites=[each.code for each in config.sites]),
    description="compare Totara with staging and with what was delivered; changes nothing unless asked to repair",
    doc_md=__doc__,
    tags=["totara-bridge", "operations"],
)
def reconcile_completions() -> None:
    for site in config.sites:
        task(
            task_id=reconcile_task(site),
            multiple_outputs=False,
            **placement(site),
            outlets=[MAYBE_STAGED],
        )(reconcile_site)(site.code)  # type: ignore[call-arg]  # Airflow gives the rest by name


reconcile_completions()
