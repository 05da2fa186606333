"""
### Erase a learner

Removes or blanks everything that the bridge holds about one learner of one site: names, audiences, mappings, dates,
payloads, kept requests and the words of events. What has to stay stays without a name: the keys, so that nothing is
ever sent twice, and the places of the completions, so that whoever fetches them is told that they are gone.

**It cannot be taken back.** The learner gets a tombstone: no extract, backfill, requeue or load of mappings brings them
back. A dry run, which is the default, only counts. Look at the task's last lines, then run again with it off.

**What it does not do:** the learner stays in Totara and at the destinations, and in your backups; Airflow keeps the
learner's number with this run. `docs/erasing.md` says what to do there, and what is removed and kept here.

**The proof** is in the task's log: what was removed, blanked and kept in each table, and where a search for the
learner's names looked afterwards. It names nobody. The run fails if the search finds a name.

**While something about the learner is being sent** nothing is erased: the task is tried again by itself.

**Safe to repeat:** it is one transaction. Run twice, it finds nothing the second time, and says so.
"""

import pendulum
from airflow.sdk import dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.form import params_of
from totara_bridge.orchestration.retries import DEFAULT_ARGS
from totara_bridge.orchestration.tasks.erase import Erase
from totara_bridge.orchestration.tasks.erase import erase_learner as erase


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params=params_of(Erase, site=[each.code for each in read_config().sites]),
    description="remove what the bridge holds of one learner; counts only at first",
    doc_md=__doc__,
    tags=["totara-bridge", "learners"],
)
def erase_learner() -> None:
    task(multiple_outputs=False, task_id="erase")(erase)()  # type: ignore[call-arg]  # Airflow gives the arguments by name


erase_learner()
