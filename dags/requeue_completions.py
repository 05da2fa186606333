"""
### Requeue completions

Has items sent again that failed, are dead, were cancelled or are held; or cancels items, with a reason. Which ones:
those that fit **everything** that the form gives. Give States, or Item numbers, or both, and narrow them down. To take
back a backfill, give the lane `backfill`. The control panel's Queue tab fills in the same form: *One learner*, *One
course*, *Key* and the times mean what its filters mean.

**A dry run, which is the default, only counts.** The task's log shows the items by state, destination and kind of
error, each kind with its fingerprint; put one into the form to have that kind only. Then run again with *Dry run* off.
`python -m totara_bridge.command errors` shows the kinds of errors too.

**Requeued** items are due at once and their attempts count anew. What was never posted first gets a payload made anew.
Refused, counted and left as they are: what is no more true, what would go after a later item of the same completion,
what is sent or being sent, and what is of an erased learner.

**Cancelled** items are not sent, until somebody requeues them. What is being sent at this moment is refused.

**Safe to repeat and to stop:** items move in slices of two thousand; what was requeued or cancelled already is not
touched again, unless it has failed again since. Who asked, and the reason, are in the trace of each item and in the
audit log. Airflow keeps the form with the run: patterns that name a learner too.

**When it fails**, it has said in one sentence what the form asks for that cannot be.
"""

import pendulum
from airflow.sdk import dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.assets import MAYBE_STAGED
from totara_bridge.orchestration.form import params_of
from totara_bridge.orchestration.retries import DEFAULT_ARGS
from totara_bridge.orchestration.tasks.requeue import Requeue, requeue_items

config = read_config()


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params=params_of(
        Requeue,
        sites=[each.code for each in config.sites],
        destinations=[each.code for each in config.destinations],
    ),
    description="send failed, dead, cancelled or held items again, or cancel items; counts only at first",
    doc_md=__doc__,
    tags=["totara-bridge", "completions"],
)
def requeue_completions() -> None:
    task(
        multiple_outputs=False,
        task_id="requeue",
        outlets=[MAYBE_STAGED],
    )(requeue_items)()  # type: ignore[call-arg]  # Airflow gives the arguments by name


requeue_completions()
