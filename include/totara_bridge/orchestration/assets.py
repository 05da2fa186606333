"""The Airflow Asset that says that the queue may have something to send."""

import logging
from typing import Any

from airflow.sdk import Asset, AssetAlias

from totara_bridge.orchestration.paused import warn_if_paused

log = logging.getLogger(__name__)

PUSH = "push_completions"

#: What ``push_completions`` waits for.
STAGED = Asset(name="staged_completions", uri="totara-bridge://staged-completions")

#: What tasks declare as their outlet: an event is made only where the task says so, not with every success.
MAYBE_STAGED = AssetAlias("totara_bridge_staged")


def announce(outlet_events: Any, **counts: int) -> None:
    """Tell Airflow that something changed; the counts show on the asset's event. A push that is paused is named."""
    outlet_events[MAYBE_STAGED].add(STAGED, extra=counts)
    warn_if_paused(PUSH, log)
