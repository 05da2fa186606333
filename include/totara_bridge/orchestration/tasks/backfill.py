"""The tasks of ``backfill_completions``."""

import logging
from datetime import UTC, date, datetime
from typing import Any

from totara_bridge import backfill
from totara_bridge.config import read_config
from totara_bridge.extract.enqueue import Wants
from totara_bridge.orchestration.assets import announce
from totara_bridge.orchestration.switches import settings_or_skip
from totara_bridge.staging.database import staging

log = logging.getLogger(__name__)


def backfill_destination(code: str, params: dict[str, Any], outlet_events: Any) -> dict[str, int]:
    """Queue what was completed since a date for one destination of bridge.toml; in a dry run only count it."""
    config = read_config()
    destination, since = config.destination(code), date.fromisoformat(params["from_date"])
    with staging() as engine:
        settings_or_skip(engine)
        done = backfill.backfill(
            engine,
            wants=Wants.of(config, destination),
            sites=[each.code for each in config.sites if destination.wants(each.code)],
            since=datetime(since.year, since.month, since.day, tzinfo=UTC),
            dry_run=params["dry_run"],
            now=datetime.now(UTC),
        )
    log.info(
        "%s: %d lacking, %d delivered, %d in the queue, %d never sent because their learner was deleted; %s",
        code,
        *vars(done.found).values(),
        "dry run: nothing was queued" if params["dry_run"] else f"{done.queued} queued, {done.held} held",
    )
    if done.queued:
        announce(outlet_events, queued=done.queued)
    return {**vars(done.found), "queued_now": done.queued, "held_now": done.held}
