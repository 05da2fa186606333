"""The task of ``purge_completions``."""

import logging
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from totara_bridge import purge
from totara_bridge.orchestration.form import Form, asked_by, filled_in
from totara_bridge.orchestration.sigterm import stopped_by_sigterm
from totara_bridge.staging.database import staging

log = logging.getLogger(__name__)

#: As many as the settings allow.
Days = Annotated[int, Field(ge=1, le=3650)]


class Purge(Form):
    """What a run of ``purge_completions`` is asked to delete."""

    sent_days: Days | None = Field(
        None,
        title="Days that sent items are kept",
        description="Delete items that were sent longer ago than this. Empty: as in the settings of each destination.",
    )
    log_days: Days | None = Field(
        None,
        title="Days that the export log is kept",
        description="Delete requests, with their kept bodies, that were made longer ago. Empty: as in the settings.",
    )
    only: tuple[Literal["items", "kept_bodies", "log_rows", "acknowledgements", "audit_rows", "alerts"], ...] | None = (
        Field(
            None,
            title="Only these",
            description="Kinds of rows that are deleted, with what belongs to them. Empty: all.",
        )
    )
    dry_run: bool = Field(
        False,
        title="Dry run",
        description="Only count what would be deleted. It is off, as the schedule deletes: switch it on to look first.",
    )

    def asked(self, by: str, *, by_hand: bool) -> purge.Asked:
        """The same for the use case."""
        given = self.model_dump(exclude={"only"})
        return purge.Asked(by, by_hand, only=frozenset(self.only) if self.only else None, **given)


def purge_finished(params: dict[str, Any], dag_run: Any) -> dict[str, int]:
    """Delete what is finished and past its retention, of all destinations; also while the integration is off.

    :raises RequestInvalid: the run asks for what cannot be.
    """
    form = filled_in(Purge, params)
    by = asked_by(dag_run)
    asked = form.asked(by, by_hand=by != dag_run.dag_id)
    with staging() as engine, stopped_by_sigterm() as stop:
        done = purge.purge(engine, asked, now=datetime.now(UTC), stop=stop)
    found = ", ".join(f"{number} {table.replace('_', ' ')}" for table, number in done.counts.items()) or "nothing"
    log.info("%s: %s", "would be deleted" if asked.dry_run else "deleted", found)
    if not done.finished:
        log.warning("The purge was stopped before its end; run it again, or leave the rest to the next one.")
    return dict(done.counts)
