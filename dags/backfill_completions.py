"""
### Backfill completions

Queues past instances of completions: all that were completed on or after a date and that a destination neither has
nor is about to get. They go in a lane of their own, so that today's completions are not late.

**A dry run, which is the default, only counts.** Look at the task's last lines, then run again with it off.

**Safe to repeat and to stop:** what was delivered is known for ever, so nothing is sent twice; a run that is stopped
has queued whole slices, and the next one goes on.
"""

import pendulum
from airflow.sdk import Param, dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.assets import MAYBE_STAGED
from totara_bridge.orchestration.placement import placement
from totara_bridge.orchestration.retries import DEFAULT_ARGS
from totara_bridge.orchestration.tasks.backfill import backfill_destination

config = read_config()


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params={
        "from_date": Param(
            type="string",
            format="date",
            title="From",
            description="Queue what was completed on this day (UTC) or later.",
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="Only count what would be queued, what was delivered, and what is in the queue already.",
        ),
    },
    doc_md=__doc__,
    tags=["totara-bridge", "completions"],
)
def backfill_completions() -> None:
    for destination in config.destinations:
        task(
            task_id=f"backfill_{destination.code}",
            multiple_outputs=False,
            **placement(destination),
            outlets=[MAYBE_STAGED],
        )(backfill_destination)(destination.code)  # type: ignore[call-arg]  # Airflow gives the rest by name


backfill_completions()
