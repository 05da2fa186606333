"""The tasks of ``watch_delivery``."""

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from totara_bridge import watch
from totara_bridge.config import read_config
from totara_bridge.errors import ChannelFailed
from totara_bridge.orchestration import metrics
from totara_bridge.orchestration.form import Form, filled_in
from totara_bridge.orchestration.notices import send_notices
from totara_bridge.orchestration.run_alerts import resolve_what_is_over
from totara_bridge.staging.database import staging

log = logging.getLogger(__name__)


class Watch(Form):
    """A run of ``watch_delivery`` looks at everything; it cannot be asked for anything else."""


def check(params: dict[str, Any], ti: Any) -> dict[str, int]:
    """Look whether the promises are kept; raise, update and resolve alerts, and measure.

    :raises RequestInvalid: the run asks for something.
    """
    filled_in(Watch, params)
    config, now = read_config(), datetime.now(UTC)
    with staging() as engine:
        over = resolve_what_is_over(engine, config, ti, now)
        watched = watch.watch(engine, config, now)
    metrics.watched(watched, now)
    counts = {
        "raised": len(watched.raised),
        "still_open": len(watched.still_open),
        "resolved": len(watched.resolved) + over,
    }
    log.info("alerts: %s", counts)
    return counts


def notify(checked: dict[str, int] | None) -> dict[str, int]:
    """Tell the channels what they were not told yet, whatever became of the check.

    :param checked: what the check returned; none: it failed, and so does this, after the channels were told.
    :raises ChannelFailed: a channel was not told.
    """
    with staging() as engine:
        sent = send_notices(engine, lambda: datetime.now(UTC))
    log.info("%d notices were sent", sent.told)
    if sent.failed:
        which = "; ".join(f"{channel}: {why}" for channel, why in sent.failed.items())
        raise ChannelFailed(
            f"Not every alert channel was told, and the next run tries again: {which.rstrip('.')}. Mend the Airflow "
            "Connection, or take it out of the setting alert_channels."
        )
    if checked is None:
        raise AirflowFailException("The check before this failed: its log says why. The channels were told.")
    return {"told": sent.told}
