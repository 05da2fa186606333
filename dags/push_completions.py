"""
### Push completions

Sends what is due in the export queue to each destination, several requests at a time, and writes down what became
of each item. One drain task per destination of `bridge.toml`, or as many as its `drain_tasks` says. Runs whenever an
extract or a backfill queued something, and on its own schedule for what is due again.

**Safe to run at any time**, and to kill: every item has a key under which the destination stores it once, what a
killed run had claimed is due again when its lease runs out, and what was delivered is never queued again.

**When it fails**, the destination does not work: items are back in the queue as they were, and the task's last line
says what to do. Items that were refused one by one do not fail the run; they are dead, with the destination's words.
"""

import pendulum
from airflow.sdk import AssetOrTimeSchedule, dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.alerts import deadline
from totara_bridge.orchestration.assets import STAGED
from totara_bridge.orchestration.placement import placement, push_tasks
from totara_bridge.orchestration.retries import UNATTENDED_ARGS
from totara_bridge.orchestration.tasks.push import push_destination
from totara_bridge.orchestration.timetable import timetable

config = read_config()


@dag(
    schedule=AssetOrTimeSchedule(timetable=timetable(config.push.schedule, config.timezone), assets=[STAGED]),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=UNATTENDED_ARGS,
    deadline=deadline(config.push.deadline),
    description="queue → Oracle; when something was queued, and on a schedule",
    doc_md=__doc__,
    tags=["totara-bridge", "completions"],
)
def push_completions() -> None:
    for destination in config.destinations:
        for task_id in push_tasks(destination):
            task(
                multiple_outputs=False,
                task_id=task_id,
                **placement(destination),
            )(push_destination)(destination.code)  # type: ignore[call-arg]  # Airflow gives the rest by name


push_completions()
