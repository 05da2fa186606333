"""Which items the Queue tab is to show, as its address says; and the same as the form of a run."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from totara_bridge.completion import storable
from totara_bridge.route import Route, SiteCode
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.staging.states import Kind, Lane, State
from totara_bridge.web.pull.written import Time


def _without_blanks_around(word: object) -> object:
    """As the form of a run reads it, which drops a line of blanks: a destination of that name would be all of them."""
    return word.strip() if isinstance(word, str) else word


_Word = Annotated[
    str,
    Field(min_length=1, max_length=255),
    BeforeValidator(_without_blanks_around),
    AfterValidator(storable),
]
_Few = Field(max_length=50)

_FINGERPRINT = re.compile("[0-9a-f]{8}", re.ASCII)

#: The states that an action is for, as the form of its run has it.
_MEANT = {
    Action.REQUEUE: (State.FAILED, State.DEAD, State.CANCELLED, State.HELD),
    Action.CANCEL: (State.QUEUED, State.FAILED, State.DEAD, State.HELD),
}


class ItemFilter(BaseModel):
    """What an item has to be to be shown: all that is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    destination: Annotated[tuple[_Word, ...], _Few] = ()
    state: Annotated[tuple[State, ...], _Few] = ()
    kind: Annotated[tuple[Kind, ...], _Few] = ()
    lane: Annotated[tuple[Lane, ...], _Few] = ()
    site: Annotated[tuple[SiteCode, ...], _Few] = ()
    learner: _Word | None = None  #: username, e-mail address or id number; ``*`` at the end: how it begins
    course: _Word | None = None  #: short name or id number, likewise
    key: _Word | None = None  #: record key or idempotency key, likewise
    error: _Word | None = None  #: class or fingerprint of the last error, of what is failed or dead
    since: Annotated[Time | None, Field(alias="from")] = None  #: when it was first queued
    until: Annotated[Time | None, Field(alias="to")] = None

    @property
    def states(self) -> tuple[State, ...]:
        """Those that are shown."""
        if self.error is None:
            return self.state or tuple(State)
        return tuple(each for each in (State.FAILED, State.DEAD) if not self.state or each in self.state)

    def selection(self) -> Selection:
        """The items, for staging."""
        by_fingerprint = self.error is not None and _FINGERPRINT.fullmatch(self.error)
        return Selection(
            states=self.states,
            lanes=self.lane,
            kinds=self.kind,
            destinations=self.destination,
            route=Route.model_validate({"sites": self.site} if self.site else {}),
            learner=self.learner,
            course=self.course,
            key=self.key,
            error_class=None if by_fingerprint else self.error,
            fingerprint=self.error if by_fingerprint else None,
            queued_since=self.since,
            queued_until=self.until,
        )

    def conf(self, action: Action) -> dict[str, Any] | None:
        """Of a run of ``requeue_completions`` that means these very items; none: the action is for none of them."""
        states = [each for each in self.states if each in _MEANT[action]]
        if not states:
            return None
        asked = self.selection()
        said = {
            "action": action,
            "states": states,
            "lanes": [*self.lane],
            "kinds": [*self.kind],
            "destinations": [*self.destination],
            "sites": [*self.site],
            "learner": self.learner,
            "course": self.course,
            "key": self.key,
            "error_class": asked.error_class,
            "fingerprint": asked.fingerprint,
            "queued_from": self.since and self.since.isoformat(),
            "queued_to": self.until and self.until.isoformat(),
            "dry_run": False,
        }
        return {name: value for name, value in said.items() if value not in (None, [])}
