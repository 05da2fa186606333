"""The task of ``load_mappings``."""

import logging
from datetime import UTC, datetime
from typing import Any

from totara_bridge import mapping
from totara_bridge.config import read_config
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.orchestration.assets import announce
from totara_bridge.staging.database import staging

log = logging.getLogger(__name__)


def load_mappings(params: dict[str, Any], outlet_events: Any, dag_run: Any) -> dict[str, int]:
    """Load what a destination of bridge.toml calls learners or courses, and queue what was held for it."""
    config = read_config()
    destination = config.destination(params["destination"])
    with staging() as engine:
        loaded = mapping.load_mappings(
            engine,
            params["csv"],
            destination=destination.code,
            kind=params["kind"],
            sites=[each.code for each in config.sites],
            by=dag_run.triggering_user_name or "load_mappings",
            dry_run=params["dry_run"],
            now=datetime.now(UTC),
        )
        unheld = 0 if params["dry_run"] else unhold(engine, Wants.of(config, destination), datetime.now(UTC))
    for line, reason in loaded.refused:
        log.warning("line %d was not loaded: %s", line, reason)
    if unheld:
        announce(outlet_events, queued=unheld)
    counts = vars(loaded) | {"refused": len(loaded.refused), "unheld": unheld}
    log.info("%s: %s%s", destination.code, counts, "; dry run: nothing was loaded" if params["dry_run"] else "")
    return counts
