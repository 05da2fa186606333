"""
### Purge completions

Deletes what is finished and was kept long enough: items that were sent, with their events; the log of requests and
the bodies kept with it; acknowledgements of the Pull API; rows of the audit log; alerts that are resolved. How long
each is kept is a setting (`sent_retention`, `log_retention`, `body_retention`, `acknowledgement_retention`,
`audit_retention`, `alert_retention`); for one run, the form can say another number of days for the first two, and that
only some of these kinds are deleted.

**Never deleted:** what is queued, failed, dead, held or cancelled, an item while another of its completion stays, an
open alert, and the ledger of deliveries: what was delivered is known for ever, so nothing is ever sent again for it.

**Runs also while the integration is switched off:** how long personal data may be kept does not depend on that.

**Safe to repeat and to stop:** it works in small steps with rests between, so that deliveries go on beside it; a run
that is stopped or killed has deleted whole steps, and the next one goes on. A dry run only counts.

**When it fails**, nothing is lost and nothing waits for it; the task's last line says what to do, and
`docs/operations.md` says more.
"""

import pendulum
from airflow.sdk import dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.form import params_of
from totara_bridge.orchestration.retries import UNATTENDED_ARGS
from totara_bridge.orchestration.tasks.purge import Purge, purge_finished
from totara_bridge.orchestration.timetable import timetable

config = read_config()


@dag(
    schedule=timetable(config.purge.schedule, config.timezone),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=UNATTENDED_ARGS,
    params=params_of(Purge),
    description="delete what is finished and past its retention",
    doc_md=__doc__,
    tags=["totara-bridge", "operations"],
)
def purge_completions() -> None:
    task(
        multiple_outputs=False,
        task_id="purge",
    )(purge_finished)()  # type: ignore[call-arg]  # Airflow gives the arguments by name


purge_completions()
