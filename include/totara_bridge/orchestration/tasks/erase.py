"""The task of ``erase_learner``."""

import logging
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from totara_bridge import erase
from totara_bridge.config import read_config
from totara_bridge.orchestration.form import Form, asked_by, filled_in
from totara_bridge.staging.database import staging

log = logging.getLogger(__name__)


class Erase(Form):
    """Whom a run of ``erase_learner`` is to erase."""

    site: str = Field(title="Site", description="The site's code: where the learner is.")
    learner: int = Field(
        ge=1,
        le=2**53 - 1,
        title="Learner",
        description="Totara's number of the user, as in the address of the profile page: never a name.",
    )
    dry_run: bool = Field(
        True,
        title="Dry run",
        description="Only count what would be removed. Switched off, it is done for good: nothing brings it back.",
    )


def erase_learner(params: dict[str, Any], dag_run: Any) -> dict[str, int]:
    """Erase one learner of a site of bridge.toml, also while the bridge is switched off; in a dry run only count.

    :raises RequestInvalid: the run asks for what cannot be.
    :raises ConfigurationInvalid: bridge.toml has no such site.
    :raises LearnerBusy: something about the learner is being sent at this moment.
    :raises ErasureIncomplete: a name of the learner is left.
    """
    asked = filled_in(Erase, params)
    site = read_config().site(asked.site)
    with staging() as engine:
        erased = erase.erase(
            engine,
            site=site.code,
            user_id=asked.learner,
            by=asked_by(dag_run),
            dry_run=asked.dry_run,
            now=datetime.now(UTC),
        )
    log.info("learner %d of site %s: %s", asked.learner, site.code, _outcome(erased))
    return erased.counts()


def _outcome(erased: erase.Erased) -> str:
    if erased.dry_run:
        rows = ", ".join(f"{name} {number}" for name, number in erased.counts().items() if number)
        return f"dry run: {erased.found} rows would be removed or blanked ({rows or 'none'}); nothing was changed"
    if erased.found:
        return f"{erased.found} rows were removed or blanked; no extract brings them back"
    when = "now" if erased.before is None else f"on {erased.before.tombstone.erased_at:%Y-%m-%d %H:%M} UTC"
    return f"nothing was found; erased {when}, and no extract brings the learner back"
