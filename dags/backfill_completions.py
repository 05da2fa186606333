"""
### Backfill completions

Queues past completions: all that were completed in a range of days, are on a destination's route, and that it neither
has nor is about to get. They go in a lane of their own, so that today's completions are not late.

**A dry run, which is the default, only counts.** The task's log and its XCom say how many would be queued
(`lacking`), are `delivered` or `queued` already, were `cancelled` (requeue_completions sends those), and are
`withheld` because their learner was deleted or erased; how many are `waiting` before them; and in about how many
`minutes` all will be delivered at the present rate (none: not known yet). Look, then run again with *Dry run* off.

**Patterns** for courses and learners are those of `docs/routes.md`: `*` is any text, `?` one character. They narrow
the destination's route; they never widen it.

**Send again what was delivered** sends again what a destination has, each completion as it was last told of it, with
the same key: one that has it answers `duplicate`, one that lost it stores it. Left out is what Totara has no more,
and what a later item follows that is not sent yet. What was purged here is made anew, and left out (`left_out`) where
its completion was edited in Totara since: it can no more be sent as it was told. Triggered again while the first
waits, it does nothing twice; once that is delivered, another run sends all of it again.

**Safe to stop and to kill, and safe to repeat** but for sending again. It works in slices of 5 000; to stop it, mark
its task as failed. A run that was tried again or cleared goes on from there, and sends nothing again that it had sent
itself, until that is purged.
"""

import pendulum
from airflow.sdk import dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.assets import MAYBE_STAGED
from totara_bridge.orchestration.form import params_of
from totara_bridge.orchestration.placement import placement
from totara_bridge.orchestration.retries import DEFAULT_ARGS
from totara_bridge.orchestration.tasks.backfill import Backfill, backfill_destination

config = read_config()


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params=params_of(
        Backfill,
        sites=[each.code for each in config.sites],
        destinations=[each.code for each in config.destinations],
    ),
    description="queue the past, or send again what was delivered; counts only at first",
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
