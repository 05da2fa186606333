"""
### Watch delivery

Looks every few minutes whether the promises of delivery are kept: that nothing waits for too long, that enough was in
time, that every site is read, that destinations answer, that not too many items die. A promise that is broken is an
alert: raised once, updated while it lasts, resolved by itself. `docs/operations.md` has a heading for each alert, with
what to look at and what to press.

**Who is told:** the channels of the setting `alert_channels`, by e-mail, Slack, Teams, a webhook or Apprise
(`docs/alerts.md`): once when an alert is raised, and once when it is over. Without channels, alerts are in the table
only: `python -m totara_bridge.command alerts` shows them.

**Safe to run at any time**, also by hand, to hear at once whether all is well again.

**When it fails:** if `check` is red, its last line says why nothing could be looked at; if `notify` is red, a channel
could not be told, and the others were. The next run tries both again.
"""

import pendulum
from airflow.sdk import TriggerRule, dag, task

from totara_bridge.config import read_config
from totara_bridge.orchestration.retries import WATCH_ARGS
from totara_bridge.orchestration.tasks.watch import check, notify
from totara_bridge.orchestration.timetable import timetable

config = read_config()


@dag(
    schedule=timetable(config.watch.schedule, config.timezone),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=WATCH_ARGS,
    description="look whether the promises are kept; raise and resolve alerts, and tell the channels",
    doc_md=__doc__,
    tags=["totara-bridge", "operations"],
)
def watch_delivery() -> None:
    checked = task(multiple_outputs=False)(check)()  # type: ignore[call-arg]  # Airflow gives the arguments by name
    task(multiple_outputs=False, trigger_rule=TriggerRule.ALL_DONE)(notify)(checked)  # type: ignore[arg-type]


watch_delivery()
