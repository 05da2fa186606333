"""The task of ``load_mappings``."""

import logging
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from totara_bridge import mapping
from totara_bridge.config import read_config
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.orchestration.assets import announce
from totara_bridge.orchestration.form import Form, asked_by, filled_in
from totara_bridge.staging.database import staging

log = logging.getLogger(__name__)


class Mappings(Form):
    """What a run of ``load_mappings`` is asked to load."""

    destination: str = Field(title="Destination", description="Whose numbers these are.")
    kind: Literal["learner", "course"] = Field("learner", title="Kind", description="What the numbers are for.")
    csv: str = Field(
        title="CSV",
        description="The header line, such as site,id,number, and a line for each learner or course.",
        json_schema_extra={"format": "multiline"},
    )
    dry_run: bool = Field(
        True, title="Dry run", description="Only say what would be loaded, and which lines cannot be used."
    )


def load_mappings(params: dict[str, Any], outlet_events: Any, dag_run: Any) -> dict[str, int]:
    """Load what a destination of bridge.toml calls learners or courses, and queue what was held for it.

    :raises RequestInvalid: the run asks for what cannot be.
    """
    asked, config = filled_in(Mappings, params), read_config()
    destination = config.destination(asked.destination)
    with staging() as engine:
        loaded = mapping.load_mappings(
            engine,
            asked.csv,
            destination=destination.code,
            kind=asked.kind,
            sites=[each.code for each in config.sites],
            by=asked_by(dag_run),
            dry_run=asked.dry_run,
            now=datetime.now(UTC),
        )
        unheld = 0 if asked.dry_run else unhold(engine, Wants.of(config, destination), datetime.now(UTC))
    for line, reason in loaded.refused:
        log.warning("line %d was not loaded: %s", line, reason)
    if unheld:
        announce(outlet_events, queued=unheld)
    counts = vars(loaded) | {"refused": len(loaded.refused), "unheld": unheld}
    log.info("%s: %s%s", destination.code, counts, "; dry run: nothing was loaded" if asked.dry_run else "")
    return counts
