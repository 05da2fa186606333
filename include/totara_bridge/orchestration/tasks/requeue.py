"""The task of ``requeue_completions``."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator

from totara_bridge import requeue
from totara_bridge.completion import storable
from totara_bridge.config import read_config
from totara_bridge.orchestration.assets import announce
from totara_bridge.orchestration.form import Form, asked_by, filled_in
from totara_bridge.orchestration.switches import warn_if_off
from totara_bridge.route import Route, Word
from totara_bridge.staging.database import staging
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.staging.states import Kind, Lane, State

log = logging.getLogger(__name__)

_STATES = ("failed", "dead", "cancelled", "held", "queued")
_ItemId = Annotated[int, Field(ge=1, le=2**63 - 1)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(storable)]
_Hours = Annotated[int, Field(ge=0, le=87_600)]


class Requeue(Form):
    """What a run of ``requeue_completions`` can be asked to do: an item is meant that fits all that is given."""

    action: Literal["requeue", "cancel"] = Field(
        "requeue",
        title="Action",
        description="Requeue: send them again, attempts counted anew. Cancel: do not send them any more.",
    )
    states: tuple[Literal["failed", "dead", "cancelled", "held", "queued"], ...] | None = Field(
        None,
        title="States",
        description="Items that are in one of these states. Cancelled ones can only be requeued, queued ones only "
        "cancelled. Empty: any, of the Item numbers below.",
        examples=list(_STATES),
    )
    lanes: tuple[Literal["fresh", "retry", "backfill"], ...] | None = Field(
        None,
        title="Lanes",
        description="Items in these lanes: fresh is what an extract found, retry what of that failed before, backfill "
        "what a backfill queued or sends again. Empty: in any.",
        examples=[*Lane],
    )
    kinds: tuple[Literal["completion", "correction", "withdrawal"], ...] | None = Field(
        None, title="Kinds", description="Items of these kinds. Empty: of any.", examples=[*Kind]
    )
    destinations: tuple[str, ...] | None = Field(
        None, title="Destinations", description="Items for these destinations. Empty: for all."
    )
    sites: tuple[str, ...] | None = Field(None, title="Sites", description="Items from these sites. Empty: from all.")
    courses: tuple[Word, ...] | None = Field(
        None,
        title="Courses",
        description="Patterns for a course's short name or id number, such as SAFETY-*, one per line. Empty: any.",
        max_length=1000,
    )
    learners: tuple[Word, ...] | None = Field(
        None,
        title="Learners",
        description="Patterns for a learner's username, e-mail address or id number, one per line. Empty: any.",
        max_length=1000,
    )
    learner: _Text | None = Field(
        None,
        title="One learner",
        description="Exactly this username, e-mail address or id number; with * at its end, those that begin so, as "
        "the Queue tab finds them. Empty: any.",
    )
    course: _Text | None = Field(
        None,
        title="One course",
        description="Exactly this short name or id number, in upper or lower case; with * at its end, those that begin "
        "so. Empty: any.",
    )
    key: _Text | None = Field(
        None,
        title="Key",
        description="The record key, or the key of a correction or withdrawal; with * at its end, those that begin so. "
        "Empty: any.",
    )
    error_class: _Text | None = Field(
        None, title="Error class", description="Items whose last error is of this class, to the letter. Empty: any."
    )
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")] | None = Field(
        None,
        title="Fingerprint",
        description="Items whose last error has this fingerprint: eight characters, as a dry run shows them.",
    )
    min_age_hours: _Hours | None = Field(
        None, title="At least this old", description="Hours since the item was first queued. Empty: however new."
    )
    max_age_hours: _Hours | None = Field(
        None, title="At most this old", description="Hours since the item was first queued. Empty: however old."
    )
    queued_from: AwareDatetime | None = Field(
        None, title="Queued from", description="Items that were first queued at this time or later. Empty: however old."
    )
    queued_to: AwareDatetime | None = Field(
        None, title="Queued until", description="Items that were first queued by this time. Empty: however new."
    )
    item_ids: tuple[_ItemId, ...] | None = Field(
        None,
        title="Item numbers",
        description="Only these items, by their numbers in the export queue, one per line, 10 000 at most. Empty: any.",
        max_length=10_000,
    )
    reason: _Text | None = Field(
        None,
        title="Reason",
        description="Kept in the trace of each item, with who asked. Needed to cancel. No names of learners, please.",
    )
    dry_run: bool = Field(True, title="Dry run", description="Only count the items that are meant, and say why.")

    @model_validator(mode="after")
    def _something_is_selected(self) -> Self:
        if not self.states and not self.item_ids:
            raise ValueError("Nothing is selected: give States or Item numbers")
        return self

    @model_validator(mode="after")
    def _the_action_fits_the_states(self) -> Self:
        if self.action == "requeue" and "queued" in (self.states or ()):
            raise ValueError("What is queued cannot be requeued: take it out of States")
        if self.action == "cancel" and "cancelled" in (self.states or ()):
            raise ValueError("What is cancelled cannot be cancelled again: take it out of States")
        return self

    @model_validator(mode="after")
    def _a_cancellation_has_a_reason(self) -> Self:
        if self.action == "cancel" and self.reason is None:
            raise ValueError("To cancel, a reason is needed: give it in Reason")
        return self

    @model_validator(mode="after")
    def _some_age_fits(self) -> Self:
        youngest, oldest = self.min_age_hours, self.max_age_hours
        if youngest is not None and oldest is not None and youngest > oldest:
            raise ValueError(f"No item is at least {youngest} and at most {oldest} hours old: correct one of the two")
        return self

    @model_validator(mode="after")
    def _some_time_fits(self) -> Self:
        if self.queued_from is not None and self.queued_to is not None and self.queued_from > self.queued_to:
            raise ValueError("No item was queued both from and until these times: correct one of the two")
        return self

    def selection(self, now: datetime) -> Selection:
        """The items that are meant."""
        route = {"sites": self.sites, "courses": self.courses, "learners": self.learners}
        return Selection(
            states=[State(each) for each in self.states or ()],
            ids=self.item_ids or (),
            lanes=[Lane(each) for each in self.lanes or ()],
            kinds=[Kind(each) for each in self.kinds or ()],
            destinations=self.destinations or (),
            route=Route.model_validate({name: entries for name, entries in route.items() if entries}),
            learner=self.learner,
            course=self.course,
            key=self.key,
            error_class=self.error_class,
            fingerprint=self.fingerprint,
            queued_since=max(_given(_before(now, self.max_age_hours), self.queued_from), default=None),
            queued_until=min(_given(_before(now, self.min_age_hours), self.queued_to), default=None),
        )


def requeue_items(params: dict[str, Any], outlet_events: Any, dag_run: Any) -> dict[str, int]:
    """Requeue or cancel the items that are meant; in a dry run only count them.

    :raises RequestInvalid: the run asks for what cannot be.
    :raises ConfigurationInvalid: it names a site or destination that is not in bridge.toml.
    """
    config, asked, now = read_config(), filled_in(Requeue, params), datetime.now(UTC)
    config.require(sites=asked.sites, destinations=asked.destinations)
    with staging() as engine:
        carried_out = requeue.carry_out(
            engine,
            Action(asked.action),
            asked.selection(now),
            by=asked_by(dag_run),
            words=asked.reason,
            dry_run=asked.dry_run,
            now=now,
        )
        if asked.action == "requeue":
            codes = asked.destinations or [each.code for each in config.destinations]
            warn_if_off(engine, codes, log)
    if carried_out.done and asked.action == "requeue":
        announce(outlet_events, queued=carried_out.done)
    return carried_out.counts()


def _given(*times: datetime | None) -> Sequence[datetime]:
    return [time for time in times if time is not None]


def _before(now: datetime, hours: int | None) -> datetime | None:
    return None if hours is None else now - timedelta(hours=hours)
