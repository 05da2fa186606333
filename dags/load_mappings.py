"""
### Load mappings

Tells the bridge what a destination calls the learners or the courses of a site, from CSV text pasted into the form:

    site,id,number
    sbx,7,LRN-0007

Instead of `id` (Totara's), the header may say `username`, `id_number` or `email` for learners, `short_name` or
`id_number` for courses. A line without a number removes what there is. Items that were held for want of a number are
queued at once. `docs/mappings.md` says more.

**A dry run, which is the default, only says what would be loaded.** Look at the task's last lines, then run again
with it off. Lines that cannot be used are listed with their reasons; the others are loaded.

**Safe to repeat:** what is there already is not written again. Airflow keeps the text with the run, as it keeps every
run's configuration: numbers are no secrets, but delete the run if nobody may see who has which.
"""

import pendulum
from airflow.sdk import dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.assets import MAYBE_STAGED
from totara_bridge.orchestration.form import params_of
from totara_bridge.orchestration.retries import DEFAULT_ARGS
from totara_bridge.orchestration.tasks.mappings import Mappings
from totara_bridge.orchestration.tasks.mappings import load_mappings as load


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params=params_of(Mappings, destination=[each.code for each in read_config().destinations]),
    description="a destination's numbers of learners and courses, from CSV; counts only at first",
    doc_md=__doc__,
    tags=["totara-bridge", "mappings"],
)
def load_mappings() -> None:
    task(
        multiple_outputs=False,
        task_id="load",
        outlets=[MAYBE_STAGED],
    )(load)()  # type: ignore[call-arg]  # Airflow gives the arguments by name


load_mappings()
